"""What a running container uses, at this moment. Reads only; anywhere in the user's processes.

From the files of its cgroup, where it has one of its own. Else from what /proc tells of its
processes, which is less: what has ended unseen is forgotten, memory that is shared counts for each
that shares it, and what was read from disks nobody says.
"""

from __future__ import annotations

import os

from rootless.container import members
from rootless.record import Record
from rootless.sandbox import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(Record):
    """`at` is when, in seconds of the monotonic clock, and `cpu` seconds of a processor until then;
    all else bytes, but `pids`: processes and threads. None is not known.
    """

    at: float
    cpu: float
    memory: int
    limit: int
    pids: int
    received: int | None = None
    sent: int | None = None
    read: int | None = None
    written: int | None = None

    def percent_of_processor(self, before: Usage) -> float:
        """Of one processor, between two looks."""
        passed = self.at - before.at
        return max(0.0, self.cpu - before.cpu) / passed * 100 if passed > 0 else 0.0

    @property
    def percent_of_memory(self) -> float:
        return self.memory / self.limit * 100 if self.limit else 0.0


def look(supervisor: int) -> Usage | None:
    """At the container below that process; None when there is none any more."""
    from time import monotonic

    group = cgroup.of_container(supervisor)
    try:
        found = _of_processes(supervisor, monotonic())
        if group and found:
            found = _of_group(group, found)
    except FileNotFoundError:
        return None
    if found is None:
        return None
    received, sent = _network(supervisor)
    return found.replace(received=received, sent=sent)


def _of_group(group: cgroup.Group, told: Usage) -> Usage:
    """What the group's controllers know better than its processes, as far as they are there."""
    cpu = group.table("cpu.stat").get("usage_usec")
    memory = group.number("memory.current")
    if memory is not None:  # as docker counts: what the kernel takes back at once is nobody's use
        memory = max(0, memory - group.table("memory.stat").get("inactive_file", 0))
    limit = group.number("memory.max")
    pids = group.number("pids.current")
    read, written = _disks(group)
    return told.replace(
        cpu=told.cpu if cpu is None else cpu / 1e6,
        memory=told.memory if memory is None else memory,
        limit=min(limit, _total()) if limit else _total(),
        pids=told.pids if pids is None else pids,
        read=read,
        written=written,
    )


def _disks(group: cgroup.Group) -> tuple[int | None, int | None]:
    """Bytes of all disks together; not known where the controller is not given to us."""
    if not os.path.exists(f"{group.path}/io.stat"):
        return None, None
    words = group.read("io.stat").split()
    pairs = [word.partition("=")[::2] for word in words if "=" in word]
    read, written = (
        sum(int(value) for name, value in pairs if name == wanted and value.isdecimal())
        for wanted in ("rbytes", "wbytes")
    )
    return read, written


def _of_processes(supervisor: int, at: float) -> Usage | None:
    found = [[int(field) for field in one[1:]] for one in members.find(supervisor).values()]
    if not found:
        return None
    # `stat` without the state, which is no number: so all is one further to the left.
    ticks = sum(sum(one[members.USER_TIME - 1 : members.CHILDREN_SYSTEM_TIME]) for one in found)
    pages = sum(one[members.RESIDENT - 1] for one in found)
    threads = sum(one[members.THREADS - 1] for one in found)
    return Usage(at, ticks / _TICKS, pages * _PAGE, _total(), threads)


def _network(pid: int) -> tuple[int | None, int | None]:
    """Bytes that came and went, over all devices but lo."""
    try:
        counted = [*_devices(pid)]
    except OSError:
        return None, None
    return sum(received for received, _ in counted), sum(sent for _, sent in counted)


def _devices(pid: int) -> Iterator[tuple[int, int]]:
    with open(f"/proc/{pid}/net/dev", encoding="ascii", errors="replace") as file:
        for line in file:
            name, colon, rest = line.partition(":")
            counters = rest.split()
            if colon and name.strip() != "lo" and len(counters) > 8:
                yield int(counters[0]), int(counters[8])


def _total() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE
