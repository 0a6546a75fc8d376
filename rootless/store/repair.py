"""Repairing a store: what `check` found is moved into quarantine, and made again where it can be.

Nothing is deleted, and no image loses its name. Moving and the index need no namespace; `remake`
reads and writes layers, as (mapped) root. Fetching blobs is `image/refetch`'s. A crash leaves what
was done so far; the next repair goes on from there.
"""

from __future__ import annotations

import os

from rootless import leanjson, linux
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.oci import manifest as manifests
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.store import (
    Store,
    blobs,
    check,
    entries,
    index,
    layers,
    lock,
    write_layout,
)
from rootless.store.quarantine import Quarantine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rootless.store.check import Fault

    Names = Mapping[Digest, str]

_KEPT = "layers", "lock"  # what is beside the layout file of a store that was ours


def open_store(root: str, *, mend: bool) -> tuple[Store, Fault | None]:
    """The store, also where its layout file is damaged: then with that fault.

    With `mend` the file is moved into quarantine and written anew. RootlessError for a folder that
    never was ours, or is a newer version's.
    """
    try:
        return Store(root), None
    except RootlessError as error:
        if not all(os.path.exists(os.path.join(root, name)) for name in _KEPT) or _is_newer(root):
            raise
        fault = check.Fault("layout", "oci-layout", error.message)
    store = Store(root, unread=True)
    if mend:
        Quarantine(store).put("oci-layout")
        write_layout(store)
    return store, fault


def _is_newer(root: str) -> bool:
    try:
        layout = leanjson.loads(_content(os.path.join(root, "oci-layout")))
    except IntegrityError:
        return False
    version = layout.get("rootlessStore") if isinstance(layout, dict) else None
    return isinstance(version, int) and version > 1


def tidy(
    store: Store, faults: Sequence[Fault], quarantine: Quarantine, names: Names
) -> Iterator[str]:
    """Move away what is damaged, and mend the index; a sentence for each thing that was done.

    `names` are image id → a name that a container knows it by, for an index that is lost.
    """
    for fault in faults:
        path = _path(fault)
        if fault.kind == "folder":
            os.makedirs(store.path(fault.thing), mode=0o700, exist_ok=True)
            yield f"made the folder {fault.thing} again"
        elif fault.kind == "index":
            yield from _rebuild_index(store, quarantine, names)
        elif fault.kind == "blob" and not check.blob_fault(store, Digest.parse(fault.thing)):
            continue  # somebody has put a whole one in its place
        elif path and quarantine.put(path):
            yield f"moved to quarantine: {path}"
    if any(fault.kind == "entry" for fault in faults):
        index.update(store, lambda there: tuple(_mended(store, one) for one in there))
        yield "index.json: entries that did not fit their images were written anew"


def _path(fault: Fault) -> str:
    """What is to be moved away; nothing where something is only missing."""
    if fault.kind == "blob":
        return f"blobs/{fault.thing.replace(':', '/')}"
    if fault.kind == "layer":
        return f"layers/{fault.thing}"
    if fault.kind == "record":
        return f"layers/{fault.thing}/layer.json"
    return fault.thing if fault.kind in ("skeleton", "cache", "container", "state") else ""


def _mended(store: Store, entry: Descriptor) -> Descriptor:
    """What can be told anew of an entry; one that is of no image finds its own again."""
    if not blobs.has(store, entry.digest):
        entry = entries.orphan(store, entry) or entry
    return _anew(store, entry)


def _rebuild_index(store: Store, quarantine: Quarantine, names: Names) -> Iterator[str]:
    """Write index.json from what of it can be read, and from the manifests that are there."""
    with store.writing(), lock.index(store):
        salvaged = index.salvage(_content(store.path("index.json")))
        known = {entry.digest for entry in salvaged}
        named = [_called(store, one, names) for one in _manifests(store) if one.digest not in known]
        anew = [_anew(store, one) for one in (*salvaged, *named)]
        quarantine.keep("index.json")  # the damaged one stays in its place until it is replaced
        index.write(store, anew)
    with_name = sum(1 for one in salvaged if index.name_of(one))
    by_container = sum(1 for one in named if index.name_of(one))
    without = len(named) - by_container
    yield (
        f"index.json was written anew: {with_name} names could be read in the damaged one, "
        f"{by_container} are known from containers, and {without} images have lost their names"
    )
    if without:
        yield "see them with: rootless images -a; name one with: rootless tag ID NAME"


def _content(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # it may be anything
        with open(fd, "rb") as file:
            return file.read(leanjson.MAX_BYTES * 16)
    except OSError:
        return b""


def _anew(store: Store, entry: Descriptor) -> Descriptor:
    try:
        return entries.mended(store, entry)
    except (NotFoundError, IntegrityError):
        return entry


def _manifests(store: Store) -> list[Descriptor]:
    """Every manifest and index whose blob is whole, but those that another index lists."""
    found = {
        digest: value
        for digest, value in entries.documents(store).items()
        if not check.blob_fault(store, digest)
    }
    listed = {
        one.digest
        for value in found.values()
        if isinstance(value, Index)
        for one in value.manifests
    }
    return [
        Descriptor(value.media_type, digest, os.path.getsize(blobs.path(store, digest)))
        for digest, value in found.items()
        if digest not in listed
    ]


def _called(store: Store, entry: Descriptor, names: Names) -> Descriptor:
    """An entry with the name that a container knows its image by, if one does."""
    try:
        value = manifests.decode(blobs.read(store, entry.digest))
    except (NotFoundError, IntegrityError):
        return entry
    name = None if isinstance(value, Index) else names.get(value.config.digest)
    return index.named(name, entry) if name else entry


def remake(store: Store, folders: Sequence[str]) -> list[str]:
    """Seal the records, and unpack the layers, of those folders of layers/ that lack them.

    A sentence for each. As (mapped) root, without threads.
    """
    said = []
    for name in folders:
        folder = store.path("layers", name)
        is_unsealed = os.path.isdir(folder) and not os.path.exists(f"{folder}/layer.json")
        if is_unsealed and (measured := check.measured_as(folder, name)):
            layers.seal(folder, measured)
            linux.syncfs(store.root)
            said.append(f"wrote the record of layer {name} anew")
    wanted = {name for name in folders if not os.path.exists(store.path("layers", name))}
    for blob, diff_id in entries.pairs(store):
        if diff_id.short in wanted and blobs.has(store, blob.digest):
            from rootless.store import unpackers

            wanted.discard(diff_id.short)
            try:
                unpackers.unpack(store, [(blob, diff_id)])
            except RootlessError as error:
                said.append(f"the layer {diff_id.short} cannot be unpacked: {error.message}")
            else:
                said.append(f"unpacked the layer {diff_id.short} anew")
    return said
