"""The step cache: which layer a step made the last time it met the same inputs.

A key hashes the chain of layers below the step (image-spec's ChainID: contents, not names), the
canonical instruction, and the contents it reads. So a hit is exact: it never rests on a layer
that was made on top of something else. cache/steps/<key>.json is {"diff_id", "created"}, or, for
what a COPY --from finds in a chain of layers, {"contents"}; written only by builds of this store,
never from an image. A torn or missing record is a miss. Runs in the builder.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.descriptor import text_map
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import layers, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

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

    `contents` is the digest of the files it reads, `chains` is the ChainID of the layers it rests
    on, if any.
    """
    return Digest.of(leanjson.dumps([_VERSION, action, contents, chains])).hex


def find(store: Store, step_key: str) -> Hit | None:
    """What is recorded under a key, if the store still has the layer; then it stays."""
    found = _read(store, step_key)
    try:
        layer = layers.adopt(store, Digest.parse(found.get("diff_id")))
    except (OSError, IntegrityError):
        return None
    return Hit(layer, found.get("created", "")) if layer else None


def record(store: Store, step_key: str, diff_id: Digest, created: str) -> None:
    """Remember what a step made. Not synced: losing a record only costs time."""
    _write(store, step_key, {"diff_id": str(diff_id), "created": created})


def find_contents(store: Store, chain: str, selection: tuple[object, ...]) -> str | None:
    """The digest of what a `selection` of paths has in the layers whose ChainID is `chain`."""
    return _read(store, key(("contents", *selection), "", (chain,))).get("contents")


def record_contents(store: Store, chain: str, selection: tuple[object, ...], contents: str) -> None:
    """Remember such a digest: nobody needs to mount those layers for it again."""
    _write(store, key(("contents", *selection), "", (chain,)), {"contents": contents})


def _read(store: Store, step_key: str) -> Mapping[str, str]:
    """A record; empty when there is none or it is damaged."""
    try:
        with open(_path(store, step_key), "rb", buffering=0) as file:
            return text_map(leanjson.loads(file.read(4096)), "a cache record")
    except (OSError, IntegrityError):
        return {}


def _write(store: Store, step_key: str, content: Mapping[str, str]) -> None:
    with store.writing():
        replace_file(store, _path(store, step_key), leanjson.dumps(content), durable=False)


def _path(store: Store, step_key: str) -> str:
    return store.path("cache", "steps", f"{step_key}.json")
