"""A container's own cgroup v2: found room for, made, limited, read and removed.

    <base>/monitor       who starts the container, and its supervisor
    <base>/container     the container and nothing else: what it uses is what its files say

The base is a new scope that the user's systemd makes for this process; else a directory made in
the nearest cgroup that may be written; or, where that is asked for, the own cgroup, if systemd has
delegated it. A process may be moved only within what the user may write, so this one moves first,
before it has children, and they are born where they belong.

Runs in the process that starts containers, inside or outside its user namespace. A scope is gone
with its last process. What was made without systemd is a directory without processes after a
crash, which whoever sweeps the container removes (`remove`).

cgroups(7); https://systemd.io/CGROUP_DELEGATION.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 5.0  # seconds for systemd to move a process
_MONITOR, _CONTAINER, _OURS = "monitor", "container", "rootless-"
_LONGEST = 1 << 16
_NOT_NOW = (errno.EBUSY, errno.EACCES, errno.EPERM, errno.ENOENT, errno.EOPNOTSUPP, errno.EROFS)
_HINT = (
    "log in by ssh or at the console, which su and sudo are not, or type once: "
    "loginctl enable-linger"
)
_UNIFIED = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"


_came_from: list[str] = []
"""The cgroup that this process was in before it moved; none where it has not."""


class NoGroupError(RootlessError):
    """No cgroup can be had here; the message says why, the hint what to do."""


class Group:
    """The cgroup of one container, by the path of its directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def set(self, files: Mapping[str, str]) -> None:
        """Write each file; RootlessError names the one that the kernel refuses."""
        for name, value in files.items():
            try:
                _write(f"{self.path}/{name}", value)
            except OSError as error:
                raise RootlessError(
                    f"{name} of the container's cgroup cannot be {value!r}: {error.strerror}",
                    hint=_refused(name, self.path),
                ) from None

    def read(self, name: str) -> str:
        """The text of a file of it; "" where there is none."""
        return _read(f"{self.path}/{name}")

    def table(self, name: str) -> dict[str, int]:
        """A file of lines `NAME NUMBER`."""
        pairs = (line.split() for line in self.read(name).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}

    def number(self, name: str) -> int | None:
        """A file that is one number; None where it is not there or says `max`."""
        text = self.read(name).strip()
        return int(text) if text.isdecimal() else None

    @property
    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        return self.table("memory.events").get("oom_kill", 0)


def make(
    name: str, needed: tuple[str, ...], parent: str = "", *, split: bool = False
) -> tuple[Group, tuple[str, ...]]:
    """A group for the container `name`, with the controllers `needed`; this process has moved.

    `parent` is a slice, or a path below the root of the tree, to make it in; with `split` it is
    made in the own cgroup. Call it before there are children or threads. With the group come those
    of `needed` that are not delegated; NoGroupError when there is no group to be had.
    """
    _check_tree(needed)
    base = _own_base() if split else _scope(name, parent) or _directory(name, needed, parent)
    _move_here(base)
    missing = _hand_down(base, needed)
    path = f"{base}/{_CONTAINER}"
    _rmtree(path)  # of an earlier start
    try:
        os.mkdir(path)
    except OSError as error:
        raise NoGroupError(f"{path} cannot be made: {error.strerror}", hint=_HINT) from None
    return Group(path), missing


def _check_tree(needed: tuple[str, ...]) -> None:
    """Whether the machine has what only its administrator can give."""
    top = next((target for _, target in _mounts()), "")
    if not top:
        raise NoGroupError("no cgroup v2 tree is mounted here", hint=_UNIFIED)
    there = {*_read(f"{top}/cgroup.controllers").split()}
    if needed and there.isdisjoint(needed):
        raise NoGroupError(f"the cgroup v2 tree at {top} has no {_listed(needed)}", hint=_UNIFIED)


def _listed(names: tuple[str, ...]) -> str:
    return f"controller{'s' if len(names) > 1 else ''} {', '.join(names)}"


def sweep(name: str) -> None:
    """Remove what a killed command has left of the container `name`, as far as it can be found."""
    for above in _upwards(own()):
        path = f"{above}/{_OURS}{name[:12]}"
        if os.path.isdir(path):
            remove(f"{path}/{_CONTAINER}")


