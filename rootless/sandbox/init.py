"""The child's side of a sandbox: from clone to exec, as process 1 of the new container.

It walks the operations once. Everything it needs was imported before: it must import nothing,
least of all after pivot_root, and it never returns. A failure is one message on `report_fd`; the
end of that pipe without a message means that exec succeeded.
"""

from __future__ import annotations

import _signal
import os
import select

from rootless import linux, process
from rootless.errors import RootlessError
from rootless.sandbox import reaper
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.newroot import Newroot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.sandbox.spec import Operation, Spec

_SIGKILL = 9
_CLOSE_ON_EXEC = 4
_LONGEST = 1000  # characters of a report's message


def run(spec: Spec, stdio: tuple[int, int, int], report_fd: int) -> NoReturn:
    """Turn this process into the container's command."""
    operation: Operation = spec.operations[0]
    try:
        _detach(stdio, report_fd)
        newroot = Newroot()
        for operation in spec.operations[:-1]:
            operation.apply(newroot)
        _tie_to_parent(report_fd)
        operation = spec.operations[-1]
        if spec.init:
            _start_below()
        operation.apply(newroot)
    except RootlessError as error:
        _report(report_fd, error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        _report(report_fd, SandboxError(f"{operation.call} failed: {error}"))
    os._exit(125)


def _detach(stdio: tuple[int, int, int], report_fd: int) -> None:
    """Own session, own standard streams, default signals; nothing else is inherited."""
    os.setsid()
    _tie_to_parent(report_fd)
    for number in (_signal.SIGPIPE, _signal.SIGINT, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    for target, fd in enumerate(stdio):
        if fd != target:
            os.dup2(fd, target)
        else:
            os.set_inheritable(fd, True)  # noqa: FBT003 - os takes it by position
    linux.close_range(3, flags=_CLOSE_ON_EXEC)


def _tie_to_parent(report_fd: int) -> None:
    """Die with the parent, also if it has died already. Changing ids undoes it: tie again."""
    linux.prctl(linux.PR_SET_PDEATHSIG, _SIGKILL)
    watch = select.poll()
    watch.register(report_fd, 0)
    if watch.poll(0):
        os._exit(125)


def _start_below() -> None:
    """Let a child run the command, and stay as process 1 that reaps and forwards signals."""
    # No /proc/1/exe, which is the host's Python, nor /proc/1/fd; and that before the command is
    # there to look, which makes itself dumpable by exec.
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    pid = os.fork()
    if pid:
        linux.close_range(0)
        os._exit(reaper.reap(pid))


def _report(report_fd: int, error: RootlessError) -> None:
    """The words may come from an image and be any length."""
    error.message = error.message[:_LONGEST]
    process.write_frame(report_fd, "error", process.describe(error))
