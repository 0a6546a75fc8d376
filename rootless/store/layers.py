"""Layers: unpacked directories in overlayfs form, known by the digest of their tar (diff_id).

layers/<first 12 hex of diff_id>/ holds diff/ and layer.json, which has the whole diff_id, and the
blobs that were seen to unpack to it. diff/ is never changed once it has its name. Finding layers
works anywhere; publishing and reading them as a tar runs as (mapped) root. A crash leaves a swept
directory in tmp/.
"""

from __future__ import annotations

import os

from rootless import leanjson, owners
from rootless.errors import IntegrityError, RootlessError
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import blobs, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rootless.archive import Put
    from rootless.store import Store
    from rootless.store.staging import Staging


_CHUNK = 1 << 18
_MAX_RECORD = 1 << 16
_MOST_BLOBS = 16
_MOST_SOURCES = 4
SOURCES = "rootless.sources"
"""Annotation of a packed form: the repositories that have it, registry and all, by blanks."""
EMPTY = Digest("sha256", "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
"""The diff_id of a layer in which nothing changes: a tar of nothing but its end."""


class Measure(Record):
    """A layer's tar: its digest, its bytes, and how many of them are the contents of files."""

    diff_id: Digest
    size: int
    contents: int

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Measure:
        """What `unpacking.unpack_layer` found."""
        return cls(Digest.parse(found["diff_id"]), found["size"], found["contents"])


class Layer(Record):
    """`path` is the overlay lower directory; `size` counts the bytes of its tar, `contents` those
    of the files in it, which is what people are told.

    `blobs` are the digests of packed forms of it: each was unpacked once, and gave this layer.
    `opaque`: its root hides all layers below. overlayfs ignores that mark on a layer's root, so
    whoever stacks layers leaves out what lies below: see `visible`.
    """

    diff_id: Digest
    path: str
    size: int
    contents: int = 0
    opaque: bool = False
    blobs: tuple[Digest, ...] = ()

    def is_made_of(self, blob: Digest) -> bool:
        """Whether the blob is known to unpack to this layer: to be its tar, or a packed form."""
        return blob == self.diff_id or blob in self.blobs

    @property
    def id(self) -> str:
        """The short name of its folder."""
        return self.diff_id.short


def find(store: Store, diff_id: Digest) -> Layer | None:
    """The layer with this diff_id, if the store has it unpacked."""
    try:
        layer = read(store.path("layers", diff_id.short))
    except FileNotFoundError:
        return None
    return layer if layer.diff_id == diff_id else None


def read(folder: str) -> Layer:
    """The layer in a folder; IntegrityError when its record is damaged."""
    record = _read_record(folder)
    return Layer(
        Digest.parse(record.get("diff_id")),
        os.path.join(folder, "diff"),
        record["size"],
        record.get("contents", record["size"]),
        opaque=record.get("opaque") is True,
        blobs=tuple(Digest.parse(blob["digest"]) for blob in record.get("blobs", ())),
    )


def adopt(store: Store, diff_id: Digest) -> Layer | None:
    """The layer, if it is there, and then it stays while this process lives."""
    store.hold([diff_id])
    return find(store, diff_id)


def find_made_of(store: Store, diff_id: Digest, blob: Descriptor) -> Layer | None:
    """The layer, if it is there and `blob` is one of its packed forms, or turns out to be now.

    None where the blob is not in the store. IntegrityError when it unpacks to something else.
    """
    layer = find(store, diff_id)
    if layer is None or layer.is_made_of(blob.digest):
        return layer
    if not blobs.has(store, blob.digest):
        return None
    _verify(store, diff_id, blob)
    remember(store, layer, blob)
    return layer


def _verify(store: Store, diff_id: Digest, blob: Descriptor) -> None:
    import hashlib

    from rootless.archive import codecs

    digest = hashlib.new(diff_id.algorithm)
    with blobs.open_file(store, blob.digest) as file:
        decompressed = codecs.decompress(file.read)
        while chunk := decompressed(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != diff_id.hex:
        raise IntegrityError(
            f"the blob {blob.digest} has other contents than the layer {diff_id}: "
            f"they hash to {digest.hexdigest()}"
        )


def packed(store: Store, diff_id: Digest) -> tuple[Descriptor, ...]:
    """The layer's known packed forms, the latest first, be they in the store or elsewhere.

    The annotation SOURCES of one names the repositories that were seen to have it.
    """
    try:
        record = _read_record(store.path("layers", diff_id.short))
        if record["diff_id"] != str(diff_id):
            return ()
        return tuple(Descriptor.decode(one) for one in reversed(record.get("blobs", ())))
    except (OSError, IntegrityError, LookupError, TypeError):
        return ()


def remember(store: Store, layer: Layer, blob: Descriptor, repository: str = "") -> None:
    """Note that `blob` unpacks to `layer`, and that `repository` (with its registry) has it.

    Forgetting it costs another look at the blob, or sending it once more.
    """
    folder = os.path.dirname(layer.path)
    record = _read_record(folder)
    known = {one["digest"]: one for one in record.get("blobs", ())}
    before = known.pop(str(blob.digest), {}).get("annotations", {}).get(SOURCES, "").split()
    sources = [one for one in before if one != repository] + [repository] * bool(repository)
    noted = {SOURCES: " ".join(sources[-_MOST_SOURCES:])} if sources else {}
    new = blob.replace(annotations=noted, rest={}).encode()
    changed = {**record, "blobs": [*known.values(), new][-_MOST_BLOBS:]}
    if changed == record:
        return
    content = leanjson.dumps(changed) + b"\n"
    try:
        replace_file(store, os.path.join(folder, "layer.json"), content)
    except OSError:  # a store that can only be read, a full disk, a neighbour who deletes it
        pass


def _read_record(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, "layer.json")
    with open(path, "rb", buffering=0) as file:
        record = leanjson.loads(file.read(_MAX_RECORD), path)
    if not isinstance(record, dict) or not isinstance(record.get("size"), int):
        raise IntegrityError(f"{path} is damaged: it has no size")
    return record


def visible(stack: Sequence[Layer]) -> tuple[Layer, ...]:
    """Those of a stack (base first) that are mounted, topmost first: an opaque root is the last."""
    seen = []
    for layer in reversed(stack):
        seen.append(layer)
        if layer.opaque:
            break
    return tuple(seen)


def publish(
    store: Store,
    staged: Staging,
    measure: Measure,
    blob: Descriptor | None = None,
    repository: str = "",
) -> Layer:
    """Make `staged`'s diff/ the layer that was measured, and hold it.

    The caller has verified it, and `blob`, which came from `repository`, if that is what was
    unpacked; and all files below diff/ are on disk: see `linux.syncfs`. When the store has that
    layer already, that is the one returned, and `staged` stays the caller's: only he knows whether
    it is still mounted somewhere.
    """
    with store.writing():
        fd = _write_record(staged.path, measure, blob, repository)
        os.fsync(fd)
        os.close(fd)
    return publish_sealed(store, staged, measure.diff_id, blob)


def seal(folder: str, measure: Measure, blob: Descriptor | None = None) -> None:
    """Write the record of the layer in `folder`; it is not on disk before the caller's sync."""
    os.close(_write_record(folder, measure, blob))


def publish_sealed(
    store: Store, staged: Staging, diff_id: Digest, blob: Descriptor | None = None
) -> Layer:
    """`publish` what has been sealed, and is on disk, record and all."""
    from rootless import deletion

    store.hold([diff_id])
    with store.writing():
        for name in os.listdir(staged.path):
            if name not in {"diff", "layer.json"}:
                deletion.remove(os.path.join(staged.path, name))
        try:
            staged.publish(store.path("layers", diff_id.short))
        except OSError as error:
            from errno import EEXIST, ENOTEMPTY

            if error.errno not in {EEXIST, ENOTEMPTY}:
                raise
    layer = find(store, diff_id)
    if layer is None:
        raise RootlessError(
            f"the layer {diff_id} has the same short id as another layer of the store",
            hint="keep images that contain it in a store of their own: --root",
        )
    if blob and not layer.is_made_of(blob.digest):
        remember(store, layer, blob)
    return layer


def measure(directory: str, see: Put | None = None) -> Measure:
    """The tar that a directory in overlayfs form makes; `see` is shown its bytes."""
    from hashlib import sha256

    from rootless.archive import diff

    digest = sha256()
    size = 0

    def put(chunk: bytes) -> None:
        nonlocal size
        digest.update(chunk)
        size += len(chunk)
        if see:
            see(chunk)

    contents = diff.write(directory, put)
    return Measure(Digest("sha256", digest.hexdigest()), size, contents)


def weigh(directory: str) -> int:
    """The bytes of the files below a directory, each once, as far as they can be seen."""
    sizes: dict[int, int] = {}  # by inode: a file may have many names
    pending = [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        sizes[entry.inode()] = entry.stat(follow_symlinks=False).st_size
        except OSError:  # closed to us, longer than a path may be, or gone meanwhile
            continue
    return sum(sizes.values())


def write_tar(store: Store, layer: Layer, put: Put) -> None:
    """Call `put` with the layer's uncompressed tar, chunk by chunk.

    IntegrityError at its end when the bytes are not those of the diff_id any more: what was put
    must then be thrown away.
    """
    import hashlib

    from rootless.archive import diff

    if blobs.has(store, layer.diff_id):
        return blobs.copy(store, layer.diff_id, put)
    digest = hashlib.new(layer.diff_id.algorithm)

    def hash_and_put(chunk: bytes) -> None:
        digest.update(chunk)
        put(chunk)

    diff.write(layer.path, hash_and_put)
    if digest.hexdigest() != layer.diff_id.hex:
        raise IntegrityError(
            f"the files of layer {layer.id} in the store have changed since it was made",
            hint="remove the images that use it with: rootless rmi, then pull or build them again",
        )
    return None


def is_opaque(path: str) -> bool:
    """Whether the root of a layer's directory hides all layers below."""
    from rootless.archive import whiteout, xattrs

    return whiteout.is_opaque(xattrs.read(os.fsencode(path)))


def _write_record(
    folder: str, measure: Measure, blob: Descriptor | None = None, repository: str = ""
) -> int:
    """Write layer.json; its descriptor."""
    owners.mark(os.path.join(folder, "diff"))
    record: dict[str, object] = {
        "diff_id": str(measure.diff_id),
        "size": measure.size,
        "contents": measure.contents,
        "created": _now(),
    }
    if blob:
        noted = {SOURCES: repository} if repository else {}
        record["blobs"] = [blob.replace(annotations=noted, rest={}).encode()]
    if is_opaque(os.path.join(folder, "diff")):
        record["opaque"] = True
    path = os.path.join(folder, "layer.json")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(fd, leanjson.dumps(record) + b"\n")
    return fd


def _now() -> str:
    from time import gmtime, strftime

    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
