"""What a container may use of the machine, in docker's terms, and as files of its cgroup. Pure.

Checks are docker's, in its words; the machine is not looked at, but for how many processors the
caller says there are. cgroups(7); Documentation/admin-guide/cgroup-v2.rst names the files.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_LEAST_MEMORY = 6 << 20
_PERIOD = 100_000  # microseconds, the kernel's own
_MANY = 1 << 20  # numbers of a processor are smaller
UNLIMITED = -1
MODES = ("enabled", "disabled", "no-conmon", "split")
"""Of --cgroups, by podman's names: `enabled` insists."""


class Limits(Record):
    """0 or "" is no limit; -1, where docker has it, says that there is to be none.

    Sizes are bytes, `nano_cpus` billionths of a processor, times microseconds. `memory_swap` is
    memory and swap together. `mode` is one of MODES, or "" to do what can be done.
    """

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    memory_swappiness: int = UNLIMITED
    nano_cpus: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    oom_kill_disable: bool = False
    cgroup_parent: str = ""
    mode: str = ""

    @property
    def wants_group(self) -> bool:
        """Whether a cgroup is asked for, by a limit or by name."""
        asked = bool(files(self)) or bool(self.cgroup_parent) or self.mode in MODES
        return asked and self.mode != "disabled"

    def over(self, before: Limits) -> Limits:
        """Those of a container that is updated with these: what is not given stays.

        As in docker, a new limit of memory goes with the swap that there is; UsageError when
        that cannot be.
        """
        changed = {
            name: value
            for name, value in ((name, getattr(self, name)) for name in self._fields)
            if value != self._defaults[name]
        }
        if "nano_cpus" in changed:
            _refuse_both(before.cpu_period, "CPU Period has already been set", "Nano CPUs")
            _refuse_both(before.cpu_quota, "CPU Quota has already been set", "Nano CPUs")
        if before.nano_cpus and (self.cpu_quota or self.cpu_period):
            what = "CPU Period" if self.cpu_period else "CPU Quota"
            raise UsageError(
                f"Conflicting options: {what} cannot be updated as NanoCPUs has already been set",
                hint="change it by --cpus",
            )
        swap = before.memory_swap
        if self.memory > swap > 0 and not self.memory_swap:
            raise UsageError(
                "Memory limit should be smaller than already set memoryswap limit, "
                "update the memoryswap at the same time",
                hint="give --memory-swap as well",
            )
        return before.replace(**changed)


def _refuse_both(value: int, what: str, new: str) -> None:
    if value:
        raise UsageError(
            f"Conflicting options: {new} cannot be updated as {what}",
            hint="change it by --cpu-period and --cpu-quota",
        )


def check(limits: Limits, processors: int) -> Limits:
    """The limits as docker keeps them. UsageError, in docker's words, for what it refuses."""
    _check_memory(limits)
    _check_processors(limits, processors)
    if limits.blkio_weight and not 10 <= limits.blkio_weight <= 1000:
        raise UsageError(
            "Range of blkio weight is from 10 to 1000", hint="write --blkio-weight 500"
        )
    swap = limits.memory_swap
    if limits.memory and not swap:
        swap = 2 * limits.memory  # docker's default: as much swap as memory
    pids = UNLIMITED if limits.pids_limit < 0 else limits.pids_limit
    return limits.replace(memory_swap=swap, pids_limit=pids)


def _check_memory(limits: Limits) -> None:
    memory, swap, reserved = limits.memory, limits.memory_swap, limits.memory_reservation
    if 0 < memory < _LEAST_MEMORY:
        raise UsageError("Minimum memory limit allowed is 6MB", hint="write --memory 64m")
    if memory and 0 < swap < memory:
        raise UsageError(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
            hint="--memory-swap is memory and swap together",
        )
    if swap > 0 and not memory:
        raise UsageError(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
            hint="give --memory as well",
        )
    if 0 < reserved < _LEAST_MEMORY:
        raise UsageError(
            "Minimum memory reservation allowed is 6MB", hint="write --memory-reservation 64m"
        )
    if 0 < memory < reserved:
        raise UsageError(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
            hint="let --memory-reservation be the smaller one",
        )
    if not UNLIMITED <= limits.memory_swappiness <= 100:
        raise UsageError(
            f"invalid value: {limits.memory_swappiness}. Valid memory swappiness range is 0-100",
            hint="write --memory-swappiness 60",
        )


