"""Taking names away, and with an image's last name the image: `rmi` and `prune`.

Names go first, in one change of index.json however many they are; then one collection deletes
what only they kept alive. Runs as (mapped) root, beside everything else. A crash between the two
leaves garbage that the next collection takes.
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import catalog, gc, images, index, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from rootless.oci.descriptor import Descriptor
    from rootless.store import Store

    Entries = tuple[Descriptor, ...]


class Removal(Record):
    """What came of one text: names taken away, and the id of an image that went with them.

    `error` says why nothing was done.
    """

    untagged: tuple[str, ...] = ()
    deleted: tuple[Digest, ...] = ()
    error: RootlessError | None = None


class Pruned(Record):
    """What `prune` deleted: cached `steps`, and `contexts` whose files' digests were remembered.

    `size` is in bytes, of blobs, of layers' tars, of the cache and of unfinished downloads.
    """

    images: tuple[Digest, ...] = ()
    layers: tuple[Digest, ...] = ()
    steps: int = 0
    contexts: int = 0
    size: int = 0


def remove(
    store: Store, texts: Sequence[str], *, force: bool = False, users: Mapping[Digest, str] = {}
) -> tuple[tuple[Removal, ...], gc.Reclaimed]:
    """Take names away; an image goes with its last. An id takes all its names.

    What came of each text, in order, and what could be deleted in the end. `users` are image id →
    id of a container that uses it. Errors are in docker's words, when an image has more names or
    is used; with `force` a used one stays, dangling.
    """
    removals: list[Removal] = []

    def change(entries: Entries) -> Entries:
        removing = _Removing(store, entries, users, force=force)
        removals.extend(map(removing.remove, texts))
        return index.unname(entries, removing.taken, removing.gone)

    index.update(store, change)
    is_freed = any(removal.deleted for removal in removals)
    return tuple(removals), gc.collect(store) if is_freed else gc.Reclaimed()


class _Removing:
    """Names and images that are to go, one text after the other."""

    def __init__(
        self, store: Store, entries: Entries, users: Mapping[Digest, str], *, force: bool
    ) -> None:
        self._store = store
        self._catalog = images.catalog(store, entries)
        self._users = users
        self._force = force
        self.taken: set[str] = set()
        self.gone: set[Digest] = set()

    def remove(self, text: str) -> Removal:
        """Note what goes with `text`, seen after those before it."""
        try:
            return self._remove(text)
        except RootlessError as error:
            return Removal(error=error)

    def _remove(self, text: str) -> Removal:
        entry, is_name = self._catalog.find(text)
        own = index.name_of(entry)
        if entry.digest in self.gone or (is_name and own in self.taken):
            raise catalog.not_found(text)
        names = tuple(one for one in self._catalog.names(entry) if one not in self.taken)
        going = (own,) if own and is_name else names
        image_id = images.id_of(self._store, entry)
        is_last = len(going) == len(names)
        if not self._force:
            self._check_unused(image_id, text, len(going), is_last=is_last)
        self.taken.update(going)
        is_gone = is_last and image_id not in self._users
        if is_gone:
            self.gone.add(entry.digest)
        familiar = tuple(Reference.parse(name).familiar for name in going)
        return Removal(familiar, (image_id,) if is_gone else ())

    def _check_unused(self, image_id: Digest, text: str, going: int, *, is_last: bool) -> None:
        """Refuse, in docker's words, to take an image by id from its names or containers."""
        if is_last and image_id in self._users:
            raise RootlessError(
                f"conflict: unable to delete {text} (must be forced) - "
                f"container {self._users[image_id][:12]} is using "
                f"its referenced image {image_id.short}",
                hint="remove the container first, or use --force",
            )
        if going > 1:
            raise RootlessError(
                f"conflict: unable to delete {image_id.short} (must be forced) - "
                "image is referenced in multiple repositories",
                hint="remove its names one by one, or use --force",
            )


def prune(
    store: Store, *, everything: bool = False, steps: bool = False, used: Container[Digest] = ()
) -> Pruned:
    """Delete dangling images, with `everything` all, but none whose id is in `used`.

    With `steps` the build cache goes too, and with it what is remembered of contexts.
    """
    store.create()
    dropped: dict[Digest, None] = {}

    def change(entries: Entries) -> Entries:
        ids = [images.id_of(store, entry) for entry in entries]
        named = {one for one, entry in zip(ids, entries, strict=True) if index.name_of(entry)}
        spared = set() if everything else named
        dropped.update((one, None) for one in ids if one not in spared and one not in used)
        return tuple(one for image, one in zip(ids, entries, strict=True) if image not in dropped)

    with store.writing():
        index.update(store, change)
        forgotten = _empty(store, "cache/steps") if steps else []
        contexts = _empty(store, "cache/contexts") if steps else []
        swept = staging.sweep(store, downloads=True)
    freed = gc.collect(store)
    size = freed.size + swept + sum(forgotten) + sum(contexts)
    return Pruned(tuple(dropped), freed.layers, len(forgotten), len(contexts), size)


def _empty(store: Store, folder: str) -> list[int]:
    """Delete the files of a cache; the size of each."""
    sizes = []
    try:
        names = os.listdir(store.path(folder))
    except FileNotFoundError:
        return []
    for name in names:
        path = store.path(folder, name)
        try:
            size = os.lstat(path).st_size
            os.unlink(path)
        except FileNotFoundError:  # somebody else was faster
            continue
        sizes.append(size)
    return sizes
