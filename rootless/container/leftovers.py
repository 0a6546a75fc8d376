"""What a container without a pid namespace of its own has started and left behind.

Its supervisor ends that, but a supervisor that is killed cannot: then it falls to the monitor, the
next of its ancestors that reaps, which knows it by its mounts. Runs in the monitor. When both are
killed at once, what had left its parent runs on.
"""

from __future__ import annotations

import _signal
import os

from rootless import linux, living


class Leftovers:
    """Made before the start; `know` once the command runs, `end` when the supervisor is gone."""

    def __init__(self) -> None:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        self._mounts = 0

    def know(self, supervisor: int) -> None:
        """The container's mounts are those of what runs below its supervisor."""
        self._mounts = _mounts(living.first_child(supervisor))

    def end(self) -> None:
        """Kill what is left, and what that has left."""
        while left := [pid for pid in _children() if self._mounts and _mounts(pid) == self._mounts]:
            for pid in left:
                os.kill(pid, _signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> list[int]:
    with open("/proc/thread-self/children", "rb", buffering=0) as file:
        return [int(number) for number in file.read().split()]


def _mounts(pid: int) -> int:
    """Which mount namespace it is in; 0 where nobody may know, or it is dead."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0
