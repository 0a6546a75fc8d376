"""The step cache: which layer a step made the last time it met the same inputs.

A key hashes the chain of layers below the step (image-spec's ChainID: contents, not names), the
canonical instruction, and the contents it reads. So a hit is exact: it never rests on a layer
that was made on top of something else. cache/steps/<key>.json is {"diff_id", "created"}, written
only by builds of this store, never from an image. A torn or missing record is a miss. Runs in
the builder.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.descriptor import text_map
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store
    from rootless.store.layers import Layer

_VERSION = 1


class Hit(Record):
    """A layer made earlier, and when (RFC 3339)."""

    layer: Layer
    created: str


def chain_id(chain: str, diff_id: Digest) -> str:
    """The ChainID of a stack `chain` (empty for none) with one more layer on top."""
    return str(Digest.of(f"{chain} {diff_id}".encode())) if chain else str(diff_id)


def key(action: tuple[object, ...], contents: str, chains: tuple[str, ...]) -> str:
    """The cache key of an action (`keys.canonical`), in hex.

    `contents` is the digest of what it reads from the context, `chains` are the ChainIDs of the
    layers it rests on.
    """
    return Digest.of(leanjson.dumps([_VERSION, action, contents, chains])).hex


def find(store: Store, step_key: str) -> Hit | None:
    """What is recorded under a key, if the store still has the layer."""
    try:
        with open(_path(store, step_key), "rb", buffering=0) as file:
            found = text_map(leanjson.loads(file.read(4096)), "a cache record")
        layer = layers.find(store, Digest.parse(found.get("diff_id")))
    except (OSError, IntegrityError):
        return None
    return Hit(layer, found.get("created", "")) if layer else None


def record(store: Store, step_key: str, diff_id: Digest, created: str) -> None:
    """Remember what a step made. Not synced: losing a record only costs time."""
    unfinished = store.path("tmp", f"{os.getpid()}-{step_key[:16]}")
    with store.writing():
        with open(unfinished, "wb") as file:
            file.write(leanjson.dumps({"diff_id": str(diff_id), "created": created}))
        os.rename(unfinished, _path(store, step_key))


def _path(store: Store, step_key: str) -> str:
    return store.path("cache", "steps", f"{step_key}.json")
