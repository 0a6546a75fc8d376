"""The init of `run --init`: process 1 that forwards signals and reaps whoever is orphaned.

Runs in the container's pid namespace after pivot_root, where nothing can be imported any more;
it uses only what is loaded, and `_signal`, the C half of `signal`, which is a third of the price.
Must not know what the child is. When it returns, its caller exits and the kernel kills the rest.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal  # typeshed knows only the full module
    from collections.abc import Callable
else:
    import _signal

# Faults of this process itself, signals nobody can catch, and the ones that tell about children
# or the terminal: forwarding those would lie to the child.
_OWN = frozenset(
    (
        _signal.SIGILL, _signal.SIGTRAP, _signal.SIGABRT, _signal.SIGBUS, _signal.SIGFPE,
        _signal.SIGKILL, _signal.SIGSEGV, _signal.SIGCHLD, _signal.SIGSTOP, _signal.SIGTTIN,
        _signal.SIGTTOU, _signal.SIGSYS,
    )
)  # fmt: skip

PASSED_ON = _signal.valid_signals() - _OWN


def reap(
    child_pid: int, until: int = 0, answerer_pid: int = 0, sink: Callable[[], None] | None = None
) -> int:
    """Wait for the child, forwarding signals to it; its exit status, or 128 + its signal.

    With the signal `until`, which is not forwarded, waiting ends: as if it had been killed.
    Without the answerer, where it has one, it cannot go on: then that is its end, too. A `sink` is
    called when the kernel has told of it.

    Signals are waited for, not handled: a handler's Python half would wait for waitpid to return.
    Blocked, they also reach a process 1 that has no handler for them (pid_namespaces(7)).
    """
    watched = PASSED_ON | {_signal.SIGCHLD}
    _signal.pthread_sigmask(_signal.SIG_BLOCK, watched)
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid and (pid == child_pid or (pid == answerer_pid and status)):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            told = _signal.sigwaitinfo(watched)
            number = told.si_signo
            if number == until:
                return 128 + _signal.SIGKILL
            if sink and number == _signal.SIGIO and told.si_code > 0:  # not a process's: kill(2)
                sink()
            elif number != _signal.SIGCHLD:
                os.kill(child_pid, number)
