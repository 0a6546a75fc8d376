"""`ns`: how a running container is kept apart, in words, beside this machine."""

from __future__ import annotations

import os

from rootless.cli import words
from rootless.cli.finding import find
from rootless.container import members, namespaces, records
from rootless.errors import RootlessError
from rootless.sandbox import caps
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.namespaces import Apart, Mount
    from rootless.container.spec import Container

_WHAT = {
    "user": "ids and powers",
    "mnt": "mounts",
    "pid": "processes",
    "net": "network",
    "ipc": "shared memory, queues",
    "uts": "host name",
    "cgroup": "view of cgroups",
    "time": "clocks since boot",
}
_KERNELS = {
    "proc": "the kernel's processes",
    "sysfs": "the kernel's devices",
    "cgroup2": "cgroups",
    "devpts": "terminals of its own",
    "mqueue": "queues of its own",
    "tmpfs": "memory",
}


def ns(given: Settings, arguments: Arguments) -> int:
    """Print what one container has for itself, what it may, and what it sees."""
    store = Store(given.root)
    container = find(store, arguments.container)
    pid = _process(store, container)
    inside, here = namespaces.read(pid), namespaces.read(os.getpid())
    name = container.name
    print(f"{words.escape(name)} is process {inside.inside} inside, {pid} on this machine\n")
    rows = [("NAMESPACE", "OF", "CONTAINER", "THIS MACHINE"), *_namespaces(inside, here)]
    print(*words.columns(rows), sep="\n")
    print()
    facts = [("", "CONTAINER", "YOU, HERE"), *_facts(container, inside, here)]
    print(*words.columns(facts), sep="\n")
    print()
    seen = [("MOUNT", "ACCESS", "WHAT"), *map(_mount, namespaces.mounts(pid))]
    print(*words.columns(seen), sep="\n")
    return 0


def _process(store: Store, container: Container) -> int:
    """The container's own process 1, not the supervisor above it."""
    supervisor = records.pid(store, container) if container.is_running else 0
    found = list(members.find(supervisor)) if supervisor else []
    if not found:
        raise RootlessError(
            f"container {container.id} is not running",
            hint=f"start it with: rootless start {container.name}",
        )
    return found[0]


def _namespaces(inside: Apart, here: Apart) -> Iterator[tuple[str, str, str, str]]:
    for kind, number in inside.namespaces.items():
        other = here.namespaces.get(kind, "")
        own = "the machine's" if number == other else f"its own, {number}"
        yield kind, _WHAT[kind], own, other


def _facts(container: Container, inside: Apart, here: Apart) -> Iterator[tuple[str, str, str]]:
    yield from _ids("uids", inside.uids, "all of them")
    yield from _ids("gids", inside.gids, "")
    yield "runs as", _who(inside, inside), _who(here, None)
    for label, name in (
        ("capabilities", "CapEff"),
        ("could have", "CapBnd"),
        ("hands on", "CapAmb"),
    ):
        mine, yours = inside.powers.get(name, 0), here.powers.get(name, 0)
        yield label, _powers(mine), _powers(yours)
    yield "new powers by exec", _may(inside), _may(here)
    yield "system calls", _filter(container, inside), _filter(None, here)


def _ids(
    label: str, ranges: tuple[tuple[int, int, int], ...], other: str
) -> Iterator[tuple[str, str, str]]:
    for inside, outside, count in ranges:
        more = f"-{inside + count - 1}" if count > 1 else ""
        till = f"-{outside + count - 1}" if count > 1 else ""
        yield label, f"{inside}{more} = the machine's {outside}{till}", other
        label, other = "", ""


def _who(process: Apart, maps: Apart | None) -> str:
    def shown(number: int, ranges: tuple[tuple[int, int, int], ...]) -> str:
        if maps is None:
            return str(number)
        found = namespaces.inner(ranges, number)
        return "nobody's" if found is None else str(found)

    uid, gid = shown(process.uid, process.uids), shown(process.gid, process.gids)
    groups = ",".join(shown(one, process.gids) for one in process.groups)
    return f"{uid}:{gid}, groups {groups or 'none'}"


def _powers(mask: int) -> str:
    """Few by their names, many by what is missing."""
    if mask == caps.mask(caps.DEFAULT):
        return f"the usual {len(caps.DEFAULT)}"
    names = [name for number, name in enumerate(caps.NAMES) if mask >> number & 1]
    missing = [name for name in caps.NAMES if name not in names]
    if not names:
        return "none"
    if not missing:
        return f"all {len(names)}"
    if len(missing) < len(names):
        return f"all but {' '.join(missing)}"
    return f"{len(names)}: {' '.join(names)}"


def _may(process: Apart) -> str:
    return "never" if process.no_new_privileges else "as set-id files say"


def _filter(container: Container | None, process: Apart) -> str:
    if not process.filters:
        return "all of them"
    whose = "your profile" if container and container.spec.seccomp else "rootless's filter"
    more = f", {process.filters} filters" if process.filters > 1 else ""
    return f"those of {whose}{more}" if container else f"filtered{more}"


def _mount(mount: Mount) -> tuple[str, str, str]:
    access = "read" if mount.read_only else "read, write"
    return words.escape(mount.target), access, words.escape(_what(mount))


def _what(mount: Mount) -> str:
    """What is seen there, in words."""
    is_kernels = mount.target.startswith(("/proc/", "/sys/"))
    if mount.fstype == "overlay":
        return "the image's layers, under its own files"
    if mount.fstype == "devtmpfs":
        return "hidden" if is_kernels else f"the machine's /dev{mount.root}"
    if mount.fstype == "tmpfs":
        if mount.root != "/":
            return "a file of its own, in memory"
        return "hidden" if is_kernels and mount.read_only else "memory"
    if mount.fstype in ("proc", "sysfs") and mount.root != "/":
        return "only to be read" if mount.read_only else _KERNELS[mount.fstype]
    return _KERNELS.get(mount.fstype, f"{mount.root} of {mount.source} ({mount.fstype})")
