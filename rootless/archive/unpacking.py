"""Unpacking a layer while it is decompressed and hashed, in a forked child, which chroots.

A thread decompresses and hashes ahead while the other makes files: both spend their time in C and
the kernel, without the interpreter's lock. A crash leaves a half-filled directory.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from _queue import SimpleQueue
from _thread import start_new_thread
from threading import Semaphore

from rootless import complaints, linux, process
from rootless.archive import apply, codecs, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.archive import Put, Read


_PIECE = 1 << 18  # what the tar reader asks for
_PIECES_AHEAD = 8


def unpack_layer(
    read: Read, directory: str, algorithm: str, *, durable: bool = True
) -> dict[str, Any]:
    """Unpack a layer's tar into the empty `directory`; its diff_id, size and contents. Chroots.

    When it returns, all files are on disk, if they are to be `durable`.
    """
    digest = hashlib.new(algorithm)
    ahead = Ahead(codecs.decompress(read), digest.update)
    unpacked = apply.unpack(ahead.read, directory)  # to the very end, which the diff_id covers too
    try:
        if durable:
            linux.syncfs(places.top(directory))
    except OSError as error:
        raise complaints.explain_storage(error, directory) or error from error
    diff_id = f"{algorithm}:{digest.hexdigest()}"
    return {"diff_id": diff_id, "size": ahead.size, "contents": unpacked.size}


def _as_layer(read: Read, directory: str) -> None:
    unpack_layer(read, directory, "sha256")


def unpack_apart(
    write: Callable[[Put], object],
    directory: str,
    unpack: Callable[[Read, str], object] = _as_layer,
) -> None:
    """`unpack` in a forked worker, of the tar that `write` puts here, chunk by chunk."""
    read_fd, write_fd = process.pipe()

    def body(_: process.Send) -> None:
        os.close(write_fd)
        unpack(lambda count: os.read(read_fd, count), directory)

    def put(chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(write_fd, rest) :]

    try:
        worker = process.fork(body, "the process that unpacks")
    finally:
        os.close(read_fd)
    try:
        try:
            write(put)
        except BrokenPipeError:  # the worker has failed, and tells why
            pass
        finally:
            os.close(write_fd)
        worker.result()
    finally:
        worker.kill()


class Ahead:
    """A stream read in a thread, some pieces ahead of whoever asks for them."""

    def __init__(self, read: Read, see: Callable[[bytes], object]) -> None:
        """`see` is called in the thread with every piece; RootlessError when there is no thread."""
        self.size = 0
        self._pieces: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = Semaphore(_PIECES_AHEAD)
        self._end: bytes | BaseException | None = None
        _prepare_for_chroot()
        try:
            start_new_thread(self._run, (read, see))
        except RuntimeError as error:
            raise complaints.explain_processes() from error

    def read(self, _: int) -> bytes:
        """The next piece; at the end, however often, b"" or the stream's error, raised here."""
        piece = self._pieces.get() if self._end is None else self._end
        self._room.release()
        if isinstance(piece, BaseException):
            self._end = piece
            raise piece
        if not piece:
            self._end = piece
        self.size += len(piece)
        return piece

    def _run(self, read: Read, see: Callable[[bytes], object]) -> None:
        piece: bytes | BaseException = b"-"
        while piece and not isinstance(piece, BaseException):
            self._room.acquire()
            try:
                piece = read(_PIECE)
                see(piece)
            except BaseException as error:  # noqa: BLE001 - it is raised where the stream is read
                piece = error
            self._pieces.put(piece)


def _prepare_for_chroot() -> None:
    """glibc loads this library when a thread ends, and aborts when it is not to be found then."""
    try:
        ctypes.CDLL("libgcc_s.so.1")
    except OSError:  # musl needs none
        pass
