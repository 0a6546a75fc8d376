"""A process that outlives the command that began it: the monitor of a detached container.

It is in a session of its own, has none of the command's descriptors but what it made itself, and
tells the command, over a pipe, that the container runs or why it does not. Killed, it takes the
container with it; that is all it leaves.
"""

from __future__ import annotations

import _signal
import fcntl
import os

from rootless import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


class Report:
    """What such a process tells the command that began it, until it runs."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.is_over = False

    def tell(self, value: object) -> None:
        """Something that JSON can say, before it runs."""
        _tell(self._fd, "event", value)

    def running(self) -> None:
        """Nobody waits for it any more; harmless twice."""
        if not self.is_over:
            self.is_over = True
            _tell(self._fd, "result", None)
            os.close(self._fd)


def begin(
    body: Callable[[Report], object], name: str, see: Callable[[Any], object] = lambda _: None
) -> int:
    """Call `body(report)` in such a process; its number, when that has told that it runs.

    Its error, if it ends by one before, is raised here. `name` is how errors call it; `see` gets
    what it tells before.
    """
    read_fd, write_fd = process.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            os.close(read_fd)
            _live(body, write_fd)
    except OSError as error:
        os.close(read_fd)
        raise process.refused(error) from error
    finally:
        os.close(write_fd)
    while (told := process.read_frame(read_fd)) and told[0] == "event":
        see(told[1])
    os.close(read_fd)
    if told is None:
        raise process.died(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    kind, value = told
    if kind == "error":
        os.waitpid(pid, 0)
        raise process.raisable(value)
    return pid


def _live(body: Callable[[Report], object], report_fd: int) -> NoReturn:
    """The process's whole life."""
    report = Report(report_fd)
    try:
        os.setsid()
        for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE):
            _signal.signal(number, _signal.SIG_IGN)
        _let_go(report_fd)
        body(report)
        report.running()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the command must hear of it
        if not report.is_over:
            _tell(report_fd, "error", process.describe(error))
    finally:
        os._exit(0)


def _tell(report_fd: int, kind: str, value: object) -> None:
    try:
        process.write_frame(report_fd, kind, value)
    except BrokenPipeError:  # the command has been killed
        pass


def _let_go(report_fd: int) -> None:
    """Keep nothing that the command was given: its caller may wait for the end of a pipe."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    if null > 2:
        os.close(null)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd != report_fd and not _is_our_own(fd):
            os.close(fd)


def _is_our_own(fd: int) -> bool:
    """Whether it was opened by this program: none of it is inherited by what it executes."""
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
    except OSError:  # the directory that was listed
        return True
