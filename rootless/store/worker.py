"""Work that needs a process of its own: unpacking chroots, and must not block a build.

`start` forks, `run` also waits; the child computes one JSON value or fails with a RootlessError,
and tells so in one message on a pipe. The child imports what it needs before it chroots. A crash
of the child is an error in the parent; the death of the parent is the child's death
(PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import sys
from _signal import SIGKILL
from _thread import allocate_lock, start_new_thread

from rootless import errors, leanjson
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from rootless.archive import Read


_PIECE = 1 << 18  # what the tar reader asks for
_PIECES_AHEAD = 8


class Worker:
    """A forked child and the pipe for its answer; `result` is called at most once."""

    def __init__(self, child: int, answer_fd: int) -> None:
        self._child = child
        self._answer_fd = answer_fd
        self._lock = allocate_lock()
        self._status: int | None = None

    def result(self) -> dict[str, Any]:
        """Wait for the task's value; its RootlessError is raised here."""
        with self._lock:
            answer_fd, self._answer_fd = self._answer_fd, -1
        with open(answer_fd, "rb") as pipe:
            message = pipe.read()
        with self._lock:
            status = self._reap()
        if not message:
            raise RootlessError(f"a worker process died ({_ending(status)})")
        return _value(message)

    def kill(self) -> None:
        """End the child, if it has not ended, and wait until it has."""
        with self._lock:
            if self._status is None:
                os.kill(self._child, SIGKILL)
                self._reap()
            if self._answer_fd >= 0:
                os.close(self._answer_fd)
                self._answer_fd = -1

    def _reap(self) -> int:
        if self._status is None:
            _, self._status = os.waitpid(self._child, 0)
        return self._status


def start(task: Callable[[], dict[str, Any]]) -> Worker:
    """Begin `task()` in a forked child; no thread may be running yet."""
    read_fd, write_fd = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _answer(task, write_fd, parent)
    os.close(write_fd)
    return Worker(child, read_fd)


def run(task: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The value of `task()`, computed in a forked child; its RootlessError is raised here."""
    worker = start(task)
    try:
        return worker.result()
    finally:
        worker.kill()


def unpack_layer(read: Read, directory: str, algorithm: str) -> dict[str, Any]:
    """Unpack a layer's tar into the empty `directory`; its diff_id and size. Chroots.

    A thread decompresses and hashes ahead while this one makes files: both spend their time in C
    and the kernel, without the interpreter's lock.
    """
    import hashlib

    from rootless.archive import apply, codecs

    digest = hashlib.new(algorithm)
    ahead = _Ahead(codecs.decompress(read), digest.update)
    apply.unpack(ahead.read, directory)  # to the very end, which the diff_id covers too
    return {"diff_id": f"{algorithm}:{digest.hexdigest()}", "size": ahead.size}


class _Ahead:
    """A stream read in a thread, some pieces ahead of whoever asks for them."""

    def __init__(self, read: Read, see: Callable[[bytes], object]) -> None:
        """`see` is called in the thread with every piece."""
        from _queue import SimpleQueue
        from threading import Semaphore

        self.size = 0
        self._pieces: SimpleQueue[bytes | BaseException] = SimpleQueue()
        self._room = Semaphore(_PIECES_AHEAD)
        start_new_thread(self._run, (read, see))

    def read(self, _: int) -> bytes:
        """The next piece, b"" at the end; an error of the stream is raised here."""
        piece = self._pieces.get()
        self._room.release()
        if isinstance(piece, BaseException):
            raise piece
        self.size += len(piece)
        return piece

    def _run(self, read: Read, see: Callable[[bytes], object]) -> None:
        """Never ends: the end of a thread loads a library, which a chroot hides."""
        piece: bytes | BaseException = b"-"
        while piece:
            self._room.acquire()
            try:
                piece = read(_PIECE)
                see(piece)
            except BaseException as error:  # noqa: BLE001 - it is raised where the stream is read
                self._pieces.put(error)
                break
            self._pieces.put(piece)
        forever = allocate_lock()
        forever.acquire()
        forever.acquire()


def _answer(task: Callable[[], dict[str, Any]], write_fd: int, parent: int) -> NoReturn:
    """The child's whole life."""
    try:
        die_with(parent)
        leanjson.dumps(None)  # loads what it needs, before a chroot hides that
        try:
            message = {"value": task()}
        except RootlessError as error:
            kind = type(error).__name__
            message = {"error": {"kind": kind, "message": error.message, "hint": error.hint}}
        with open(write_fd, "wb") as pipe:
            pipe.write(leanjson.dumps(message))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a bug: the traceback is for whoever mends it
        sys.excepthook(*sys.exc_info())  # the interpreter's own: nothing can be imported any more
    finally:
        os._exit(1)


def die_with(parent: int) -> None:
    """In a forked child: end when the process `parent` ends, or now if it has ended already."""
    from rootless import linux

    linux.prctl(linux.PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _value(message: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = leanjson.loads(message, "a worker's answer")
    if "value" in answer:
        value: dict[str, Any] = answer["value"]
        return value
    told = answer["error"]
    kind = getattr(errors, told["kind"], RootlessError)
    raise kind(told["message"], hint=told["hint"])


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
