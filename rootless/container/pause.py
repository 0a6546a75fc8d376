"""Stopping all processes of a running container for a moment, and never for longer.

A cgroup to freeze is not ours, so each process gets SIGSTOP, parents before their children, each
when the one before has stopped: nobody sees a child of theirs stop, and nobody is left who could
make a new one. A helper does it, forked
before the command enters its namespaces: only outside, as who made the container's namespace, may
a user signal all ids in it. The helper outlives the command: as soon as that says so, or has ended
in whatever way, it lets the processes go on, children first. What was stopped before stays so.

Who pauses holds the flock of container.json: the next one waits, and finds everything going on.
"""

from __future__ import annotations

import _signal
import fcntl
import os

from rootless import linux, living, process
from rootless.container import members
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.process import Send

_PATIENCE = 10.0  # seconds for a process to stop
_MOST_ROUNDS = 100  # of looking for processes that were just being made
_ASLEEP_IN_KERNEL = 0.2  # seconds after which a call under way is taken to wait for another process
_IGNORED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
_STOPPED, _ENDED = (b"T", b"t"), (b"Z", b"X")


class Pause:
    """A container whose processes are stopped until `end`, or until this process has ended."""

    def __init__(self, folder: str, supervisor: living.Process) -> None:
        """`folder` is the container's. RootlessError says why it cannot be paused; it goes on."""
        until, self._end_fd = process.pipe()

        def body(send: Send) -> list[int]:
            os.close(self._end_fd)
            return _hold(folder, supervisor, until, send)

        try:
            self._helper = process.fork(body, "the process that pauses the container")
        finally:
            os.close(until)
        try:
            self._helper.receive()
        except BaseException:
            self.end()
            raise

    def end(self) -> tuple[int, ...]:
        """Let the container go on; the processes that could not be told so. Harmless twice."""
        left: tuple[int, ...] = ()
        if self._end_fd >= 0:
            try:
                os.write(self._end_fd, b"x")  # what was forked meanwhile may hold the pipe, too
            except BrokenPipeError:  # it could not begin
                pass
            os.close(self._end_fd)
            self._end_fd = -1
            try:
                left = tuple(self._helper.result())
            except RootlessError:  # it could not begin, which has been said
                pass
            self._helper.close()
        return left


def _hold(folder: str, supervisor: living.Process, until: int, send: Send) -> list[int]:
    """The helper's life; whom it has left stopped."""
    for number in _IGNORED:
        _signal.signal(number, _signal.SIG_IGN)
    os.setsid()
    linux.prctl(linux.PR_SET_PDEATHSIG, 0)
    lock = os.open(f"{folder}/container.json", os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    stopped: list[Member] = []
    try:
        stop(supervisor, stopped)
        send("stopped")
        os.read(until, 1)
    finally:
        left = let_go(stopped)
    return left


class Member(Record):
    """A process of the container; `was_stopped` says that somebody else has stopped it."""

    pid: int
    started: bytes
    was_stopped: bool

    def stop(self) -> None:
        if not self.was_stopped:
            self._signal(_signal.SIGSTOP)

    def let_go(self) -> None:
        if not self.was_stopped:
            self._signal(_signal.SIGCONT)

    def state(self) -> bytes:
        """Of proc(5); b"" when it has ended, though its number may be another's by now."""
        fields = members.stat(self.pid)
        is_same = fields and fields[living.START_TIME] == self.started
        return fields[living.STATE] if is_same else b""

    def _signal(self, number: int) -> None:
        try:
            fd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.state():  # `fd` is whoever has the number since before this question
                _signal.pidfd_send_signal(fd, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise RootlessError(
                f"process {self.pid} of the container is not ours to stop"
            ) from None
        finally:
            os.close(fd)


def let_go(stopped: list[Member]) -> list[int]:
    """The last first; whom that cannot be told, which keeps nobody else stopped."""
    left = []
    for one in reversed(stopped):
        try:
            one.let_go()
        except (OSError, RootlessError):
            left.append(one.pid)
    return left


def stop(supervisor: living.Process, stopped: list[Member]) -> None:
    """Stop everything below the supervisor, in the order of `stopped`."""
    for _ in range(_MOST_ROUNDS):
        if not living.is_alive(supervisor):
            return
        known = {(one.pid, one.started) for one in stopped}
        found = _members(supervisor.pid)
        fresh = [one for one in found if (one.pid, one.started) not in known]
        for one in fresh:
            one.stop()
            stopped.append(one)
            _await(one)
        if not fresh:
            return
    raise RootlessError("the container makes processes faster than they can be stopped")


def _members(supervisor: int) -> list[Member]:
    """All processes of the container that have not ended, parents first."""
    return [
        Member(pid, fields[living.START_TIME], fields[living.STATE] in _STOPPED)
        for pid, fields in members.find(supervisor).items()
    ]


def _await(one: Member) -> None:
    """Return when it does not run any more.

    One that sleeps in the kernel is on its way there, unless it waits for what a process that is
    stopped would do, as vfork(2) does.
    """
    from time import monotonic, sleep

    began = monotonic()
    while _runs(one, monotonic() - began):
        if monotonic() - began > _PATIENCE:
            raise RootlessError(f"process {one.pid} of the container does not stop")
        sleep(0.0002)


def _runs(one: Member, waited: float) -> bool:
    state = one.state()
    if state in (b"", *_STOPPED, *_ENDED):
        return False
    return state != b"D" or waited < _ASLEEP_IN_KERNEL
