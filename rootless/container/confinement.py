"""How far a container is kept apart from the machine: what docker's flags say, and what it becomes.

`Confinement` is part of container.json. `confine` makes it of a sandbox's process and isolation at
every start anew: devices and limits are this machine's. Runs in the process that starts.
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.runspec import Isolation, Process
    from rootless.sandbox.limits import Limit
    from rootless.sandbox.spec import Operation
    from rootless.userns import IdMap

HOST, ALL, CONTAINER = "host", "ALL", "container:"
ZONES = "/usr/share/zoneinfo"
_MEMORY = {"/run": "mode=755", "/tmp": "mode=1777", "/var/tmp": "mode=1777"}


class Confinement(Record):
    """In the words of docker's flags; texts are as they were given, and checked.

    `pid`, `ipc`, `uts` and `cgroup` are "" (its own) or "host", the first two also container:NAME;
    `ipc` may be none or shareable, too. `mask` and `unmask` are paths of /proc and /sys, patterns
    too; ALL unmasks every one. `limits` are NAME=SOFT:HARD. `memory` says that a read-only root has
    a /tmp and the like in memory. `zone` is a file below
    ZONES, or a path. `userns` is docker's word; the maps are what it means for this container, in
    (inside, outside, count), none for the ids that the user has.
    """

    privileged: bool = False
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    writable_cgroup: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()
    shm_size: int = 64 << 20
    limits: tuple[str, ...] = ()
    oom_score: int | None = None
    groups: tuple[str, ...] = ()
    umask: int = 0o022
    pid: str = ""
    ipc: str = ""
    uts: str = ""
    cgroup: str = ""
    devices: tuple[str, ...] = ()
    zone: str = ""
    own_hosts: bool = True
    memory: bool = False
    userns: str = ""
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()

    @property
    def shared(self) -> frozenset[str]:
        """The namespaces that it has in common with the host."""
        modes = {"pid": self.pid, "ipc": self.ipc, "uts": self.uts, "cgroup": self.cgroup}
        return frozenset(name for name, mode in modes.items() if mode == HOST)

    @property
    def others(self) -> dict[str, str]:
        """The namespaces it has in common with other containers, and container:NAME of each."""
        modes = {"pid": self.pid, "ipc": self.ipc}
        return {name: mode for name, mode in modes.items() if mode.startswith(CONTAINER)}

    @property
    def own_ids(self) -> IdMap | None:
        """The ids inside, each with the outer namespace's that stands for it; None: the same."""
        if not self.uid_map:
            return None
        from rootless.userns import IdMap

        return IdMap(self.uid_map, self.gid_map)

    @property
    def hidden(self) -> tuple[str, ...]:
        """What the kernel tells and it does not see."""
        from rootless.runspec import MASKED

        return (*self._kept(MASKED), *self.mask)

    @property
    def protected(self) -> tuple[str, ...]:
        """What the kernel tells and it only sees."""
        from rootless.runspec import READ_ONLY

        return self._kept(READ_ONLY)

    def _kept(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        if self.privileged or ALL in self.unmask:
            return ()
        if not self.unmask:
            return paths
        from fnmatch import fnmatchcase

        return tuple(
            path for path in paths if not any(fnmatchcase(path, one) for one in self.unmask)
        )


USUAL = Confinement()


def confine(
    process: Process, isolation: Isolation, given: Confinement
) -> tuple[Process, Isolation]:
    """The process and the isolation, as `given` has them. RootlessError: a device is not there."""
    if given == USUAL:
        return process, isolation
    env, mounts = _devices(given)
    process = _confined(process, given, env)
    own, *asked = isolation.mounts
    taken = {os.path.normpath(getattr(one, "path", "/")) for one in asked}
    isolation = isolation.replace(
        mounts=(own, *mounts, *_memory(given, taken), *_zone(given), *asked),
        shared=given.shared,
        masked=given.hidden,
        protected=given.protected,
        writable_kernel=given.privileged,
        writable_cgroup=given.writable_cgroup or given.privileged,
        sysctls=given.sysctls,
        shm_size=0 if given.ipc == "none" else given.shm_size,
    )
    return process, isolation


def confine_process(process: Process, given: Confinement) -> Process:
    """The process of `confine`, for one that enters a container that is there."""
    return process if given == USUAL else _confined(process, given, _devices(given)[0])


def _confined(process: Process, given: Confinement, env: dict[str, str]) -> Process:
    return process.replace(
        env={**process.env, **env},
        limits=(*process.limits, *_limits(given)),
        groups=given.groups,
        umask=given.umask,
        oom_score=given.oom_score,
    )


def _devices(given: Confinement) -> tuple[dict[str, str], list[Operation]]:
    """The variables and mounts that come with its devices."""
    if not (given.devices or given.privileged):
        return {}, []
    from rootless.sandbox import hardware

    mounts: dict[str, Operation] = {}
    if given.privileged:
        mounts.update((one.path, one) for one in hardware.every())
    env: dict[str, str] = {}
    for text in given.devices:
        granted = hardware.of_flag(text)
        mounts.update((one.path, one) for one in granted.binds)
        env.update(granted.env)
    return env, list(mounts.values())


def _limits(given: Confinement) -> Iterator[Limit]:
    if not given.limits:
        return
    from rootless.sandbox.limits import parse

    for text in given.limits:
        yield parse(text).clamped()


def _memory(given: Confinement, taken: set[str]) -> Iterator[Operation]:
    if not given.memory:
        return
    from rootless.sandbox.operations.tree import Tmpfs

    for path, options in _MEMORY.items():
        if path not in taken:
            yield Tmpfs(path, options)


def _zone(given: Confinement) -> Iterator[Operation]:
    if not given.zone:
        return
    from rootless.sandbox.operations.tree import Bind

    path = os.path.realpath(os.path.join(ZONES, given.zone))
    if not os.path.isfile(path):
        raise RootlessError(f"the time zone {given.zone} is not there any more: {path}")
    yield Bind(path, "/etc/localtime", read_only=True, why="the time zone")
