"""The kernel as the container sees it: /proc, /sys, its cgroup, and what of them is hidden.

Runs where `tree` does. The paths to hide come from `runspec`.
"""

from __future__ import annotations

import errno
import os

from rootless import inroot, linux
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
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
    """A /proc that shows the container's processes only; the host's where it has its processes.

    `strict`: none but its own will do, for a process outside looks processes up in it.
    """

    own: bool = True
    strict: bool = False

    call = "mount(2) proc"

    def describe(self) -> str:
        if not self.own:
            return "show the host's /proc: this container sees, and can signal, your processes"
        return "mount a fresh /proc: it shows this pid namespace, so the command sees itself as 1"

    def shell(self) -> tuple[str, ...]:
        make = "within proc; mkdir -p proc"
        if not self.own:
            return (make, "mount --rbind /proc proc")
        return (make, "mount -t proc -o nosuid,nodev,noexec proc proc")

    def apply(self, newroot: Newroot) -> None:
        if not self.own or not self._mount(newroot):
            linux.move_mount(linux.open_tree("/proc"), newroot.directory_fd("proc"))

    def _mount(self, newroot: Newroot) -> bool:
        """Whether that is allowed: not where a part of the old /proc is hidden, as in a container
        of somebody else's. That one is shown then: it names its processes, and keeps of them what
        only root of their own namespace may read.
        """
        try:
            linux.mount("proc", newroot.directory("proc"), "proc", HARDENED)
        except linux.SyscallError as error:
            if error.errno != errno.EPERM:
                raise
            if self.strict:
                from rootless import complaints

                raise complaints.explain_proc(error, needed=True) from None
            return False
        return True


class Sysfs(Record):
    """/sys: a fresh one when the container has its own network, else the host's."""

    own_network: bool
    writable: bool = False

    call = "mount(2) sysfs or bind"

    def describe(self) -> str:
        source = "a fresh /sys of its own network" if self.own_network else "the host's /sys"
        return f"show {source}, {'writable' if self.writable else 'read-only'}"

    def shell(self) -> tuple[str, ...]:
        make, access = "within sys; mkdir -p sys", "rw" if self.writable else "ro"
        if self.own_network:
            return (make, f"mount -t sysfs -o {access},nosuid,nodev,noexec sysfs sys")
        hardened = () if self.writable else ("protect sys ro,nosuid,nodev,noexec",)
        return (make, "mount --rbind /sys sys", *hardened)

    def apply(self, newroot: Newroot) -> None:
        if self.own_network:
            flags = HARDENED | (0 if self.writable else linux.MS_RDONLY)
            linux.mount("sysfs", newroot.directory("sys"), "sysfs", flags)
            return
        tree = linux.open_tree("/sys")
        if not self.writable:
            linux.mount_setattr(tree, _READ_ONLY, recursive=True)
        linux.move_mount(tree, newroot.directory_fd("sys"))


class Cgroup(Record):
    """The container's part of the cgroup v2 tree; the host's whole one where it has no own view."""

    own: bool = True
    writable: bool = False

    call = "mount(2) cgroup2 or bind"

    def describe(self) -> str:
        which = "the own cgroup" if self.own else "the host's cgroups"
        return f"show {which} at /sys/fs/cgroup, {'writable' if self.writable else 'read-only'}"

    def shell(self) -> tuple[str, ...]:
        access = "rw" if self.writable else "ro"
        there = "[ ! -d sys/fs/cgroup ] ||"
        if self.own:
            mount = f"mount -t cgroup2 -o {access},nosuid,nodev,noexec cgroup2 sys/fs/cgroup"
            return (f"{there} {mount}",)
        lines = (f"{there} mount --rbind /sys/fs/cgroup sys/fs/cgroup",)
        return lines if self.writable else (*lines, f"{there} protect sys/fs/cgroup ro")

    def apply(self, newroot: Newroot) -> None:
        if not self.own:
            self._bind(newroot)
        elif target := newroot.existing("sys/fs/cgroup"):
            flags = HARDENED | (0 if self.writable else linux.MS_RDONLY)
            linux.mount("cgroup2", target, "cgroup2", flags)

    def _bind(self, newroot: Newroot) -> None:
        target = newroot.existing_fd("sys/fs/cgroup")
        if target < 0:
            return
        tree = linux.open_tree("/sys/fs/cgroup")
        if not self.writable:
            linux.mount_setattr(tree, _READ_ONLY, recursive=True)
        linux.move_mount(tree, target)


class Sysctls(Record):
    """Settings of the kernel in the container's own namespaces: (name, value) pairs."""

    settings: tuple[tuple[str, str], ...]

    call = "write(2) below /proc/sys"

    def describe(self) -> str:
        shown = ", ".join(f"{name} = {value}" for name, value in self.settings)
        return f"set in its own namespaces: {shown}"

    def shell(self) -> tuple[str, ...]:
        return tuple(
            f"echo {quote(value)} > {quote(_sysctl_path(name))}" for name, value in self.settings
        )

    def apply(self, newroot: Newroot) -> None:
        for name, value in self.settings:
            try:
                fd = inroot.open_path(newroot.fd, _sysctl_path(name), os.O_WRONLY)
                os.write(fd, value.encode())
                os.close(fd)
            except OSError as error:
                raise SandboxError(
                    f"--sysctl {name}={value} cannot be set: {error.strerror}",
                    hint="this kernel has no such setting"
                    if error.errno == errno.ENOENT
                    else "the kernel takes another value, or keeps this one for the machine's root",
                ) from None


def _sysctl_path(name: str) -> str:
    return "proc/sys/" + name.replace(".", "/")


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
