"""A user-mode network program at work for one network namespace: started, awaited, stopped.

The program is a child of this process: in our user namespace, in the host's network, and dead with
us whatever kills us. It gets what it needs as descriptors, so no file is left
behind and no path has to be allowed: the network namespace as 0, and a pipe on which it says that
it is ready. What it complains about goes to an anonymous file.

We open the namespace, because the program may give up the capabilities that /proc/PID/ns of a
process with more of them asks for (ptrace(2), PTRACE_MODE_READ_FSCREDS).
"""

from __future__ import annotations

import errno
import os

from rootless import linux, process
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_READY_WITHIN = 10.0  # seconds; 10 to 40 ms are usual

_TAKEN = "Failed to bind"  # pasta's words, where somebody has been faster since we looked
NETNS_PATH = "/proc/self/fd/0"
READY_PATH = "/proc/self/fd/1"
READY_FD = 3


_ENDING: list[process.Child] = []
"""Killed, and not waited for."""


class Attachment:
    """A running network program: `wait_ready` before the command starts, `stop` after it ended."""

    def __init__(self, argv: tuple[str, ...], netns: str, *, holds_ports: bool) -> None:
        """Start `argv` for the network namespace at the path `netns`; does not wait for it.

        The program says that it is ready by writing to READY_PATH; if it is told to use READY_FD,
        the same pipe is there.
        """
        while _ENDING:  # of an earlier start of the container: it has long ended
            _ENDING.pop().wait()
        self.name = os.path.basename(argv[0])
        self._holds_ports = holds_ports
        self._log_fd = os.memfd_create(self.name)
        try:
            netns_fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise RootlessError("the container ended before it had its network") from None
        self._ready_fd, ready_fd = process.pipe()
        fds = (netns_fd, ready_fd, self._log_fd)
        try:
            self._child = process.fork(lambda _: _become(argv, fds), self.name)
        finally:
            os.close(ready_fd)
            os.close(netns_fd)

    def wait_ready(self) -> None:
        """Return when the network is up. Raises RootlessError with the program's own words."""
        import select

        readable, _, _ = select.select([self._ready_fd], [], [], _READY_WITHIN)
        if not readable:
            self._fail(f"it was not ready after {_READY_WITHIN:.0f} seconds")
        if not os.read(self._ready_fd, 64):
            self._fail("it ended without a word")

    def has_ended(self) -> bool:
        """Whether the program is gone, though nobody stopped it."""
        return self._child.has_ended()

    def stop(self) -> None:
        """End the program; doing so twice does no harm.

        The kernel takes 20 ms to remove its network device. Only published ports are worth that
        wait, so that they are free again at once; else the program is left to end by itself.
        """
        if self._ready_fd < 0:
            return
        self._child.kill(wait=self._holds_ports)
        if not self._holds_ports:
            _ENDING.append(self._child)
        os.close(self._ready_fd)
        os.close(self._log_fd)
        self._ready_fd = -1

    def _fail(self, otherwise: str) -> NoReturn:
        """Stop, and raise with the last thing the program said."""
        complaints = [
            line
            for line in os.pread(self._log_fd, 1 << 16, 0).decode(errors="replace").splitlines()
            if line and "to syslog" not in line
        ]
        self.stop()
        why = (complaints or [otherwise])[-1]
        if _TAKEN in why:
            raise RootlessError(
                "a port that is to be published is already in use on this machine",
                hint="publish another one, or see who has it: ss -lntup",
            )
        is_limit = os.strerror(errno.EMFILE) in why
        raise RootlessError(
            f"{self.name} could not connect the container: {why}",
            hint="raise the limit: ulimit -n"
            if is_limit
            else "use another network: --network host, or none",
        )


def _become(argv: tuple[str, ...], fds: tuple[int, int, int]) -> NoReturn:
    """In the child: give up the terminal and all other descriptors, and execute the program."""
    import _signal

    try:
        os.setsid()  # Ctrl-C in the terminal is for the container
        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)  # passt up to 2023 wants it to start
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        os.dup2(1, READY_FD)
        linux.close_range(READY_FD + 1)
        os.execve(argv[0], argv, {})
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    os._exit(1)
