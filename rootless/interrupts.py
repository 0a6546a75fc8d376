"""Being asked to end: Ctrl-C, SIGTERM and SIGHUP are a KeyboardInterrupt, and all is cleaned up.

For commands that have something to clean up, and for the processes that they fork, which inherit
it. What was ignored by whoever started the command, as by nohup, stays ignored.
"""

from __future__ import annotations

import _signal

_OTHERS = (_signal.SIGHUP, _signal.SIGTERM)
_came: list[int] = []


def catch() -> None:
    """From here on each raises; harmless twice."""
    for number in _OTHERS:
        if _signal.getsignal(number) is _signal.SIG_DFL:
            _signal.signal(number, _interrupt)
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _interrupt)


def exit_code() -> int:
    """Of a command that was interrupted: 128 and the signal that came first."""
    return 128 + (_came[0] if _came else _signal.SIGINT)


def _interrupt(number: int, _: object) -> None:
    """Once is enough: only another Ctrl-C breaks the cleaning off.

    A terminal that is closed, and a parent that passes on what all have got, ask twice.
    """
    if not _came or number == _signal.SIGINT:
        _came.append(number)
        raise KeyboardInterrupt
