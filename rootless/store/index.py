"""index.json: which images the store has and what they are called (image-spec image-index.md).

One entry a name; the annotations `org.opencontainers.image.ref.name` (what skopeo and umoci look
for) and `io.containerd.image.name` (what docker load looks for) hold the full reference. An image
without a name keeps one entry without these. Replaced whole, under the index lock. Runs in any
process; a crash leaves the old file or the new one.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci import media_types
from rootless.oci.descriptor import REF_NAME, Descriptor
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.store import lock, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from rootless.store import Store

CONTAINERD_NAME = "io.containerd.image.name"
SOURCE_DIGEST = "rootless.source.digest"
"""Entry annotation: the digest a registry answered for the name, be it a manifest or an index."""

IMAGE_ID = "rootless.image.id"
IMAGE_CREATED = "org.opencontainers.image.created"
IMAGE_SIZE = "rootless.image.size"
"""Entry annotations of our own images: what a list of images shows, read from this one file."""

NAMES = frozenset({REF_NAME, CONTAINERD_NAME})
IMAGE_BUILT = "rootless.image.built"
"""When it was built here: its `created` tells how old its inputs are."""
FACTS = frozenset({IMAGE_ID, IMAGE_CREATED, IMAGE_SIZE})
_MAX_BYTES = 64 << 20
_ENTRY = '{"mediaType"'
_CURE = "find what is there, and its names, with: rootless system check --repair"


def read(store: Store) -> tuple[Descriptor, ...]:
    """All entries, oldest first; none when the store does not exist yet."""
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe there is one without a writer
        with open(os.open(store.path("index.json"), flags), "rb", buffering=0) as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        if os.path.exists(store.path("oci-layout")):  # it was written after the index
            raise _damaged(store, "it is missing") from None
        return ()
    except IsADirectoryError:
        raise _damaged(store, "it is a directory") from None
    try:
        value = leanjson.loads(content, f"{store.root}/index.json")
    except IntegrityError as error:
        raise IntegrityError(error.message, hint=_CURE) from None
    entries = value.get("manifests") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise _damaged(store, "it lists no manifests")
    try:
        return tuple(Descriptor.decode(entry) for entry in entries)
    except IntegrityError as error:
        raise _damaged(store, error.message) from None


def salvage(content: bytes) -> tuple[Descriptor, ...]:
    """Those entries of a damaged index.json that can still be read."""
    text = content.decode(errors="replace")
    found = []
    at = text.find(_ENTRY, text.find('"manifests"') + 1)
    while at >= 0:
        try:
            found.append(Descriptor.decode(leanjson.beginning(text[at:])))
        except IntegrityError:
            pass
        at = text.find(_ENTRY, at + 1)
    return tuple(found)


def _damaged(store: Store, why: str) -> IntegrityError:
    message = f"{store.root}/index.json is damaged: {why}"
    return IntegrityError(message, hint=_CURE)


def update(
    store: Store, change: Callable[[tuple[Descriptor, ...]], tuple[Descriptor, ...]]
) -> tuple[Descriptor, ...]:
    """Replace the entries by `change(entries)`; the entries as they were before."""
    store.create()
    with store.writing(), lock.index(store):
        before = read(store)
        after = change(before)
        if after != before:
            write(store, after)
    return before


def write(store: Store, entries: Iterable[Descriptor]) -> None:
    """Replace the entries, whatever they were. The caller holds `lock.index`."""
    value = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_INDEX,
        "manifests": [entry.encode() for entry in entries],
    }
    replace_file(store, store.path("index.json"), leanjson.dumps(value))


def name_of(entry: Descriptor) -> str | None:
    """The full reference an entry gives its image; None for a dangling image's."""
    return entry.annotations.get(REF_NAME)


def source_of(entry: Descriptor) -> Digest:
    """What a registry calls this image: its own digest or that of the index it came from."""
    source = entry.annotations.get(SOURCE_DIGEST)
    return Digest.parse(source) if source else entry.digest


def served_as(entries: Iterable[Descriptor]) -> tuple[Reference, ...]:
    """The names with digest under which a registry has the image that these entries are of."""
    served = []
    for entry in entries:
        text = name_of(entry)
        if text and ("@" in text or SOURCE_DIGEST in entry.annotations):
            served.append(Reference.parse(text).replace(tag=None, digest=source_of(entry)))
    return tuple(dict.fromkeys(served))


def name(
    entries: tuple[Descriptor, ...], new: str, descriptor: Descriptor
) -> tuple[Descriptor, ...]:
    """The entries once `new` names `descriptor`; its former image may be left dangling."""
    return name_all(entries, {new: descriptor})


def name_all(
    entries: tuple[Descriptor, ...], names: Mapping[str, Descriptor]
) -> tuple[Descriptor, ...]:
    """`name` for many at once, in one walk."""
    there = {name_of(entry): entry for entry in entries}
    new = [named(name, entry) for name, entry in names.items()]
    new = [entry for entry in new if there.get(name_of(entry)) != entry]
    rest = unname(entries, {name_of(entry) for entry in new})
    digests = {entry.digest for entry in names.values()}
    return (*(one for one in rest if name_of(one) or one.digest not in digests), *new)


def unname(
    entries: tuple[Descriptor, ...], names: Container[str | None], gone: Container[Digest] = ()
) -> tuple[Descriptor, ...]:
    """The entries without these names; an image stays, dangling, when it loses its last.

    One that is `gone` does not stay, nor does any other name of it.
    """
    kept = [one for one in entries if name_of(one) not in names and one.digest not in gone]
    there = {entry.digest for entry in kept}
    for loser in entries:
        if loser.digest not in gone and loser.digest not in there:
            there.add(loser.digest)
            kept.append(_nameless(loser))
    return tuple(kept)


def unserve(
    entries: tuple[Descriptor, ...], served: Container[Reference]
) -> tuple[Descriptor, ...]:
    """The entries without knowing that a registry has their image under these names@digest."""

    def changed(entry: Descriptor) -> Descriptor:
        if served_as((entry,)) and served_as((entry,))[0] in served:
            kept = {key: one for key, one in entry.annotations.items() if key != SOURCE_DIGEST}
            return entry.replace(annotations=kept)
        return entry

    return tuple(map(changed, entries))


def keep(
    entries: tuple[Descriptor, ...], descriptors: Iterable[Descriptor]
) -> tuple[Descriptor, ...]:
    """The entries with an unnamed one for each image that nothing else holds."""
    new = {one.digest: _nameless(one) for one in descriptors}
    for entry in entries:
        new.pop(entry.digest, None)
    return (*entries, *new.values())


def named(name: str, entry: Descriptor) -> Descriptor:
    """An entry that gives its image the full reference `name`."""
    annotations = {**entry.annotations, REF_NAME: name, CONTAINERD_NAME: name}
    return entry.replace(annotations=annotations)


def _nameless(entry: Descriptor) -> Descriptor:
    annotations = {key: text for key, text in entry.annotations.items() if key not in NAMES}
    return entry.replace(annotations=annotations)
