"""The child's side of a sandbox: from clone to exec, as process 1 of the new container.

It walks the operations once. Everything it needs was imported before: it must import nothing,
least of all after pivot_root, and it never returns. A failure is one message on `report_fd`; the
end of that pipe without a message means that exec succeeded.
"""

from __future__ import annotations

import _signal
import errno
import os

from rootless import linux, process, userns
from rootless.errors import RootlessError
from rootless.sandbox import reaper, trampoline
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.newroot import Newroot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.sandbox.spec import Operation, Spec

_CLOSE_ON_EXEC = 4
_LIMITS = (errno.EMFILE, errno.ENFILE)
_LONGEST = 1000  # characters of a report's message
_MACHINE = os.uname().machine


def run(spec: Spec, report_fd: int, shm_fd: int = -1, answerer_fd: int = -1) -> NoReturn:
    """Turn this process into the container's command. `shm_fd` is a /dev/shm that it is given,
    `answerer_fd` leads to who answers its system calls: see `oneid`.
    """
    operation: Operation = spec.operations[0]
    try:
        if spec.own_ids:
            userns.become_root()
        _detach()
        newroot = Newroot(trampoline.install(_MACHINE), report_fd)
        newroot.shm_fd, newroot.answerer_fd = shm_fd, answerer_fd
        for operation in spec.operations[:-1]:
            operation.apply(newroot)
        operation = spec.operations[-1]
        if spec.init:
            _start_below()
        if "pid" not in spec.namespaces or (spec.joined and spec.is_answered):
            linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)  # no kernel ends it with the other
        operation.apply(newroot)
    except RootlessError as error:
        cause = error.__context__
        if isinstance(cause, OSError) and cause.errno in _LIMITS:
            refused(report_fd, error.message, cause)  # which limit it is needs the parent's words
        else:
            report(report_fd, error)
    except OSError as error:
        refused(report_fd, f"{operation.call} failed", error, getattr(operation, "lowers", ()))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        report(report_fd, SandboxError(f"{operation.call} failed: {error}"))
    finally:  # also when there is nobody left to be told
        os._exit(125)


def _detach() -> None:
    """Own session, signals as if nobody had ever ignored or blocked one, an open umask."""
    os.setsid()
    for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
        _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    os.umask(0)  # what is made here has the mode it is made with
    linux.close_range(3, flags=_CLOSE_ON_EXEC)


def _start_below() -> None:
    """Let a child run the command, and stay as process 1 that reaps and forwards signals."""
    # No /proc/1/exe, which is the host's Python, nor /proc/1/fd; and that before the command is
    # there to look, which makes itself dumpable by exec.
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    pid = os.fork()
    if pid:
        linux.close_range(0)
        os._exit(reaper.reap(pid))


def refused(report_fd: int, what: str, error: OSError, layers: tuple[str, ...] = ()) -> None:
    """Tell the parent what the kernel said: the words need imports, so it finds them."""
    told = [f"{what}: {error}"[:_LONGEST], error.errno, error.strerror, len(layers)]
    process.write_frame(report_fd, "refused", told)


def report(report_fd: int, error: RootlessError) -> None:
    """Tell the parent; the words may come from an image and be any length."""
    error.message = error.message[:_LONGEST]
    process.write_frame(report_fd, "error", process.describe(error))