def remove(path: str) -> None:
    """Remove a container's group, with what it may have made inside; and the base, if that is ours.

    Harmless when it is gone, or when there are processes in it still.
    """
    base, name = os.path.split(path)
    if name != _CONTAINER:
        return
    _rmtree(path)
    if _is_made_by_us(base):
        if own() == f"{base}/{_MONITOR}":
            _go_back()
        _rmdir(f"{base}/{_MONITOR}")
        _rmdir(base)


def _is_made_by_us(base: str) -> bool:
    last = os.path.basename(base)
    return last.startswith(_OURS) and not last.endswith(".scope")


def _rmtree(path: str) -> None:
    for folder, _, _ in os.walk(path, topdown=False):
        _rmdir(folder)


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:  # it is gone, or somebody is in it
        pass


def own() -> str:
    """The directory of the cgroup this process is in; "" where no cgroup v2 tree shows it."""
    return of("self")


def of(pid: int | str) -> str:
    """The directory of a process's cgroup; "" where it cannot be seen."""
    for line in _read(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith("0::"):
            return _directory_of(line.removeprefix("0::").removesuffix(" (deleted)"))
    return ""


def of_container(supervisor: int) -> Group | None:
    """The group of the container below that process; None where it has none of its own."""
    base, name = os.path.split(of(supervisor))
    path = f"{base}/{_CONTAINER}"
    return Group(path) if name == _MONITOR and os.path.isdir(path) else None


def approach(path: str) -> None:
    """Have this process be where it may enter the group of a container that runs, at `path`.

    That is where it is, if both are below one cgroup of the user's. From a login session systemd
    moves it beside the container's monitor: NoGroupError says why that cannot be.
    """
    if _is_ours(os.path.commonpath((path, own() or "/"))):
        return
    base, _, _ = f"{path}/".rpartition(f"/{_CONTAINER}/")
    from rootless.sandbox import systemd

    try:
        systemd.attach(os.path.basename(base), f"/{_MONITOR}", os.getpid())
    except systemd.SystemdError as error:
        raise NoGroupError(error.message, hint=_HINT) from None


def around(pid: int) -> str:
    """The directory of a process's cgroup, if that is a container's own, or below one; else ""."""
    path = of(pid)
    base, found, _ = f"{path}/".rpartition(f"/{_CONTAINER}/")
    return path if found and os.path.isdir(f"{base}/{_MONITOR}") else ""


def _directory_of(group: str) -> str:
    """Where a cgroup is in the file system, through whichever mount shows it."""
    for root, target in _mounts():
        below = os.path.relpath(group, root)
        if not below.startswith(".."):
            return os.path.normpath(f"{target}/{below}")
    return ""


def _mounts() -> Iterator[tuple[str, str]]:
    """(cgroup that is mounted, where) of every cgroup2, the topmost first."""
    found = []
    for line in _read("/proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            words = fields.split()
            found.append((_unescaped(words[3]), _unescaped(words[4])))
    yield from sorted(found, key=lambda pair: len(pair[0]))


def _unescaped(text: str) -> str:
    """As mountinfo writes paths: blanks as \\040."""
    return text.encode().decode("unicode_escape") if "\\" in text else text


def _own_base() -> str:
    """The own cgroup, which must be this process's alone: systemd delegates it (Delegate=yes)."""
    path = own()
    if os.path.basename(path) == _MONITOR:  # it has been divided before
        return os.path.dirname(path)
    if not path or not _is_ours(path) or _members(path) != [os.getpid()]:
        raise NoGroupError(
            f"the cgroup {path} is not this process's alone",
            hint="use systemd-run --user --scope -p Delegate=yes, or a service with Delegate=yes",
        )
    return path


def _scope(name: str, parent: str) -> str:
    """A scope of this process's own from the user's systemd; "" where there is none."""
    from rootless.sandbox import systemd

    if parent and not parent.endswith(".slice"):
        return ""
    unit = f"{_OURS}{name[:12]}-{os.getpid()}.scope"
    try:
        systemd.start_scope(unit, parent, f"rootless container {name[:12]}")
    except systemd.SystemdError:
        return ""
    return _await(unit)


def _await(unit: str) -> str:
    from time import monotonic, sleep

    deadline = monotonic() + _PATIENCE
    while os.path.basename(path := own()) != unit:
        if monotonic() > deadline:
            raise NoGroupError(
                f"systemd does not start {unit}", hint=f"see systemctl --user status {unit}"
            )
        sleep(0.001)
    return path


def _directory(name: str, needed: tuple[str, ...], parent: str) -> str:
    """A directory of ours in the nearest cgroup from which this process may be moved there."""
    start = own()
    if os.path.basename(start) == _MONITOR:  # of a container that this process has started before
        start = os.path.dirname(os.path.dirname(start))
    missing = needed
    for above in (_named(parent),) if parent else _upwards(start):
        if not _is_ours(above):
            break
        missing = _hand_down(above, needed)
        if not needed or set(missing) < set(needed):
            path = f"{above}/{_OURS}{name[:12]}"
            os.makedirs(path, exist_ok=True)
            return path
    if not missing or not _is_ours(start):
        raise NoGroupError(f"the cgroup {parent or start} is not ours to divide", hint=_HINT)
    raise NoGroupError(
        f"{_listed(missing)} cannot be had in {parent or start}, which has processes of its own",
        hint=_HINT,
    )


def _named(parent: str) -> str:
    top = next((target for _, target in _mounts()), "")
    path = os.path.normpath(f"{top}/{parent.strip('/')}")
    if not path.startswith(f"{top}/"):
        raise NoGroupError(f"{parent!r} is not below the cgroup tree", hint="name a cgroup in it")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise NoGroupError(
            f"the cgroup {path} cannot be made: {error.strerror}", hint=_HINT
        ) from None
    return path


def _upwards(path: str) -> Iterator[str]:
    tops = {target for _, target in _mounts()}
    while True:
        yield path
        if path in tops or path == "/":
            return
        path = os.path.dirname(path)


def _is_ours(path: str) -> bool:
    """Whether processes may be moved within it."""
    return os.access(path, os.W_OK) and os.access(f"{path}/cgroup.procs", os.W_OK)


def _members(path: str) -> list[int]:
    return [int(pid) for pid in _read(f"{path}/cgroup.procs").split()]


def _move_here(base: str) -> None:
    """Leave the base itself: only a cgroup without processes may be divided."""
    monitor = f"{base}/{_MONITOR}"
    if os.path.basename(here := own()) != _MONITOR:
        _came_from.append(here)
    try:
        os.makedirs(monitor, exist_ok=True)
        _write(f"{monitor}/cgroup.procs", "0")
    except OSError as error:
        raise NoGroupError(f"{monitor} cannot be entered: {error.strerror}", hint=_HINT) from None


def _go_back() -> None:
    """To where this process was before it started containers, so that nobody is in theirs."""
    try:
        _write(f"{_came_from[-1]}/cgroup.procs", "0")
    except (OSError, IndexError):  # it has been divided meanwhile, or removed
        pass


def _hand_down(path: str, needed: tuple[str, ...]) -> tuple[str, ...]:
    """Let the groups in `path` have all controllers there are; which of `needed` they lack then."""
    control = f"{path}/cgroup.subtree_control"
    for name in _read(f"{path}/cgroup.controllers").split():
        try:
            _write(control, f"+{name}")
        except OSError as error:
            if error.errno not in _NOT_NOW:
                raise
    given = _read(control).split()
    return tuple(name for name in needed if name not in given)


def _refused(name: str, path: str) -> str:
    if name.startswith("cpuset"):
        there = _read(f"{path}/{name}.effective").strip()
        return f"there are {there}" if there else "see lscpu"
    return "give another value"


def delegation(missing: tuple[str, ...]) -> str:
    """What an administrator does, once for all users."""
    names = " ".join(dict.fromkeys(("cpu", "cpuset", "io", "memory", "pids", *missing)))
    return (
        "as root: mkdir -p /etc/systemd/system/user@.service.d; "
        f"printf '[Service]\\nDelegate={names}\\n' "
        "> /etc/systemd/system/user@.service.d/delegate.conf; systemctl daemon-reload; "
        "then log in again"
    )


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        pieces = []
        while piece := os.read(fd, _LONGEST):
            pieces.append(piece)
        return b"".join(pieces).decode(errors="surrogateescape")
    except OSError:
        return ""
    finally:
        os.close(fd)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
