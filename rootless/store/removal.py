"""Taking names away, and with an image's last name the image: `rmi` and `prune`.

Names go first, in one change of index.json however many they are; then one collection deletes
what only they kept alive. Runs as (mapped) root, beside everything else. A crash between the two
leaves garbage that the next collection takes.
"""

from __future__ import annotations

from rootless.errors import NotFoundError, RootlessError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import blobs, catalog, gc, images, index, kept, lock, staging
from rootless.store.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.platform import Platform
    from rootless.store import Store
    from rootless.store.images import Listed
    from rootless.store.kept import Cached, Limits

    Entries = tuple[Descriptor, ...]


class User(Record):
    """A container that uses an image: docker refuses otherwise when it runs."""

    container: str
    is_running: bool = False

    @property
    def short(self) -> str:
        """The first 12 digits of its id."""
        return self.container[:12]


class Removal(Record):
    """What came of one text: names taken away, and the id of an image that went with them.

    `error` says why nothing was done.
    """

    untagged: tuple[str, ...] = ()
    deleted: tuple[Digest, ...] = ()
    error: RootlessError | None = None


class Pruned(Record):
    """What `prune` deleted; `untagged` are names, `cached` the keys of the build cache.

    `size` is in bytes, of blobs, of the files of layers, of the cache and of unfinished downloads.
    """

    untagged: tuple[str, ...] = ()
    images: tuple[Digest, ...] = ()
    layers: tuple[Digest, ...] = ()
    cached: tuple[str, ...] = ()
    size: int = 0


def remove(
    store: Store,
    texts: Sequence[str],
    *,
    force: bool = False,
    every: bool = False,
    users: Mapping[Digest, User] = {},
) -> tuple[tuple[Removal, ...], gc.Reclaimed]:
    """Take names away; an image goes with its last. An id takes all its names and manifests.

    What came of each text, in order, and what could be deleted in the end. Errors are in docker's
    words, when an image has more names or is used. `force` takes one with all its names, and from
    a stopped container of `users` (by image id), which keeps its files; what a running one uses
    loses names only. With `every` all images are meant, many names or not, and no `texts`.
    """
    removals: list[Removal] = []

    def change(entries: Entries) -> Entries:
        removing = _Removing(store, entries, users, force=force, many=force or every)
        wanted: Iterable[str | Digest] = reversed(removing.by_image()) if every else texts
        removals[:] = map(removing.remove, wanted)
        left = index.unserve(entries, removing.unserved)
        return index.unname(left, removing.taken, removing.gone)

    index.update(store, change)
    is_freed = any(removal.deleted for removal in removals)
    return tuple(removals), gc.collect(store) if is_freed else gc.Reclaimed()


