"""The cgroup of a container that has limits, for as long as it is run.

Runs in the process that is to be its monitor, or the parent of that, before either has children:
they are born where they belong. Where no cgroup can be had a container starts all the same, with a
warning, unless it insists on one. What a crash leaves is swept with the container.
"""

from __future__ import annotations

from rootless.container import limits
from rootless.errors import RootlessError
from rootless.sandbox import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.container.spec import ContainerSpec

_INSISTS = ("enabled", "no-conmon", "split")


def enter(spec: ContainerSpec, warn: Callable[[str], object]) -> str:
    """Make the container's group, limited, and move beside it; its directory, "" where none is
    wanted or can be had. RootlessError where one is insisted on, or a limit is refused.
    """
    asked = spec.limits
    if not asked.wants_group:
        return ""
    try:
        group, missing = cgroup.make(
            spec.id,
            limits.controllers(asked),
            asked.cgroup_parent,
            split=asked.mode == "split",
        )
    except cgroup.NoGroupError as error:
        if asked.mode in _INSISTS:
            raise
        warn(f"WARNING: no limits are in force: {error.message}; {error.hint}")
        return ""
    files = limits.files(asked)
    if missing:
        lost = ", ".join(name for name in files if name.partition(".")[0] in missing)
        why = f"{lost}: not delegated to this user"
        if asked.mode in _INSISTS:
            raise RootlessError(why, hint=cgroup.delegation(missing))
        warn(f"WARNING: limits not in force: {why}; {cgroup.delegation(missing)}")
    try:
        group.set({name: v for name, v in files.items() if name.partition(".")[0] not in missing})
    except BaseException:
        cgroup.remove(group.path)
        raise
    return group.path


def oom_kills(path: str) -> int:
    """How many processes the kernel has killed in that group for want of memory."""
    return cgroup.Group(path).oom_kills if path else 0


def leave(path: str) -> None:
    """The container has ended for good."""
    if path:
        cgroup.remove(path)
