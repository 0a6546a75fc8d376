"""The parent's side of a sandbox: clone the supervisor, hear whether its command started, wait.

Runs in a process with one thread that is uid 0 of its user namespace (`userns.enter`). The
container dies with this process, whatever happens to either: see `supervisor`.
"""

from __future__ import annotations

import _signal
import errno
import os
from select import POLLIN, poll
from time import monotonic

from rootless import leanjson, linux, living, process, userns
from rootless.sandbox import joining, supervisor
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.privileges import Execute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.errors import RootlessError
    from rootless.sandbox.spec import Spec
    from rootless.userns import IdMap

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_SHOWN = 200  # of a command's name in an error
_GLANCE = 0.1  # seconds
_MOST_STOPS = 10  # glances at a process that somebody keeps from executing


class Child:
    """A started sandbox: `pid` is its supervisor's, whose network namespace it has if it has one,
    or its joiner's. `command` is how errors call it. `is_seen` says that others, who may stop it,
    see the process that is to become the command.
    """

    def __init__(
        self,
        pid: int,
        report_fd: int,
        command: str,
        *,
        is_seen: bool = False,
        last: int = 9,
        held_fd: int = -1,
    ) -> None:
        """`last` is the signal that ends all of it. It has a guardian where there is `held_fd`, a
        pipe that ends with that.
        """
        self.last = last
        self.pid = pid
        self._report_fd = report_fd
        self._held_fd = held_fd
        self._command = command
        self._is_seen = is_seen
        self._status: int | None = None

    def await_exec(self, until: float | None = None) -> None:
        """Return when the command runs; the child's error when it cannot.

        TimeoutError when that is not known at `until`, of time.monotonic.
        """
        if self._report_fd < 0:
            return
        if self._is_seen or until is not None:
            self._await_word(until)
        failure = process.read_frame(self._report_fd)
        os.close(self._report_fd)
        self._report_fd = -1
        if failure:
            if self._is_seen:
                self.end()  # it may have been stopped just after its word
            self.wait()
            kind, value = failure
            if kind == "errno":
                raise _cannot_execute(self._command, value)
            raise _refused(*value) if kind == "refused" else process.raisable(value)

    def _await_word(self, until: float | None) -> None:
        """Return when there is something to read: who keeps the child from it is not waited for."""
        stops = 0
        watch = poll()
        watch.register(self._report_fd, POLLIN)
        while not watch.poll(_GLANCE * 1000):
            stops += self._is_seen and _is_stopped(self.pid)
            if stops > _MOST_STOPS:
                self.end()
                raise SandboxError(
                    f"exec: {self._command[:_SHOWN]!r}: it was stopped before it could start",
                    hint="a process that sees it, in the container or of yours, sent it SIGSTOP",
                    exit_code=126,
                )
            if until is not None and monotonic() > until:
                raise TimeoutError

    @property
    def first(self) -> int:
        """The pid of the container's process 1; 0 where it has ended."""
        pid = living.first_child(self.pid)
        return pid if self._held_fd < 0 else living.first_child(pid)

    def wait(self) -> int:
        """The command's exit status: its own, or 128 + the signal that killed it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if self._held_fd >= 0:  # a supervisor that was killed leaves all to its guardian
            os.read(self._held_fd, 1)
            os.close(self._held_fd)
            self._held_fd = -1
        return self._status if self._status >= 0 else 128 - self._status

    def kill(self, signal: int = 9) -> None:
        """Send a signal, unless it has ended; SIGKILL ends the whole container."""
        try:
            if self._status is None:
                os.kill(self.pid, self.last if signal == 9 else signal)
                if signal == 9 and self.last != signal:
                    os.kill(self.pid, _signal.SIGCONT)  # who is stopped hears of nothing else
        except ProcessLookupError:  # a signal handler of ours, just after waitpid
            pass

    def end(self) -> None:
        """Kill it and what is below it, which outlives a joiner, and wait for it."""
        if self._status is None:
            _kill_below(self.pid)
        self.kill()
        self.wait()


def _is_stopped(pid: int) -> bool:
    """Whether the process, or one of those that began below it, has been stopped by a signal."""
    while pid:
        try:
            if living.stat(pid)[living.STATE] == b"T":
                return True
        except (OSError, IndexError):
            return False
        pid = living.first_child(pid)
    return False


def _kill_below(parent: int) -> None:
    """The oldest child of a process, and its oldest, the last first."""
    pid = living.first_child(parent)
    try:
        pidfd = os.pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return
    if pidfd < 0:
        return
    if living.first_child(parent) == pid:  # and not whoever has its number by now
        _kill_below(pid)
        try:
            _signal.pidfd_send_signal(pidfd, _signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.close(pidfd)


def spawn(spec: Spec, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> Child:
    """Start `spec` on the given descriptors. Call `await_exec` next, after what it awaits."""
    _load(spec)
    if spec.own_ids:
        spec = _opened(spec)
    report_read, report_write = process.pipe()
    mapped = process.pipe() if spec.own_ids else (-1, -1)
    held_read, held_write = (-1, -1) if spec.is_apart else process.pipe()
    # A signal meant for the container must not meet the supervisor before it can pass it on.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = linux.clone(0 if spec.joined else spec.outer_flags)
        if pid == 0:
            os.close(report_read)  # only the parent reads: without it the pipe must break
            if spec.joined:
                joining.run(spec, (stdin, stdout, stderr), report_write)
            supervisor.run(spec, (stdin, stdout, stderr), report_write, mapped, held_write)
        if spec.own_ids:
            _close(*spec.opened)
            _map(pid, spec.own_ids, mapped)
    except linux.SyscallError as error:
        _close(report_read, held_read)
        raise process.refused(error) from error
    finally:
        _close(report_write, held_write)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    final = spec.operations[-1]
    command = final.argv[0] if isinstance(final, Execute) else ""
    is_seen = spec.joined or "pid" not in spec.namespaces
    end = 9 if spec.is_apart else supervisor.ORPHANED
    return Child(pid, report_read, command, is_seen=is_seen, last=end, held_fd=held_read)


def _load(spec: Spec) -> None:
    """What is needed below: the child imports nothing."""
    leanjson.dumps(None)  # loads what a report needs
    if spec.is_answered:
        from rootless.sandbox.oneid import answering  # noqa: F401
    if "pid" not in spec.namespaces:
        from rootless.sandbox import ending  # noqa: F401


def _close(*fds: int) -> None:
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def _opened(spec: Spec) -> Spec:
    from rootless.sandbox import beforehand

    return beforehand.opened(spec)


def _map(pid: int, ids: IdMap, mapped: tuple[int, int]) -> None:
    """Give the new user namespace its ids. Without a word the supervisor ends."""
    os.close(mapped[0])
    try:
        userns.write_maps(pid, ids)
        os.write(mapped[1], b"x")
    except OSError as error:
        raise SandboxError(
            f"these ids cannot be mapped: {error.strerror}",
            hint="rootless doctor says how many there are",
        ) from None
    finally:
        os.close(mapped[1])


def _refused(message: str, number: int, reason: str, layers: int) -> RootlessError:
    """Why a call of the child's was refused; with `layers` it was to stack so many."""
    from rootless import complaints

    error = OSError(number, reason)
    if number in (errno.EMFILE, errno.ENFILE):
        return complaints.explain_limit(error) or SandboxError(message)
    return complaints.explain_overlay(error, layers) if layers else SandboxError(message)


def _cannot_execute(name: str, number: int) -> SandboxError:
    """Docker's 127 for what is not there, 126 for what execve refuses with errno `number`."""
    missing = number in _MISSING
    hint = "the file or the interpreter it names is not in the image" if missing else None
    if number == errno.ENOEXEC:
        hint = "is it built for this machine's architecture, and does it begin with #!?"
    message = f"exec: {name[:_SHOWN]!r}: {os.strerror(number)}"
    return SandboxError(message, hint=hint, exit_code=127 if missing else 126)
