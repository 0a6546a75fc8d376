"""Checking a whole store: every blob, layer, record and name. Pure reading.

Blobs are hashed. A layer's files must make the tar that its diff_id is of, or, where another
tool wrote that tar, be what its blob unpacks to. Reading the files of layers needs (mapped) root;
all else works in any process of the user's. What is removed meanwhile is no fault. `repair` does
something about what is found here.
"""

from __future__ import annotations

import os
import stat

from rootless import leanjson
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.oci import manifest as manifests
from rootless.oci.config import ImageConfig
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.record import Record
from rootless.store import FOLDERS, blobs, entries, gc, index, layers, skeleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.manifest import Manifest
    from rootless.store import Store

_CHUNK = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SHORT = 12
_HEX = frozenset("0123456789abcdef")


class Fault(Record):
    """One thing that is wrong, and the sentence that says so.

    `kind` is what it is: layout, index, entry, folder, skeleton, blob, layer, record (of a layer
    whose files are right), cache, image, container, state or volume. `thing` is which one: a
    digest, a name, or a path below the store's root.
    """

    kind: str
    thing: str
    said: str


def check(store: Store, *, files: bool = False) -> tuple[Fault, ...]:
    """Everything that is wrong; with `files` the layers are read too, as (mapped) root."""
    if not os.path.exists(store.root):
        return ()
    found = [*_folders(store)]
    damaged = [*_blobs(store)]
    found += damaged
    if files:
        bad = {Digest.parse(fault.thing) for fault in damaged}
        looking = _Layers(store, bad)
        for name in _listed(store, "layers"):
            found += looking.look(name)
    found += _cache(store)
    try:
        named = index.read(store)
    except IntegrityError as error:
        return (*found, Fault("index", "index.json", error.message))
    for entry in named:
        faults = [*_entry(store, entry), *lacks(store, entry)]
        if faults and entry in index.read(store):
            found += faults
    return tuple(found)


def _listed(store: Store, folder: str) -> list[str]:
    try:
        return sorted(os.listdir(store.path(folder)))
    except OSError:
        return []


def _folders(store: Store) -> Iterator[Fault]:
    for folder in FOLDERS:
        if not os.path.isdir(store.path(folder)):
            yield Fault("folder", folder, f"the folder {folder} is missing")
    if os.path.lexists(store.path("skeleton")) and not skeleton.is_whole(store):
        yield Fault("skeleton", "skeleton", "the folder skeleton is damaged")


def _blobs(store: Store) -> Iterator[Fault]:
    for digest in gc.stored_blobs(store):
        if why := blob_fault(store, digest):
            yield Fault("blob", str(digest), f"the blob {digest} {why}")


