"""How often a display draws: drawing must not cost more than what is drawn."""

from __future__ import annotations

from time import monotonic

_FRAME = 0.07  # seconds between two drawings, in the long run
_BURST = 20  # drawings at once: the last line before a silence should not be the one left out


class Pace:
    """Says when to draw."""

    def __init__(self) -> None:
        self._next = 0.0

    def allows(self) -> bool:
        """Whether to draw now; a no counts for nothing."""
        now = monotonic()
        self._next = max(self._next, now - _BURST * _FRAME)
        if self._next > now:
            return False
        self._next += _FRAME
        return True
