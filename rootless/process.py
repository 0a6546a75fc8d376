"""Forked children: one way to start them, to hear of them, and to end together with them.

`fork(body)` runs `body(send)` in a child. All that the child has to say goes through one pipe as
frames, each a length and JSON: an event for every `send(event)`, at last the value that the body
returned or the error that it raised. RootlessErrors come back as what they were, with hint and
exit code; an OSError as one; KeyboardInterrupt as itself; anything else as ChildBug, which carries
the child's traceback. A child that ends without a word is an error too.

A child dies with its parent, however that ends; it leaves behind what its body leaves. Python's
part of a fork must be left to a process with one thread, and the kernel ties a child to the thread
that forked it. The frames need nothing but what this module loads: they work in a chroot.
"""

from __future__ import annotations

import os
import sys
from _signal import SIG_BLOCK, SIG_SETMASK, SIGKILL, pthread_sigmask, valid_signals
from _thread import allocate_lock

from rootless import leanjson, linux
from rootless.errors import IntegrityError, RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

    Send = Callable[[object], None]
    Body = Callable[[Send], Any]

_MOST_AT_ONCE = 4
_LONGEST = 1 << 24  # bytes of a frame: a child that is an image's by now must not fill our memory


class Event(Record):
    """Something a child told while it worked: whatever JSON can say."""

    value: Any


class Result(Record):
    """What a child's body returned."""

    value: Any


class ChildBug(Exception):  # noqa: N818 - the bug is the child's
    """A child met an exception that nobody foresaw; the text is its traceback."""


class Child:
    """A forked process and the pipe it reports on; any thread may receive, wait and kill."""

    def __init__(self, pid: int, report_fd: int, name: str = "a worker process") -> None:
        """`name` is how errors call it."""
        self.pid = pid
        self._report_fd = report_fd
        self._name = name
        self._reaping = allocate_lock()
        self._reading = allocate_lock()
        self._status: int | None = None

    def fileno(self) -> int:
        """Readable, for poll(2), when `receive` will not wait."""
        return self._report_fd

    def receive(self) -> Event | Result:
        """Wait for the next event, or the value; the child's error is raised here."""
        with self._reading:
            told = read_frame(self._report_fd) if self._report_fd >= 0 else None
        if told is None:
            raise died(self._name, self.wait())
        kind, value = told
        if kind == "error":
            raise raisable(value)
        return Event(value) if kind == "event" else Result(value)

    def result(self, see: Callable[[Any], object] = lambda _: None) -> Any:
        """Wait for the body's value; `see` gets the value of each event that comes before."""
        while isinstance(message := self.receive(), Event):
            see(message.value)
        return message.value

    def send_signal(self, number: int) -> None:
        """Signal it, if it has not ended."""
        with self._reaping:
            if self._status is None:
                os.kill(self.pid, number)

    def kill(self, *, wait: bool = True) -> None:
        """End it, if it has not ended, and close; harmless twice."""
        self.send_signal(SIGKILL)
        self.close(wait=wait)

    def close(self, *, wait: bool = True) -> None:
        """Hear no more of it and, with `wait`, return when it has ended; harmless twice."""
        with self._reading:
            if self._report_fd >= 0:
                os.close(self._report_fd)
                self._report_fd = -1
        if wait:
            self.wait()

    def has_ended(self) -> bool:
        """Whether it has; does not wait."""
        with self._reaping:
            looked = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return self._status is not None or bool(os.waitid(os.P_PID, self.pid, looked))

    def wait(self) -> int:
        """Its exit status, or minus the signal that ended it."""
        with self._reaping:
            if self._status is None:
                self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self._status


def fork(body: Body, name: str = "a worker process", kept: tuple[int, ...] | None = None) -> Child:
    """Begin `body(send)` in a child; RootlessError when this machine allows no more processes.

    `kept` are the descriptors that a child needs which lives on beside others, besides 0, 1 and 2:
    a pipe that it held by accident would never end for who reads it. None: all of them.
    """
    parent = os.getpid()
    read_fd, write_fd = pipe()
    # A signal whose handler raises must meet the child in its own code, not in a copy of ours.
    mask = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            os.close(read_fd)  # only the parent reads: without it the pipe must break
            if kept is not None:
                close_all_but(0, 1, 2, write_fd, *kept)
            _live(body, write_fd, parent, mask)
    except OSError as error:
        os.close(read_fd)
        raise refused(error) from error
    finally:
        os.close(write_fd)
        pthread_sigmask(SIG_SETMASK, mask)
    return Child(pid, read_fd, name)


def at_once() -> int:
    """How many layers are worked on: one may wait for the network while all processors work."""
    return min(len(os.sched_getaffinity(0)) + 1, _MOST_AT_ONCE)


