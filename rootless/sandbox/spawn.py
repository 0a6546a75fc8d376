"""The parent's side of a sandbox: clone the child, hear whether its command started, wait.

Runs in a process with one thread that is uid 0 of its user namespace (`userns.enter`). The child
is process 1 of the container and dies with this process, and all of the container with it.
"""

from __future__ import annotations

import os

from rootless import leanjson, linux, process
from rootless.sandbox import init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.spec import Spec


class Child:
    """A started sandbox: `pid` in this process's pid namespace."""

    def __init__(self, pid: int, report_fd: int) -> None:
        self.pid = pid
        self._report_fd = report_fd
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
            raise process.raisable(failure[1])

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
    report_read, report_write = process.pipe()
    try:
        pid = linux.clone(spec.clone_flags)
    except linux.SyscallError as error:
        os.close(report_read)
        os.close(report_write)
        raise process.refused(error) from error
    if pid == 0:
        os.close(report_read)  # only the parent reads: without it the pipe must break
        init.run(spec, (stdin, stdout, stderr), report_write)
    os.close(report_write)
    return Child(pid, report_read)
