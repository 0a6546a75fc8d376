"""Waiting for a container: what is sent to us is sent on to it.

Runs in the CLI process, the parent of the container or of its monitor. The container's process 1
ignores signals it has no handler for, as every process 1 does; a user who asks a third time to end
gets SIGKILL, and so does a container whose terminal was closed and that did not end by SIGHUP. A
signal that we were started to ignore (nohup, a script's job in the background) stays ignored.
"""

from __future__ import annotations

import _signal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from rootless.sandbox.spawn import Child

    class Signalled(Protocol):
        """Whoever is sent what is sent to us."""

        def kill(self, signal: int = 9) -> None:
            """Send it a signal, unless it has ended."""


_FORWARDED = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGTERM,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
    _signal.SIGWINCH,
)
_ENDING = (_signal.SIGINT, _signal.SIGTERM)
_PATIENCE = 3
_SECONDS_TO_HANG_UP = 5


def spawned(spawn: Callable[[], Child], tell: Callable[[str], object]) -> Child:
    """What `spawn` starts; every signal that asks for something goes to it from its first moment.

    Signals wait meanwhile: one that found it started, but not known yet, would end us and it.
    """
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _FORWARDED)
    try:
        child = spawn()
        forward_signals(child, tell)
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    return child


def forward_signals(child: Signalled, tell: Callable[[str], object]) -> None:
    """From now on; `tell` is given words for the user."""
    asked = [0]
    had_terminal = _has_terminal()

    def forward(number: int, _frame: object) -> None:
        asked[0] += number in _ENDING
        if number in _ENDING and asked[0] >= _PATIENCE:
            tell("got 3 SIGTERM/SIGINTs, forcefully exiting")
            child.kill()
            return
        child.kill(number)
        if number == _signal.SIGHUP and had_terminal:
            _signal.alarm(_SECONDS_TO_HANG_UP)

    def hang_up(*_: object) -> None:
        if not _has_terminal():  # else somebody only sent the signal, as to have a file read again
            child.kill()

    _signal.signal(_signal.SIGALRM, hang_up)
    for number in _FORWARDED:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, forward)


def end_after(seconds: int, child: Signalled) -> Callable[[], bool]:
    """Kill it when its time is over; what is to be called at its end says whether it was."""
    from time import monotonic

    until = monotonic() + seconds
    was_over = [False]

    def look(*_: object) -> None:
        left = until - monotonic()
        was_over[0] = left <= 0
        if was_over[0] or not _has_terminal():  # else a SIGHUP's own alarm came before
            child.kill()
        else:
            _signal.setitimer(_signal.ITIMER_REAL, left)

    def end() -> bool:
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        return was_over[0]

    _signal.signal(_signal.SIGALRM, look)
    _signal.setitimer(_signal.ITIMER_REAL, seconds)
    return end


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal: none after it was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
