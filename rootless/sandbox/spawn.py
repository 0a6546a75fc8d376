"""The parent's side of a sandbox: clone the child, hear whether its command started, wait.

Runs in a process with one thread that is uid 0 of its user namespace (`userns.enter`). The child
is process 1 of the container and dies with this process, and all of the container with it.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.sandbox import init
from rootless.sandbox.errors import SandboxError

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
        """Return when the command runs; SandboxError with the child's words when it cannot."""
        if self._report_fd < 0:
            return
        content = b""
        while chunk := os.read(self._report_fd, 4096):
            content += chunk
        os.close(self._report_fd)
        self._report_fd = -1
        if content:
            self.wait()
            code, message, hint = content.decode().split("\0", 2)
            raise SandboxError(message, hint=hint or None, exit_code=int(code))

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
    report_read, report_write = os.pipe()
    pid = linux.clone(spec.clone_flags)
    if pid == 0:
        os.close(report_read)  # only the parent reads: without it the pipe must break
        init.run(spec, (stdin, stdout, stderr), report_write)
    os.close(report_write)
    return Child(pid, report_read)
