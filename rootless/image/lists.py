"""Lists of images made by hand, one image a platform: `manifest create` and what goes with it.

A list is a named index of the store, like one that was pulled, and is pushed like one. Who changes
one has `lock.lists`. Runs in the command's process; a crash leaves the list as it was.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.image import copy
from rootless.image import store as ends
from rootless.image.transport import Document
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.manifest import Index
from rootless.store import blobs, images, index, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.image.transport import Report, Source
    from rootless.oci.digest import Digest
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image

    Entries = tuple[Descriptor, ...]

_MOST = 1000  # images of one index: each is asked for, and kept


def create(store: Store, name: Reference, entries: Entries, *, amend: bool) -> Digest:
    """Make a list of that name; with `amend` one that is there gets the entries, too.

    Its digest, as from all that change one.
    """
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
        return _write(store, name, Index(media_types.OCI_INDEX, entries))


def change(store: Store, name: Reference, work: Callable[[Entries], Entries]) -> Digest:
    """Replace the entries of a list by `work(entries)`; what else it says stays."""
    with lock.lists(store):
        return _change(store, name, work)


def add(store: Store, name: Reference, entries: Entries) -> Digest:
    """Add to a list; an entry that is there is replaced."""
    return change(store, name, lambda there: _joined(there, entries))


def read(store: Store, name: Reference) -> Index:
    """A list as it is; NotFoundError, UsageError where the name is an image's."""
    found = document(store, name).decode()
    if not isinstance(found, Index):
        raise UsageError(
            f"{name.familiar} is an image, not a manifest list",
            hint="make a list with: rootless manifest create LIST IMAGE…",
        )
    return found


def document(store: Store, name: Reference, digest: Digest | None = None) -> Document:
    """The bytes that a name stands for, or of one that it lists; NotFoundError."""
    digest = digest or _named(store, name).digest
    return Document(blobs.read(store, digest), "", digest)


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
    listed: dict[Digest, Descriptor] = {}
    for entry in found.images:
        listed.setdefault(entry.digest, entry)
    if len(listed) > _MOST:
        raise IntegrityError(
            f"the index {top.digest} lists {len(listed)} images; no more than {_MOST} are taken"
        )
    return tuple(
        _bring(store, source, source.manifest(one.digest), report).replace(rest=one.rest)
        for one in listed.values()
    )


def _bring(store: Store, source: Source, document: Document, report: Report) -> Descriptor:
    found = document.decode()
    if isinstance(found, Index):
        raise IntegrityError(f"{document.digest} is a list of lists of images")
    sink = ends.Sink(store)
    copy.persist(source, lambda: copy.config(source, sink, found))
    copy.persist(source, lambda: copy.blobs(source, sink, found.layers, report))
    sink.put_manifest(document, top=False)
    config = ImageConfig.decode(blobs.read(store, found.config.digest))
    return _entry(Descriptor(found.media_type, document.digest, len(document.content)), config)


def _entry(descriptor: Descriptor, config: ImageConfig) -> Descriptor:
    return descriptor.replace(platform=config.platform, annotations={})


def _change(store: Store, name: Reference, work: Callable[[Entries], Entries]) -> Digest:
    """As `change`; the list as it was is nobody's then, and not a nameless image."""
    before = _named(store, name).digest
    there = read(store, name)
    after = _write(store, name, there.replace(manifests=work(there.manifests)))
    if after != before:
        index.update(
            store,
            lambda there: tuple(
                entry for entry in there if entry.digest != before or index.name_of(entry)
            ),
        )
    return after


def _joined(there: Sequence[Descriptor], new: Sequence[Descriptor]) -> Entries:
    return tuple({entry.digest: entry for entry in (*there, *new)}.values())


def _named(store: Store, name: Reference) -> Descriptor:
    return images.catalog(store).find(str(name))[0]


def _is_taken(store: Store, name: Reference) -> bool:
    try:
        _named(store, name)
    except NotFoundError:
        return False
    return True


def _write(store: Store, name: Reference, new: Index) -> Digest:
    content = new.encode()
    if not new.manifests:
        return _add_empty(store, content, new.media_type, name)
    return images.add(store, content, new.media_type, (name,)).descriptor.digest


def _add_empty(store: Store, content: bytes, media_type: str, name: Reference) -> Digest:
    """An index that lists no image yet can be listed, filled and removed, and nothing else."""
    digest = blobs.put(store, content)
    facts = {index.IMAGE_ID: str(digest), index.IMAGE_CREATED: "", index.IMAGE_SIZE: "0"}
    entry = Descriptor(media_type, digest, len(content), annotations=facts)
    index.update(store, lambda there: index.name_all(there, {str(name): entry}))
    return digest
