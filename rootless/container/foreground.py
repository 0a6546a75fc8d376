"""Waiting for a container that has no terminal: what is sent to us is sent on to it.

Runs in the CLI process, the parent of the container's process 1. That process ignores signals it
has no handler for, as every process 1 does; a user who asks a third time to end gets SIGKILL.
"""

from __future__ import annotations

import _signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.spawn import Child

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


def forward_signals(child: Child) -> None:
    """From now on every signal that asks for something goes to the container."""
    asked = [0]

    def forward(number: int, _frame: object) -> None:
        asked[0] += number in _ENDING
        child.kill(_signal.SIGKILL if asked[0] >= _PATIENCE else number)

    for number in _FORWARDED:
        _signal.signal(number, forward)
