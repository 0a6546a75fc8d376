"""Lists of images made by hand, one image a platform: `manifest create` and what goes with it.

A list is a named index of the store, like one that was pulled, and is pushed like one. Who changes
one has `lock.lists`. Runs in the command's process; a crash leaves the list as it was.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.image import copy
from rootless.image import store as ends
from rootless.oci import manifest as manifests
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.manifest import Index
from rootless.store import blobs, images, index, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.image.transport import Document, Report, Source
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image

    Entries = tuple[Descriptor, ...]

_MOST = 1000  # images of one index: each is asked for, and kept


def create(store: Store, name: Reference, entries: Entries, *, amend: bool) -> Image:
    """Make a list of that name; with `amend` one that is there gets the entries, too."""
    with lock.lists(store):
        if _is_taken(store, name):
            if not amend:
                raise RootlessError(
                    f"refusing to amend an existing manifest list with no --amend flag: "
                    f"{name.familiar}",
                    hint="add to it with --amend, or remove it: rootless manifest rm "
                    f"{name.familiar}",
                )
            return _change(store, name, lambda there: _joined(there, entries))
        return _write(store, name, entries)


def change(store: Store, name: Reference, work: Callable[[Entries], Entries]) -> Image:
    """Replace the entries of a list by `work(entries)`."""
    with lock.lists(store):
        return _change(store, name, work)


def add(store: Store, name: Reference, entries: Entries) -> Image:
    """Add to a list; an entry that is there is replaced."""
    return change(store, name, lambda there: _joined(there, entries))


def read(store: Store, name: Reference) -> Index:
    """A list as it is; NotFoundError, UsageError where the name is an image's."""
    image = images.resolve(store, str(name))
    found = manifests.decode(blobs.read(store, image.descriptor.digest))
    if not isinstance(found, Index):
        raise UsageError(
            f"{name.familiar} is an image, not a manifest list",
            hint="make a list with: rootless manifest create LIST IMAGE…",
        )
    return found


def local(store: Store, image: Image, platform: Platform | None) -> Entries:
    """The entries for an image of the store: all that its names stand for, or one platform's."""
    images.hold(store, image)
    family = images.family(store, image)
    if platform:
        family = [pair for pair in family if pair[1].manifest == image.manifest]
    return tuple(_entry(descriptor, one.config) for descriptor, one in family)


def bring(store: Store, source: Source, platform: Platform | None, report: Report) -> Entries:
    """The entries for what a registry has, whose blobs are in the store then, held.

    Each image is brought before the next is asked for. IntegrityError for more than _MOST of them.
    """
    top = source.manifest()
    if platform:
        top, _ = copy.choose(source, top, platform)
    found = top.decode()
    if not isinstance(found, Index):
        return (_bring(store, source, top, report),)
    digests = tuple(dict.fromkeys(entry.digest for entry in found.images))
    if len(digests) > _MOST:
        raise IntegrityError(
            f"the index {top.digest} lists {len(digests)} images; no more than {_MOST} are taken"
        )
    return tuple(_bring(store, source, source.manifest(one), report) for one in digests)


def _bring(store: Store, source: Source, document: Document, report: Report) -> Descriptor:
    found = document.decode()
    if isinstance(found, Index):
        raise IntegrityError(f"{document.digest} is a list of lists of images")
    sink = ends.Sink(store)
    copy.config(source, sink, found)
    copy.blobs(source, sink, found.layers, report)
    sink.put_manifest(document, top=False)
    config = ImageConfig.decode(blobs.read(store, found.config.digest))
    return _entry(Descriptor(found.media_type, document.digest, len(document.content)), config)


def _entry(descriptor: Descriptor, config: ImageConfig) -> Descriptor:
    return descriptor.replace(platform=config.platform, annotations={})


def _change(store: Store, name: Reference, work: Callable[[Entries], Entries]) -> Image:
    """As `change`; the list as it was is nobody's then, and not a nameless image."""
    before = images.resolve(store, str(name)).descriptor.digest
    image = _write(store, name, work(read(store, name).manifests))
    if image.descriptor.digest != before:
        index.update(
            store,
            lambda there: tuple(
                entry for entry in there if entry.digest != before or index.name_of(entry)
            ),
        )
    return image


def _joined(there: Sequence[Descriptor], new: Sequence[Descriptor]) -> Entries:
    return tuple({entry.digest: entry for entry in (*there, *new)}.values())


def _is_taken(store: Store, name: Reference) -> bool:
    try:
        images.resolve(store, str(name))
    except NotFoundError:
        return False
    return True


def _write(store: Store, name: Reference, entries: Entries) -> Image:
    if not entries:
        raise UsageError(
            f"{name.familiar} would be an empty list",
            hint=f"remove it whole: rootless manifest rm {name.familiar}",
        )
    content = Index(media_types.OCI_INDEX, entries).encode()
    return images.add(store, content, media_types.OCI_INDEX, (name,))