class _Removing:
    """Names and images that are to go, one text after the other."""

    def __init__(
        self,
        store: Store,
        entries: Entries,
        users: Mapping[Digest, User],
        *,
        force: bool,
        many: bool,
    ) -> None:
        self._store = store
        self._catalog = images.catalog(store, entries)
        self._users = users
        self._force = force
        self._many = many
        self.taken: set[str] = set()
        self.gone: set[Digest] = set()
        self.unserved: set[Reference] = set()
        self._by_image: dict[Digest, list[Descriptor]] = {}

    def by_image(self) -> dict[Digest, list[Descriptor]]:
        """All entries by the id of their image, which are found out once they matter."""
        if not self._by_image:
            for entry in self._catalog.entries:
                self._by_image.setdefault(images.id_of(self._store, entry), []).append(entry)
        return self._by_image

    def remove(self, wanted: str | Digest) -> Removal:
        """Note what goes with a text, or a whole image by its id, seen after those before it."""
        try:
            if isinstance(wanted, Digest):
                return self._by_id(self.by_image()[wanted])
            return self._remove(wanted)
        except RootlessError as error:
            return Removal(error=error)

    def _remove(self, text: str) -> Removal:
        entries, is_name = self._catalog.find_all(text)
        own = index.name_of(entries[0]) if is_name else None
        if own in self.taken or self.gone.issuperset(one.digest for one in entries):
            raise catalog.not_found(text)
        if own:
            same = self._catalog.same(entries[0])
            if "@" in text and "@" not in own:
                return self._by_digest(text, same)
            return self._by_name(text, same, own)
        return self._by_id(entries)

    def _by_id(self, entries: list[Descriptor]) -> Removal:
        image_id = images.id_of(self._store, entries[0])
        names = self._left(entries)
        self._check(image_id, is_many=_is_many(names))
        return self._take(entries, image_id, names, is_gone=True)

    def _by_name(self, text: str, entries: list[Descriptor], own: str) -> Removal:
        """A name goes, unless it is a used image's last; that goes with it, unless a container
        runs in it.
        """
        image_id = images.id_of(self._store, entries[0])
        is_last = len(self._left(entries)) == 1
        user = self._users.get(image_id)
        self._check_last(text, entries, image_id)
        is_gone = is_last and not (user and user.is_running)
        return self._take(entries, image_id, (own,), is_gone=is_gone)

    def _by_digest(self, text: str, entries: list[Descriptor]) -> Removal:
        """A name with digest goes, of an image that has a tag and stays."""
        wanted = Reference.parse(text).replace(tag=None)
        if wanted not in self._served(entries):
            raise catalog.not_found(text)
        image_id = images.id_of(self._store, entries[0])
        self._check_last(text, entries, image_id)
        self.unserved.add(wanted)
        return Removal((wanted.familiar,))

    def _check_last(self, text: str, entries: list[Descriptor], image_id: Digest) -> None:
        """Refuse to take an image's last name from a container."""
        user = self._users.get(image_id)
        if user and not self._force and len(self._left(entries)) == 1:
            raise RootlessError(
                f'conflict: unable to remove repository reference "{text}" (must force) - '
                f"container {user.short} is using its referenced image {image_id.short}",
                hint=f"remove the container first: rootless rm {user.short}; or use --force",
            )

    def check(self, image_id: Digest) -> None:
        """Refuse to take an image from the containers that need it."""
        self._check(image_id, is_many=False)

    def _check(self, image_id: Digest, *, is_many: bool) -> None:
        """Refuse, in docker's words and order, to take an image by id from those who need it."""
        user = self._users.get(image_id)
        if user and user.is_running:
            raise _conflict(
                image_id,
                f"(cannot be forced) - image is being used by running container {user.short}",
                f"end it and remove it first: rootless rm -f {user.short}",
            )
        if is_many and not self._many:
            raise _conflict(
                image_id,
                "(must be forced) - image is referenced in multiple repositories",
                "remove its names one by one, or use --force",
            )
        if user and not self._force:
            raise _conflict(
                image_id,
                f"(must be forced) - image is being used by stopped container {user.short}",
                f"remove the container first: rootless rm {user.short}; or use --force",
            )

    def _take(
        self, entries: list[Descriptor], image_id: Digest, going: tuple[str, ...], *, is_gone: bool
    ) -> Removal:
        before = self._served(entries)
        self.taken.update(going)
        if is_gone:
            self.gone.update(one.digest for one in entries)
        lost = set(before).difference(self._served(entries))
        untagged = [Reference.parse(name) for name in going]
        untagged += [one for one in before if one in lost and one not in untagged]
        said = tuple(one.familiar for one in untagged)
        return Removal(said, (self._deleted(entries[0], image_id),) if is_gone else ())

    def _deleted(self, entry: Descriptor, image_id: Digest) -> Digest:
        """What goes with an entry: the image; the manifest alone where another leads to it too."""
        is_whole = all(one.digest in self.gone for one in self.by_image()[image_id])
        return image_id if is_whole else entry.digest

    def _left(self, entries: list[Descriptor]) -> tuple[str, ...]:
        """The names that are not taken yet."""
        return tuple(one for one in _names(entries) if one not in self.taken)

    def _served(self, entries: list[Descriptor]) -> tuple[Reference, ...]:
        """The names with digest that the image still has by its names that are left."""
        left = (one for one in entries if index.name_of(one) not in self.taken)
        return tuple(one for one in index.served_as(left) if one not in self.unserved)


def _names(entries: Iterable[Descriptor]) -> tuple[str, ...]:
    """What the entries are called, each name once."""
    return tuple(dict.fromkeys(name for one in entries if (name := index.name_of(one))))


def _is_many(names: tuple[str, ...]) -> bool:
    """Whether the image has several tags, or names in several repositories."""
    known = {Reference.parse(name) for name in names}
    tags = [one for one in known if not one.digest]
    return len(tags) > 1 or len({one.familiar_name for one in known}) > 1


def _conflict(image_id: Digest, why: str, hint: str) -> RootlessError:
    return RootlessError(f"conflict: unable to delete {image_id.short} {why}", hint=hint)


