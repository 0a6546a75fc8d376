"""Ending all that runs below this process, where no pid namespace ends with it.

What is killed of a fork bomb only makes room for more of it. So first everything is stopped,
parents before their children, until nobody is left who could make one more; then all is killed, and
what got away is looked for again.

Runs in a supervisor, a guardian or a joiner: a child subreaper with one thread, all of whose
descendants are the sandbox's. A crash leaves some of them stopped.
"""

from __future__ import annotations

import _signal
import os

from rootless import living

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def end_what_is_left() -> None:
    """Return when there is nothing below, or only what this process has no power over."""
    while _reap():
        _freeze()
        found = [*_below()]
        is_told = [_send(_signal.SIGKILL, *one) for one in reversed(found)]
        if not any(is_told):
            return
        os.waitpid(-1, 0)


def _reap() -> bool:
    """Let go of all children that have ended; whether there are others."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _freeze() -> None:
    """Stop everything below: who has been sent the signal can make no process any more."""
    seen: set[int] = set()
    count = -1
    while len(seen) > count:
        count = len(seen)
        for pid, parent in _below():
            if pid not in seen:
                seen.add(pid)
                _send(_signal.SIGSTOP, pid, parent)
        _reap()


def _below() -> Iterator[tuple[int, int]]:
    """Each process below and its parent. Its own children are looked for when it has been seen."""
    found = [os.getpid()]
    for parent in found:
        for pid in living.children(parent):
            yield pid, parent
            found.append(pid)


def _send(number: int, pid: int, parent: int) -> bool:
    """Send a signal, unless the number is somebody else's by now. Whether a child of ours has got
    it: that is what can be waited for.
    """
    own = os.getpid()
    try:
        if parent == own:  # its number is its own until we let go of it
            os.kill(pid, number)
            return True
        fd = os.pidfd_open(pid)
        try:
            if int(living.stat(pid)[living.PARENT]) in (parent, own):
                _signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)
    except (OSError, IndexError):  # it has ended, or is another user's
        pass
    return False
