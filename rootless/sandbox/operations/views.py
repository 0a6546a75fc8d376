"""The kernel as the container sees it: /proc, /sys, its cgroup, and what of them is hidden.

Runs where `tree` does. The paths to hide come from `runspec`.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.operations.tree import HARDENED
from rootless.sandbox.quoting import below, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_READ_ONLY = (
    linux.MOUNT_ATTR_NOSUID
    | linux.MOUNT_ATTR_NODEV
    | linux.MOUNT_ATTR_NOEXEC
    | linux.MOUNT_ATTR_RDONLY
)


class Proc(Record):
    """A /proc that shows the container's processes only."""

    call = "mount(2) proc"

    def describe(self) -> str:
        return "mount a fresh /proc: it shows this pid namespace, so the command sees itself as 1"

    def shell(self) -> tuple[str, ...]:
        return (
            "within proc; mkdir -p proc",
            "mount -t proc -o nosuid,nodev,noexec proc proc",
        )

    def apply(self, newroot: Newroot) -> None:
        linux.mount("proc", newroot.directory("proc"), "proc", HARDENED)


class Sysfs(Record):
    """/sys, read-only: a fresh one when the container has its own network, else the host's."""

    own_network: bool

    call = "mount(2) sysfs or bind"

    def describe(self) -> str:
        source = "a fresh /sys of its own network" if self.own_network else "the host's /sys"
        return f"show {source}, read-only"

    def shell(self) -> tuple[str, ...]:
        make = "within sys; mkdir -p sys"
        if self.own_network:
            return (make, "mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys")
        return (make, "mount --rbind /sys sys", "protect sys ro,nosuid,nodev,noexec")

    def apply(self, newroot: Newroot) -> None:
        if self.own_network:
            flags = HARDENED | linux.MS_RDONLY
            linux.mount("sysfs", newroot.directory("sys"), "sysfs", flags)
            return
        tree = linux.open_tree("/sys")
        linux.mount_setattr(tree, _READ_ONLY, recursive=True)
        linux.move_mount(tree, newroot.directory_fd("sys"))


class Cgroup(Record):
    """The container's own part of the cgroup v2 tree, read-only, where the host has v2."""

    call = "mount(2) cgroup2"

    def describe(self) -> str:
        return "show the own cgroup at /sys/fs/cgroup, read-only"

    def shell(self) -> tuple[str, ...]:
        mount = "mount -t cgroup2 -o ro,nosuid,nodev,noexec cgroup2 sys/fs/cgroup"
        return (f"[ ! -d sys/fs/cgroup ] || {mount}",)

    def apply(self, newroot: Newroot) -> None:
        target = newroot.existing("sys/fs/cgroup")
        if target:
            linux.mount("cgroup2", target, "cgroup2", HARDENED | linux.MS_RDONLY)


class Mask(Record):
    """Hide files and directories of the kernel that tell about the host or let one change it."""

    paths: tuple[str, ...]

    call = "mount(2) bind of /dev/null, or an empty tmpfs"

    def describe(self) -> str:
        return "hide what would tell about the host or its kernel: " + " ".join(self.paths)

    def shell(self) -> tuple[str, ...]:
        return (
            'hide() { if [ -d "$1" ]; then',
            'mount -t tmpfs -o ro,nosuid,nodev,noexec,size=0k tmpfs "$1"',
            'elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi; }',
            *(f"hide {quote(below(path))}" for path in self.paths),
        )

    def apply(self, newroot: Newroot) -> None:
        for path in self.paths:
            target = newroot.existing(path)
            if target and os.path.isdir(target):
                linux.mount("tmpfs", target, "tmpfs", HARDENED | linux.MS_RDONLY, "size=0k")
            elif target:
                linux.mount("/dev/null", target, None, linux.MS_BIND)
