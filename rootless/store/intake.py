"""Many files that become blobs: some wait for the disk together, without names until then.

Their unfinished files are not called by digests: nobody waits for somebody who waits. Runs in any
process of the user's. A crash leaves files in tmp/, and blobs that nothing names.
"""

from __future__ import annotations

from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.store import blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from rootless.store import Store

    Chunk = Callable[[], bytes | memoryview]

_BATCH, _BATCH_BYTES = 64, 64 << 20


class Intake:
    """`take` file after file, then `publish`; what was not published is deleted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[blobs.Writer] = []

    def take(self, chunk: Chunk, expected: Digest | None = None) -> Digest:
        """The digest of a file, which must be `expected`; `chunk` gives more of it, or nothing.

        What is here already is read all the same: a digest alone claims nothing.
        """
        if expected is None:
            return self._write(chunk, "sha256")
        self._store.hold([expected])
        is_here = blobs.has(self._store, expected)
        take = _hashed if is_here else self._write
        found = take(chunk, expected.algorithm)
        if found != expected:
            raise IntegrityError(
                f"the blob {expected} has other contents: they hash to {found.hex}"
            )
        return found

    def publish(self) -> None:
        """Give their names to all that wait for them."""
        if self._waiting:
            blobs.publish_all(self._store, self._waiting)
            self._waiting.clear()

    def _write(self, chunk: Chunk, algorithm: str) -> Digest:
        writer = blobs.Writer(self._store, algorithm=algorithm)
        self._waiting.append(writer)
        while piece := chunk():
            writer.write(piece)
        digest = writer.digest
        if len(self._waiting) >= _BATCH or sum(one.size for one in self._waiting) > _BATCH_BYTES:
            self.publish()
        return digest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._waiting:
            writer.discard()


def _hashed(chunk: Chunk, algorithm: str) -> Digest:
    import hashlib

    hashed = hashlib.new(algorithm)
    while piece := chunk():
        hashed.update(piece)
    return Digest(algorithm, hashed.hexdigest())