def run(body: Callable[[], Any]) -> Any:
    """The value of `body()`, computed in a child; its error is raised here."""
    child = fork(lambda _: body())
    try:
        return child.result()
    finally:
        child.kill()


def pipe() -> tuple[int, int]:
    """pipe(2): descriptors to read and to write; RootlessError when there can be no more."""
    try:
        return os.pipe()
    except OSError as error:
        raise refused(error) from error


def close_all_but(*kept: int) -> None:
    """Close every other descriptor of this process."""
    first = 0
    for fd in sorted(kept):
        if fd > first:
            linux.close_range(first, fd - 1)
        first = fd + 1
    linux.close_range(first)


def die_with_parent(parent: int) -> None:
    """In a forked child: end when the process `parent` ends, or now if it has ended already.

    Changing ids or executing a setuid program undoes it.
    """
    linux.prctl(linux.PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def write_frame(fd: int, kind: str, value: object) -> None:
    """Tell the parent one thing: `kind` is event, result or error."""
    content = leanjson.dumps([kind, value])
    frame = memoryview(len(content).to_bytes(4, "little") + content)
    while frame:
        frame = frame[os.write(fd, frame) :]


def read_frame(fd: int) -> tuple[str, Any] | None:
    """(kind, value) of the next thing that was told; None at the end, also an untimely one.

    A child that is not Python any more tells ("errno", number), as a negative length.
    """
    size = int.from_bytes(_read_exactly(fd, 4), "little", signed=True)
    if size < 0:
        return "errno", -size
    if size > _LONGEST:
        raise IntegrityError("a child process told more than it may")
    content = _read_exactly(fd, size)
    if not content:
        return None
    kind, value = leanjson.loads(content, "what a child process told")
    return kind, value


def _read_exactly(fd: int, size: int) -> bytes:
    """`size` bytes, or b"" when there are not so many."""
    content = b""
    while len(content) < size:
        piece = os.read(fd, size - len(content))
        if not piece:
            return b""
        content += piece
    return content


def _live(body: Body, report_fd: int, parent: int, mask: Iterable[int]) -> NoReturn:
    """A child's whole life."""
    code = 1
    try:
        try:
            die_with_parent(parent)
            leanjson.dumps(None)  # loads what it needs, before a chroot hides that
            pthread_sigmask(SIG_SETMASK, mask)
            value = body(lambda event: write_frame(report_fd, "event", event))
            write_frame(report_fd, "result", value)
            code = 0
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
            pthread_sigmask(SIG_BLOCK, valid_signals())
            write_frame(report_fd, "error", describe(error))
    except BrokenPipeError:  # nobody listens any more
        pass
    finally:
        os._exit(code)


def describe(error: BaseException) -> dict[str, object]:
    """An error in a form that JSON can say."""
    told: dict[str, object] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, RootlessError):
        told["message"] = error.message
        return {**told, "hint": error.hint, "exit_code": error.exit_code}
    told["traceback"] = _traceback()
    if isinstance(error, OSError) and not isinstance(error, linux.SyscallError):
        where = None if error.filename is None else os.fsdecode(error.filename)
        told.update(message=error.strerror, filename=where)
    return {**told, "errno": error.errno} if isinstance(error, OSError) else told


def _traceback() -> str:
    """Of the exception being handled, by the interpreter's own printer: nothing is imported."""
    from _io import StringIO

    stderr, sys.stderr = sys.stderr, StringIO()
    try:
        sys.excepthook(*sys.exc_info())
        return sys.stderr.getvalue()
    finally:
        sys.stderr = stderr


def raisable(told: dict[str, Any]) -> BaseException:
    """The error that `describe` was given, as near as can be."""
    if told["kind"] == KeyboardInterrupt.__name__:
        return KeyboardInterrupt()
    if "traceback" not in told:
        error = _kinds().get(told["kind"], RootlessError)(told["message"], hint=told["hint"])
        error.exit_code = told["exit_code"]
        return error
    if "errno" not in told:
        return ChildBug("\n" + told["traceback"])
    failure = OSError(told["errno"], told["message"], told.get("filename"))
    failure.add_note("In the child process:\n" + told["traceback"])
    return failure


def _kinds() -> dict[str, type[RootlessError]]:
    """Every kind of RootlessError that this process knows, by name."""
    found = [RootlessError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__: kind for kind in found}


def refused(error: OSError) -> RootlessError:
    """Why no process, or no pipe to it, could be made."""
    from rootless import complaints

    return complaints.explain_limit(error) or RootlessError(f"no process can be started: {error}")


def died(name: str, status: int) -> RootlessError:
    """What is said of a process that ended without a word; `status` as of Child.wait."""
    ending = f"exit code {status}" if status >= 0 else f"signal {-status}"
    return RootlessError(f"{name} died ({ending})")
