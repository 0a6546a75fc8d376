"""Processes that unpack layers, one after the other, while the blobs are still arriving.

An `Unpacker` is forked before any thread starts and serves one thread for as long as there are
layers: so there are as many of them as work is done at once, however many layers an image has. It
chroots into a layer's staging directory and comes back for the next one; all of them are of one
image. Runs as (mapped) root and holds no socket and no login: whatever an image does to its
unpacker, it does there. A crash leaves a half-filled directory in tmp/.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from rootless import leanjson, process
from rootless.archive import unpacking

if TYPE_CHECKING:
    from rootless.process import Send

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Unpacker:
    """One process. For each layer: `begin`, `feed` as often as there is more, `result`."""

    def __init__(self) -> None:
        """Forks; no thread may be running yet."""
        self._writing = threading.Lock()
        feed_fd, self._feed_fd = process.pipe()
        try:
            self._child = process.fork(lambda send: _work(feed_fd, send), "a layer's unpacker")
        except BaseException:
            os.close(self._feed_fd)
            raise
        finally:
            os.close(feed_fd)

    def begin(self, path: str, published: str, size: int, directory: str, algorithm: str) -> None:
        """Unpack into `directory` the blob of `size` bytes that grows at `path`.

        `published` is what the file is called once it is whole, which may come first.
        """
        job = {
            "path": path,
            "published": published,
            "size": size,
            "directory": directory,
            "algorithm": algorithm,
        }
        self._tell(leanjson.dumps(job))

    def feed(self, available: int) -> None:
        """The file has so many bytes by now. An unpacker that failed says so in its result."""
        self._tell(b"%d" % available)

    def result(self) -> dict[str, Any]:
        """Wait for what `unpacking.unpack_layer` returns, or raises."""
        message = self._child.receive()
        assert isinstance(message, process.Event)
        found: dict[str, Any] = message.value
        return found

    def stop(self) -> None:
        """End it, whatever it does; who waits for its result is told."""
        self._child.kill()
        with self._writing:
            if self._feed_fd >= 0:
                os.close(self._feed_fd)
                self._feed_fd = -1

    def _tell(self, line: bytes) -> None:
        with suppress(BrokenPipeError), self._writing:
            if self._feed_fd >= 0:
                os.write(self._feed_fd, line + b"\n")


def _work(feed_fd: int, send: Send) -> None:
    """The process's whole life: lines of JSON are layers, numbers news of the one at hand."""
    with open(feed_fd, "rb") as feed:
        while line := feed.readline():
            if line.startswith(b"{"):  # a number is late news of the layer before
                send(_unpack(feed, leanjson.loads(line)))


def _unpack(feed: BufferedReader, job: dict[str, Any]) -> dict[str, Any]:
    """One layer. Chroots, and comes back."""
    root, here, modules = os.open("/", _DIRECTORY), os.open(".", _DIRECTORY), [*sys.path]
    blob = _Growing(feed, job["path"], job["published"], job["size"])
    try:
        return unpacking.unpack_layer(blob.read, job["directory"], job["algorithm"])
    finally:
        blob.close()
        os.fchdir(root)
        os.chroot(".")
        os.fchdir(here)
        os.close(root)
        os.close(here)
        sys.path[:] = modules


class _Growing:
    """Reads a blob while another process writes it and tells, in lines, how far it is."""

    def __init__(self, news: BufferedReader, path: str, published: str, size: int) -> None:
        self._news = news
        self._size = size
        self._available = 0
        self._at = 0
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = os.open(published, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, as soon as there are any; b"" at the end of the blob."""
        while self._at >= self._available and self._at < self._size:
            self._available = int(self._news.readline())
        chunk = os.pread(self._fd, min(count, self._available - self._at), self._at)
        self._at += len(chunk)
        return chunk

    def close(self) -> None:
        os.close(self._fd)
