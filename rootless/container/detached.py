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
    from typing import NoReturn


def begin(body: Callable[[Callable[[], None]], object], name: str) -> int:
    """Call `body(running)` in such a process; its number, when it has called `running`.

    Its error, if it ends by one before, is raised here. `name` is how errors call it.
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
    told = process.read_frame(read_fd)
    os.close(read_fd)
    if told is None:
        raise process.died(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    kind, value = told
    if kind == "error":
        os.waitpid(pid, 0)
        raise process.raisable(value)
    return pid


def _live(body: Callable[[Callable[[], None]], object], report_fd: int) -> NoReturn:
    """The process's whole life."""
    told = [False]

    def running() -> None:
        if not told[0]:
            told[0] = True
            _tell(report_fd, "result", None)
            os.close(report_fd)

    try:
        os.setsid()
        for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGPIPE):
            _signal.signal(number, _signal.SIG_IGN)
        _let_go(report_fd)
        body(running)
        running()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the command must hear of it
        if not told[0]:
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
