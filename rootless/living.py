"""Whether something runs that a record tells of, and ending it from outside.

There are two witnesses. The process that runs a container holds its directory by flock(2),
exclusively and from before there is a record; everybody else only ever tests with a shared lock,
so that nobody takes another who looks for the owner. And a record names a process: process 1 of a
container, which may outlive its parent for a moment, or who answers for a network's endpoint. A
process is known by its number, the time it started, and the pid namespace and boot that both
belong to, so that a number given to somebody else is never signalled. Runs in any process.
"""

from __future__ import annotations

import _signal
import fcntl
import os

from rootless.record import Record

_SIGKILL = 9
_LONGEST = 2_000_000.0  # seconds: poll(2) counts milliseconds in 31 bits
STATE, PARENT, SESSION, START_TIME = (
    0,
    1,
    3,
    19,
)  # of `stat`: proc(5) counts from the name on, the 3rd


class Process(Record):
    """One process of one boot, as seen from one pid namespace; `last` is the signal that ends it,
    which is another than SIGKILL for one that has to put something in order before.
    """

    pid: int
    started: int
    namespace: int
    boot: str
    last: int = _SIGKILL


def identify(pid: int) -> Process | None:
    """The process that has this number now; None when there is none, or it is dead."""
    try:
        fields = stat(pid)
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            boot = file.read().strip()
        if fields[STATE] in (b"Z", b"X"):
            return None
        return Process(pid, int(fields[START_TIME]), os.stat("/proc/self/ns/pid").st_ino, boot)
    except (OSError, IndexError, ValueError):
        return None


def stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat after the name; OSError when there is no such process."""
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        # The name is in parentheses and may hold any; what follows the last one is numbers.
        return file.read(4096).rpartition(b")")[2].split()


def first_child(pid: int) -> int:
    """The number of a process's oldest child; 0 where it has none."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
            return int((file.read(64).split() or [b"0"])[0])
    except OSError:
        return 0


def children(pid: int) -> list[int]:
    """The numbers of a process's children, whichever of its threads has made them; [] where it has
    ended.
    """
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def is_alive(process: Process | None) -> bool:
    """Whether it still is: all of a container is gone when its process 1 is."""
    return process is not None and identify(process.pid) == process.replace(last=_SIGKILL)


def is_held(path: str) -> bool:
    """Whether a process holds the directory at `path`. OSError when it is closed."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def kill(process: Process, patience: float) -> bool:
    """End the process and wait for that, at most `patience` seconds; whether it is gone.

    PermissionError when it is not ours to end.
    """
    return end(process, _SIGKILL, patience)


def end(process: Process, number: int, patience: float | None) -> bool:
    """Send it a signal and wait for its end, `patience` seconds or for ever; whether it is gone."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(process):  # `fd` is whoever has the number since before this question
            return process.namespace == os.stat("/proc/self/ns/pid").st_ino
        _signal.pidfd_send_signal(fd, process.last if number == _SIGKILL else number)
        return _ends(fd, patience)
    except ProcessLookupError:
        return True
    finally:
        os.close(fd)


def signal(process: Process, number: int) -> None:
    """Send it a signal, if it still is."""
    end(process, number, 0)


def _ends(pidfd: int, patience: float | None) -> bool:
    from select import POLLIN, poll

    watch = poll()
    watch.register(pidfd, POLLIN)
    return bool(watch.poll(None if patience is None else min(patience, _LONGEST) * 1000))
