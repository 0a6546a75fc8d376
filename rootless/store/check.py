"""Checking a whole store: every blob is hashed and every layer looked for. Pure reading."""

from __future__ import annotations

from rootless.errors import IntegrityError, NotFoundError
from rootless.oci import manifest as manifests
from rootless.oci.config import ImageConfig
from rootless.oci.manifest import Index
from rootless.store import blobs, gc, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.oci.manifest import Manifest
    from rootless.store import Store


def check(store: Store) -> tuple[str, ...]:
    """One sentence for each thing that is wrong. What is removed meanwhile is none."""
    entries = index.read(store)
    damaged = [digest for digest in gc.stored_blobs(store) if not _is_whole(store, digest)]
    wrong = [f"the blob {digest} has other contents" for digest in damaged]
    for entry in entries:
        name = index.name_of(entry) or entry.digest.short
        faults = list(_faults(store, entry))
        if faults and entry in index.read(store):
            wrong += [f"{name}: {fault}" for fault in faults]
    return tuple(wrong)


def _is_whole(store: Store, digest: Digest) -> bool:
    import hashlib

    actual = hashlib.new(digest.algorithm)
    try:
        blobs.copy(store, digest, actual.update)
    except NotFoundError:
        return True
    return actual.hexdigest() == digest.hex


def _faults(store: Store, entry: Descriptor) -> Iterator[str]:
    """What an image lacks. Of an index those images count that are here: one may be enough."""
    try:
        found = manifests.decode(blobs.read(store, entry.digest), entry.media_type)
        if isinstance(found, Index):
            here = [one for one in found.images if blobs.has(store, one.digest)]
            if not here:
                yield "none of the images that it lists is here"
            for one in here:
                yield from _faults(store, one)
        else:
            yield from _missing_layers(store, found)
    except (IntegrityError, NotFoundError) as error:
        yield error.message


def _missing_layers(store: Store, manifest: Manifest) -> Iterator[str]:
    config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
    for blob, diff_id in manifest.pair(config.diff_ids):
        if not layers.find(store, diff_id) and not blobs.has(store, blob.digest):
            yield f"the layer {diff_id} is missing"