def _check_processors(limits: Limits, processors: int) -> None:
    nano, period, quota = limits.nano_cpus, limits.cpu_period, limits.cpu_quota
    for value, name in ((period, "Period"), (quota, "Quota")):
        if nano and value:
            raise UsageError(
                f"Conflicting options: Nano CPUs and CPU {name} cannot both be set",
                hint="--cpus says both",
            )
    if not 0 <= nano <= processors * 10**9:
        raise UsageError(
            f"range of CPUs is from 0.01 to {processors}.00, "
            f"as there are only {processors} CPUs available",
            hint="write --cpus 0.5",
        )
    if period and not 1000 <= period <= 1_000_000:
        raise UsageError(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            hint="write --cpu-period 100000",
        )
    if 0 < quota < 1000:
        raise UsageError(
            "CPU cfs quota can not be less than 1ms (i.e. 1000)", hint="write --cpu-quota 50000"
        )
    if limits.cpu_shares < 0:
        raise UsageError(
            f"invalid CPU shares ({limits.cpu_shares}): value must be a positive integer",
            hint="write --cpu-shares 512; what others have is 1024",
        )
    _check_set(limits.cpuset_cpus, "cpuset cpus")
    _check_set(limits.cpuset_mems, "cpuset mems")


def _check_set(text: str, what: str) -> None:
    if text and not numbers(text):
        raise UsageError(f"Invalid value {text} for {what}", hint="write 0-1 or 0,2")


def numbers(text: str) -> frozenset[int]:
    """The numbers that a list such as `0-2,4` means; none when it is not one."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and len(first + last) < 20):
            return frozenset()
        if not int(first) <= int(last) < _MANY:
            return frozenset()
        found.update(range(int(first), int(last) + 1))
    return frozenset(found)


def files(limits: Limits) -> dict[str, str]:
    """The files of the container's cgroup and what is written to each, in that order."""
    return {name: value for name, value in _files(limits) if value}


def _files(limits: Limits) -> Iterator[tuple[str, str]]:
    memory, swap = limits.memory, limits.memory_swap
    yield "memory.max", str(memory) if memory > 0 else ""
    yield "memory.swap.max", str(swap - memory) if swap > 0 else "max" if swap else ""
    yield "memory.low", str(limits.memory_reservation or "")
    yield "cpu.max", _quota(limits)
    yield "cpu.weight", str(weight(limits.cpu_shares)) if limits.cpu_shares else ""
    yield "cpuset.cpus", limits.cpuset_cpus
    yield "cpuset.mems", limits.cpuset_mems
    yield "pids.max", {0: "", UNLIMITED: "max"}.get(limits.pids_limit, str(limits.pids_limit))
    yield "io.weight", _io_weight(limits.blkio_weight)


def _quota(limits: Limits) -> str:
    """The second number is the length of a turn in microseconds, the first what is used of it."""
    period = limits.cpu_period or _PERIOD
    if limits.nano_cpus:
        return f"{limits.nano_cpus * _PERIOD // 10**9} {_PERIOD}"
    if limits.cpu_quota > 0:
        return f"{limits.cpu_quota} {period}"
    return f"max {period}" if limits.cpu_period or limits.cpu_quota else ""


def weight(shares: int) -> int:
    """cgroup v2's weight (1 to 10000, usually 100) for docker's shares (2 to 262144, usually 1024).

    The curve of the OCI runtimes since 2025, which maps what is usual to what is usual.
    """
    from math import ceil, log2

    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def _io_weight(blkio: int) -> str:
    """10 to 1000 becomes 1 to 10000, as the OCI runtimes have it."""
    return f"default {1 + (blkio - 10) * 9999 // 990}" if blkio else ""


def controllers(limits: Limits) -> tuple[str, ...]:
    """Which of cgroup v2's controllers the limits need."""
    return tuple(dict.fromkeys(name.partition(".")[0] for name in files(limits)))


def host_config(limits: Limits) -> dict[str, Any]:
    """What docker's HostConfig says of it."""
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": limits.cgroup_parent,
        "BlkioWeight": limits.blkio_weight,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap,
        "MemorySwappiness": limits.memory_swappiness if limits.memory_swappiness >= 0 else None,
        "OomKillDisable": limits.oom_kill_disable or None,
        "PidsLimit": limits.pids_limit or None,
    }
