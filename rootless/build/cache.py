"""The step cache: which layer a step made the last time it met the same inputs.

A key hashes the chain of layers below the step (image-spec's ChainID: contents, not names), the
canonical instruction, and the contents it reads. So a hit is exact: it never rests on a layer
that was made on top of something else. cache/steps/<key>.json is {"diff_id": …}, written only by
builds of this store, never from an image. A torn or missing record is a miss. Pure but for the
records; runs in the builder.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store
    from rootless.store.layers import Layer

_VERSION = 1


def chain_id(chain: str, diff_id: Digest) -> str:
    """The ChainID of a stack `chain` (empty for none) with one more layer on top."""
    return str(Digest.of(f"{chain} {diff_id}".encode())) if chain else str(diff_id)


def key(chain: str, instruction: tuple[object, ...], inputs: tuple[str, ...] = ()) -> str:
    """The cache key of an instruction; `instruction` holds only strings, numbers and tuples."""
    return Digest.of(leanjson.dumps([_VERSION, chain, instruction, inputs])).hex


def find(store: Store, step_key: str) -> Layer | None:
    """The layer recorded under a key, if the store still has it."""
    try:
        with open(_path(store, step_key), "rb", buffering=0) as file:
            record = leanjson.loads(file.read(4096))
        diff_id = Digest.parse(record.get("diff_id") if isinstance(record, dict) else None)
    except (OSError, IntegrityError):
        return None
    return layers.find(store, diff_id)


def record(store: Store, step_key: str, diff_id: Digest) -> None:
    """Remember what a step made. Not synced: losing a record only costs time."""
    unfinished = store.path("tmp", f"{os.getpid()}-{step_key[:16]}")
    with store.writing():
        with open(unfinished, "wb") as file:
            file.write(leanjson.dumps({"diff_id": str(diff_id)}))
        os.rename(unfinished, _path(store, step_key))


def _path(store: Store, step_key: str) -> str:
    return store.path("cache", "steps", f"{step_key}.json")
