"""The step cache of this store: which layer a step made the last time it met the same inputs.

cache/steps/<key>.json is {"diff_id", "created", "text"}, or, for what a COPY --from finds in a
chain of layers, {"contents"}; written only by builds of this store, never from an image. A torn or
missing record is a miss. A record's mtime is when it was last of use (`store.kept`). Runs in the
builder.
"""

from __future__ import annotations

import os
from time import gmtime, strftime, time

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

_MINUTE = 60
_TEXT = 200  # characters


class Made(Record):
    """What a step made: a `layer`, `created` as its image has it, in truth at `made`; RFC 3339."""

    layer: Layer
    created: str
    made: str


def find(store: Store, step_key: str) -> Made | None:
    """What is recorded under a key, if the store still has the layer; then it stays."""
    found = _read(store, step_key)
    try:
        layer = layers.adopt(store, Digest.parse(found.get("diff_id")))
    except (OSError, IntegrityError):
        return None
    return Made(layer, found.get("created", ""), found.get("made", "")) if layer else None


def record(store: Store, step_key: str, diff_id: Digest, created: str, text: str = "") -> None:
    """Remember what a step made, and the beginning of its `text`, for people. Not synced: losing
    a record only costs time.
    """
    made = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
    found = {"diff_id": str(diff_id), "created": created, "made": made, "text": text[:_TEXT]}
    _write(store, step_key, found)


def find_contents(store: Store, contents_key: str) -> str | None:
    """The digest recorded under a `key.contents_key`."""
    return _read(store, contents_key).get("contents")


def record_contents(store: Store, contents_key: str, contents: str) -> None:
    """Remember such a digest: nobody needs to mount those layers for it again."""
    _write(store, contents_key, {"contents": contents})


def _read(store: Store, step_key: str) -> Mapping[str, str]:
    """A record; empty when there is none or it is damaged."""
    try:
        with open(_path(store, step_key), "rb", buffering=0) as file:
            _touch(file.fileno())
            return text_map(leanjson.loads(file.read(4096)), "a cache record")
    except (OSError, IntegrityError):
        return {}


def _touch(fd: int) -> None:
    """It is of use, which those that prune the cache want to know to the minute."""
    if os.fstat(fd).st_mtime + _MINUTE < time():
        try:
            os.utime(fd)
        except OSError:  # a store that can only be read
            pass


def _write(store: Store, step_key: str, content: Mapping[str, str]) -> None:
    with store.writing():
        replace_file(store, _path(store, step_key), leanjson.dumps(content), durable=False)


def _path(store: Store, step_key: str) -> str:
    return store.path("cache", "steps", f"{step_key}.json")