def blob_fault(store: Store, digest: Digest) -> str:
    """What is wrong with a blob that is there; nothing where it is whole, or gone."""
    import hashlib

    actual = hashlib.new(digest.algorithm)
    try:
        fd = os.open(blobs.path(store, digest), _OPEN)
        with open(fd, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return "is no file"
            while chunk := file.read(_CHUNK):
                actual.update(chunk)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if actual.hexdigest() == digest.hex else "has other contents"


class _Layers:
    """Holds layers against their diff_ids, or against their blobs, of which `bad` are damaged."""

    def __init__(self, store: Store, bad: set[Digest]) -> None:
        self._store = store
        self._bad = bad
        self._packed: set[Digest] | None = None
        try:
            self._packed = {blob.digest for blob, _ in entries.pairs(store)}
        except IntegrityError:  # which blobs images have cannot be known now
            pass

    def look(self, name: str) -> Iterator[Fault]:
        """What is wrong with a folder in layers/; others than ours are left alone."""
        if len(name) != _SHORT or not _HEX.issuperset(name):
            return
        folder = self._store.path("layers", name)
        try:
            layer = layers.read(folder)
            if layer.diff_id.short != name:
                raise IntegrityError(f"it is about {layer.diff_id}")
        except (OSError, IntegrityError) as error:
            if os.path.exists(folder):
                why = error.message if isinstance(error, IntegrityError) else error.strerror
                kind = "record" if measured_as(folder, name) else "layer"
                yield Fault(kind, name, f"the record of layer {name} is damaged: {why}")
            return
        yield from self._compare(name, folder, layer)

    def _compare(self, name: str, folder: str, layer: layers.Layer) -> Iterator[Fault]:
        kind = "record"
        measured = measured_as(folder, name)
        if measured is None:
            kind = "layer"
            blob = next(filter(self._is_whole, (layer.diff_id, *layer.blobs)), None)
            if blob is None and self._is_awaited(layer):
                return
            measured = _unpacked(self._store, layer, blob) if blob else None
        if measured is None:
            if os.path.exists(folder):
                yield Fault("layer", name, f"the layer {layer.diff_id} has other files")
            return
        told = (layer.size, layer.contents, layer.opaque)
        if told != (measured.size, measured.contents, layers.is_opaque(layer.path)):
            yield Fault(kind, name, f"the record of layer {name} does not fit its files")

    def _is_whole(self, digest: Digest) -> bool:
        return digest not in self._bad and blobs.has(self._store, digest)

    def _is_awaited(self, layer: layers.Layer) -> bool:
        """Whether it can be compared once its blob, a fault of its own, is here again."""
        return bool(layer.blobs) and (
            self._packed is None or not self._packed.isdisjoint(layer.blobs)
        )


def measured_as(folder: str, name: str) -> layers.Measure | None:
    """What the files of the layer `name` make, if that has this diff_id."""
    try:
        measured = layers.measure(os.path.join(folder, "diff"))
    except (OSError, RootlessError):
        return None
    return measured if measured.diff_id.short == name else None


def _unpacked(store: Store, layer: layers.Layer, blob: Digest) -> layers.Measure | None:
    """What a blob of the layer unpacks to, if the layer has just these files."""
    from rootless.store import unpackers
    from rootless.store.staging import Staging

    with Staging(store, ("diff",)) as staged:
        try:
            measured = unpackers.unpack_into(store, blob, layer.diff_id, staged.path)
            unpacked = layers.measure(os.path.join(staged.path, "diff"))
            own = layers.measure(layer.path)
        except (OSError, RootlessError):
            return None
    return measured if own == unpacked else None


def _cache(store: Store) -> Iterator[Fault]:
    for folder in _listed(store, "cache"):
        for name in _listed(store, f"cache/{folder}"):
            path = f"cache/{folder}/{name}"
            if name.endswith(".json") and (why := _record_fault(store, path)):
                yield Fault("cache", path, f"the cache record {path} {why}")


def _record_fault(store: Store, path: str) -> str:
    try:
        fd = os.open(store.path(path), _OPEN)
        with open(fd, "rb", buffering=0) as file:
            lines = file.read().splitlines() or [b""]
        value, *_ = [leanjson.loads(line, "it") for line in lines]
        if isinstance(value, dict) and "diff_id" in value:
            diff_id = Digest.parse(value["diff_id"])
            if layers.find(store, diff_id) is None:
                return f"names the layer {diff_id.short}, which is missing"
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except IntegrityError as error:
        return f"is no record: {error.message}"
    return ""


def _entry(store: Store, entry: Descriptor) -> Iterator[Fault]:
    """What index.json says of an image, and is not so."""
    if wrong := entries.misfit(store, entry):
        name = index.name_of(entry) or entry.digest.short
        yield Fault("entry", str(entry.digest), f"{name}: its entry in index.json {wrong}")


def lacks(store: Store, entry: Descriptor) -> Iterator[Fault]:
    """What an image lacks. Of an index those images count that are here: one may be enough."""
    name = index.name_of(entry) or entry.digest.short
    for said in _lacks(store, entry):
        yield Fault("image", str(entry.digest), f"{name}: {said}")


def _lacks(store: Store, entry: Descriptor) -> Iterator[str]:
    try:
        found = manifests.decode(blobs.read(store, entry.digest), entry.media_type)
        if isinstance(found, Index):
            here = [one for one in found.images if blobs.has(store, one.digest)]
            if found.manifests and not here:
                yield "none of the images that it lists is here"
            for one in here:
                yield from _lacks(store, one)
        else:
            yield from _missing_layers(store, found)
    except (IntegrityError, NotFoundError) as error:
        yield error.message
    except OSError as error:
        yield f"the blob {entry.digest} cannot be read: {error.strerror}"


def _missing_layers(store: Store, manifest: Manifest) -> Iterator[str]:
    config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
    for blob, diff_id in manifest.pair(config.diff_ids):
        try:
            is_here = layers.find(store, diff_id) is not None
        except (OSError, IntegrityError) as error:
            why = error.message if isinstance(error, IntegrityError) else error.strerror
            yield f"the layer {diff_id} cannot be used: {why}"
            continue
        if blobs.has(store, blob.digest):
            continue
        if not is_here:
            yield f"the layer {diff_id} is missing"
        elif blob.digest != diff_id:
            yield f"the blob {blob.digest} is missing, which is needed to save it"