def remove_platform(
    store: Store,
    text: str,
    platform: Platform,
    *,
    force: bool = False,
    users: Mapping[Digest, User] = {},
) -> Removal:
    """Take the image for `platform` out of what `text` names, which stays for the others.

    NotFoundError where it has none, RootlessError in the words of `remove`. Where it is the last
    one, all goes as with `remove`. A crash leaves what the next collection takes.
    """
    entries = index.read(store)
    entry, _ = images.catalog(store, entries).find(text)
    image = images.resolve(store, text, platform)
    if not image.config.platform.runs_on(platform):
        raise NotFoundError(f"{text} has no image for {platform}")
    family = images.family(store, image)
    if len(family) == 1:
        (removal,), _ = remove(store, [text], force=force, users=users)
        return removal
    chosen = next(top.digest for top, one in family if one.manifest == image.manifest)
    for other in entries:
        if other.digest != entry.digest and chosen in images.documents_of(store, other):
            name = index.name_of(other) or other.digest.short
            raise RootlessError(
                f"the image for {platform} is one of {name}, too", hint=f"rootless rmi {name}"
            )
    _Removing(store, entries, users, force=force, many=True).check(image.id)
    with store.writing(), lock.doom(store):
        grave = staging.bury(store, blobs.path(store, chosen))
    if grave:
        staging.delete(grave)
    facts = images.facts(store, entry)
    index.update(
        store,
        lambda there: tuple(
            one.replace(annotations={**one.annotations, **facts})
            if one.digest == entry.digest
            else one
            for one in there
        ),
    )
    gc.collect(store)
    return Removal(deleted=(image.id,))


def untag(store: Store, text: str, names: Sequence[str] = ()) -> None:
    """Take `names` from the image called `text`, or all it has; the image stays, if dangling.

    NotFoundError for what is none of its names; then it keeps all.
    """

    def change(entries: Entries) -> Entries:
        found = images.catalog(store, entries)
        meant, is_name = found.find_all(text)
        own = _names(found.same(meant[0]) if is_name else meant)
        wanted = [str(Reference.parse(name)) for name in names]
        for name, full in zip(names, wanted, strict=True):
            if full not in own:
                raise NotFoundError(f"{name}: tag not known", hint=f"{text} has other names")
        return index.unname(entries, wanted or own)

    index.update(store, change)


def prune(
    store: Store,
    *,
    everything: bool = False,
    cache: Callable[[Cached, Usage], bool] | None = None,
    used: Mapping[Digest, Container[str]] = {},
    wanted: Callable[[Listed], bool] | None = None,
) -> Pruned:
    """Delete dangling images, with `everything` all, but none whose id is in `used`.

    `used` has the names by which containers know such an image: with `everything` it loses its
    others, but never its last.
    Only those that are `wanted`, if that is given. With `cache` that goes, too, of the build cache
    for which it is true, once the images are gone.
    """
    store.create()
    dropped: dict[Digest, Listed] = {}
    deleted: list[Digest] = []
    spare: list[Reference] = []

    def change(entries: Entries) -> Entries:
        there = images.told(store, entries)
        doomed = [one for one in there if everything or one.is_dangling]
        going = [one for one in doomed if one.id not in used and (not wanted or wanted(one))]
        dropped.clear()
        dropped.update((one.descriptor.digest, one) for one in going)
        kept = {one.id for one in there if one.descriptor.digest not in dropped}
        deleted[:] = [one.descriptor.digest if one.id in kept else one.id for one in going]
        left = tuple(one for one in entries if one.digest not in dropped)
        here = [one for one in doomed if one.id in used and (not wanted or wanted(one))]
        spare[:] = [name for one in here for name in _spare(one, used[one.id])]
        return index.unname(left, set(map(str, spare)))

    with store.writing():
        index.update(store, change)
        cached = _forget(store, cache) if cache else []
        swept = staging.sweep(store, downloads=True)
    freed = gc.collect(store)
    untagged = [one.familiar for one in spare]
    untagged += [one for image in dropped.values() for one in _all_names(image)]
    size = freed.size + swept + sum(one.size for one in cached)
    keys = tuple(one.key for one in cached)
    return Pruned(tuple(untagged), tuple(dict.fromkeys(deleted)), freed.layers, keys, size)


def prune_cache(
    store: Store, wanted: Callable[[Cached, Usage], bool], limits: Limits | None = None
) -> tuple[list[Cached], int]:
    """Delete what of the build cache is `wanted`, as far as `limits` ask for it, and the layers
    that only it kept: what went, and the bytes.
    """
    store.create()
    with store.writing():
        gone = _forget(store, wanted, limits)
    return gone, sum(one.size for one in gone) + gc.collect(store).size


def _spare(image: Listed, known: Container[str]) -> Iterator[Reference]:
    """The tags of a used image by which no container knows it; one stays."""
    kept = [one for one in image.references if str(one) in known] or image.references[:1]
    return (one for one in image.references if one not in kept)


def _all_names(image: Listed) -> Iterator[str]:
    """As docker lists them: a tag, then where it is served."""
    digests = {one.familiar_name: one.familiar for one in reversed(image.repo_digests)}
    for one in image.references:
        yield one.familiar
        if served := digests.pop(one.familiar_name, None):
            yield served
    yield from digests.values()


def _forget(
    store: Store, wanted: Callable[[Cached, Usage], bool], limits: Limits | None = None
) -> list[Cached]:
    """Delete what of the build cache is meant."""
    usage = Usage(store)
    going = kept.chosen(store, usage, lambda one: wanted(one, usage), limits)
    return kept.remove(store, going)
