"""How containers reach the network, and what may be limited."""

from __future__ import annotations

import os

from rootless.doctor.check import Check, complaint, note, passed
from rootless.errors import RootlessError
from rootless.network import choice
from rootless.sandbox import cgroup as groups

_LIMITED = ("memory", "pids")
_NO_CONTROLLERS = (
    "no cgroup v2 controllers: limits on memory, processors and processes are not available"
)


def network(search_path: str) -> Check:
    chosen = choice.choose("", search_path, tun=choice.has_tun())
    if chosen.program:
        return passed("network", f"containers get their own through {chosen.mode}")
    if choice.has_tun():
        cure = "sudo apt-get install passt (or slirp4netns)"
    else:
        cure = "sudo modprobe tun; sudo chmod 666 /dev/net/tun"
    return note("network", chosen.note, cure)


def shared() -> Check:
    """Where no container can have one of its own."""
    return passed("network", "containers share that of this machine")


def route(*, is_shared: bool) -> Check:
    """pasta copies the host's addresses and routes; without a default route it has none to copy."""
    if _is_routed():
        return passed("route", "this machine has a default route")
    if is_shared:
        lacks, cure = "so containers reach nothing beyond it", "connect it"
    else:
        lacks, cure = (
            "so pasta cannot connect containers",
            "connect it, or use --network none or host",
        )
    return note("route", f"this machine has no default route, {lacks}", cure)


def cgroup() -> Check:
    try:
        with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as file:
            controllers = file.read().split()
    except OSError:
        controllers = []
    if not {*_LIMITED} <= {*controllers}:
        return note("cgroup", _NO_CONTROLLERS, "boot with systemd.unified_cgroup_hierarchy=1")
    if problem := complaint(_try_cgroup):
        return note("cgroup", f"no limits can be set: {problem.message}", problem.hint)
    return passed("cgroup", "v2: " + " ".join(controllers))


def _try_cgroup() -> None:
    """In a child, which moves: a login has a cgroup to divide; su, sudo and cron leave none."""
    group, missing = groups.make(f"doctor{os.getpid()}", _LIMITED)
    groups.remove(group.path)
    if missing:
        lost = ", ".join(missing)
        raise RootlessError(f"{lost}: not delegated to this user", hint=groups.delegation(missing))


def _is_routed() -> bool:
    """A default route, by pyroute2; where that cannot be loaded, by the kernel's own table."""
    try:
        from pyroute2 import IPRoute
    except ImportError:
        return any(line.split()[1] == "00000000" for line in _routes())
    with IPRoute() as netlink:
        return bool(netlink.get_default_routes())


def _routes() -> list[str]:
    try:
        with open("/proc/net/route", encoding="utf-8") as file:
            return file.readlines()[1:]
    except OSError:
        return []
