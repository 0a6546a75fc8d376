"""Processes that compress layers, one after the other: what `unpackers` does, the other way.

A `Packer` is forked before any thread starts and serves one thread for as long as there are
layers. The compressed blob is kept in the store, held by the caller, and layer.json notes what it
is. Runs as (mapped) root. A crash leaves a file in tmp/, or a blob that nothing names.
"""

from __future__ import annotations

import os

from rootless import leanjson, process
from rootless.archive import codecs, compression
from rootless.archive.compression import Compression
from rootless.errors import NotFoundError
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.store import blobs, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.archive import Put
    from rootless.process import Send
    from rootless.store import Store

_PIECE = 256 << 10
_NEWS = 4 << 20  # bytes of a layer between two events


class Packer:
    """One process."""

    def __init__(self, store: Store) -> None:
        """Forks; no thread may be running yet."""
        store.hold(())  # what the fork holds outlives it
        job_fd, self._job_fd = process.pipe()
        try:
            self._child = process.fork(lambda send: _work(store, job_fd, send), "a layer's packer")
        except BaseException:
            os.close(self._job_fd)
            raise
        finally:
            os.close(job_fd)

    def pack(
        self,
        diff_id: Digest,
        how: Compression,
        media_type: str,
        see: Callable[[int], object],
        source: Digest | None = None,
    ) -> Descriptor:
        """Compress a layer; its blob. `see` is called with how many bytes of its tar are done.

        `source` is a packed form of it in the store: only that has the tar of a layer that was not
        made here.
        """
        job = {
            "source": str(source or ""),
            "diff_id": str(diff_id),
            "kind": how.kind,
            "level": how.level,
            "media_type": media_type,
        }
        try:
            os.write(self._job_fd, leanjson.dumps(job) + b"\n")
        except BrokenPipeError:  # its last words tell why
            pass
        while True:
            message = self._child.receive()
            assert isinstance(message, process.Event)
            if isinstance(message.value, int):
                see(message.value)
            else:
                return Descriptor.decode(message.value)

    def stop(self) -> None:
        """End it, whatever it does; who waits for it is told. Harmless twice."""
        self._child.kill()
        if self._job_fd >= 0:
            os.close(self._job_fd)
            self._job_fd = -1


def _work(store: Store, job_fd: int, send: Send) -> None:
    """The process's whole life: a line is a layer."""
    with open(job_fd, "rb") as jobs:
        for line in jobs:
            send(_pack(store, leanjson.loads(line), send).encode())


def _unpack(store: Store, blob: Digest, put: Put) -> None:
    """The tar in a packed blob."""
    with blobs.open_file(store, blob) as file:
        read = codecs.decompress(file.read)
        while piece := read(_PIECE):
            put(piece)


def _pack(store: Store, job: dict[str, Any], send: Send) -> Descriptor:
    diff_id = Digest.parse(job["diff_id"])
    how = Compression(job["kind"], job["level"])
    told = done = 0
    with (
        blobs.Writer(store) as writer,
        compression.encoder(how, writer.write) as encoder,
    ):

        def put(piece: bytes) -> None:
            nonlocal told, done
            encoder.write(piece)
            done += len(piece)
            if done - told >= _NEWS:
                told = done
                send(done)

        layer = layers.find(store, diff_id)
        if job["source"]:
            _unpack(store, Digest.parse(job["source"]), put)
        elif layer:
            layers.write_tar(store, layer, put)
        elif blobs.has(store, diff_id):
            blobs.copy(store, diff_id, put)
        else:
            raise NotFoundError(f"the layer {diff_id} is missing from the store {store.root}")
        encoder.finish()
        blob = Descriptor(job["media_type"], writer.publish(), writer.size)
    if layer:
        layers.remember(store, layer, blob)
    return blob
