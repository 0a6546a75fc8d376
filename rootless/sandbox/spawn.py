"""The parent's side of a sandbox: clone the supervisor, hear whether its command started, wait.

Runs in a process with one thread that is uid 0 of its user namespace (`userns.enter`). The
container dies with this process, whatever happens to either: see `supervisor`.
"""

from __future__ import annotations

import _signal
import errno
import os

from rootless import leanjson, linux, process, userns
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


class Child:
    """A started sandbox: `pid` is its supervisor's, whose network namespace it has if it has one,
    or its joiner's. `command` is how errors call it.
    """

    def __init__(self, pid: int, report_fd: int, command: str) -> None:
        self.pid = pid
        self._report_fd = report_fd
        self._command = command
        self._status: int | None = None

    def await_exec(self) -> None:
        """Return when the command runs; the child's error when it cannot."""
        if self._report_fd < 0:
            return
        failure = process.read_frame(self._report_fd)
        os.close(self._report_fd)
        self._report_fd = -1
        if failure:
            self.wait()
            kind, value = failure
            if kind == "errno":
                raise _cannot_execute(self._command, value)
            raise _refused(*value) if kind == "refused" else process.raisable(value)

    def wait(self) -> int:
        """The command's exit status: its own, or 128 + the signal that killed it."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status if self._status >= 0 else 128 - self._status

    def kill(self, signal: int = 9) -> None:
        """Send a signal, unless it has ended; SIGKILL ends the whole container."""
        try:
            if self._status is None:
                os.kill(self.pid, signal)
        except ProcessLookupError:  # a signal handler of ours, just after waitpid
            pass


def spawn(spec: Spec, stdin: int = 0, stdout: int = 1, stderr: int = 2) -> Child:
    """Start `spec` on the given descriptors. Call `await_exec` next, after what it awaits."""
    leanjson.dumps(None)  # loads what a report needs: the child imports nothing
    if spec.own_ids:
        spec = _opened(spec)
    report_read, report_write = process.pipe()
    mapped = process.pipe() if spec.own_ids else (-1, -1)
    # A signal meant for the container must not meet the supervisor before it can pass it on.
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = linux.clone(0 if spec.joined else spec.outer_flags)
        if pid == 0:
            os.close(report_read)  # only the parent reads: without it the pipe must break
            if spec.joined:
                joining.run(spec, (stdin, stdout, stderr), report_write)
            supervisor.run(spec, (stdin, stdout, stderr), report_write, mapped)
        if spec.own_ids:
            for fd in spec.opened:
                os.close(fd)
            _map(pid, spec.own_ids, mapped)
    except linux.SyscallError as error:
        os.close(report_read)
        raise process.refused(error) from error
    finally:
        os.close(report_write)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    last = spec.operations[-1]
    return Child(pid, report_read, last.argv[0] if isinstance(last, Execute) else "")


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
