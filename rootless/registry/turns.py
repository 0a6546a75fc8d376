"""Taking turns by flock(2) on a directory: whoever can read it may lock it for ever.

So nobody waits without end. A crash ends the turn, with the descriptor.
"""

from __future__ import annotations

import fcntl
import time

PATIENCE = 10.0  # seconds; a turn takes milliseconds
_PAUSE = 0.02


def take(fd: int) -> bool:
    """Lock an open directory until `fd` is closed; False where others have kept it locked."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)
        else:
            return True
