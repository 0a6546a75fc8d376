"""The container's /dev: what of the host's devices it is shown, and terminals and shm of its own.

Runs where `tree` does. No device is ever made: an ordinary user cannot, so they are bound.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.operations.tree import HARDENED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_DEVPTS = "newinstance,ptmxmode=0666,mode=0620"


class Devices(Record):
    """A minimal /dev: six harmless devices from the host, an own set of terminals, shm."""

    shm_size: int = 64 << 20

    call = "mount(2) tmpfs, bind, devpts, mqueue"

    def describe(self) -> str:
        return (
            "make a small /dev: an ordinary user cannot create devices, so null, zero, full, "
            "random, urandom and tty are bound from the host; terminals and shm are its own"
        )

    def shell(self) -> tuple[str, ...]:
        links = (f"ln -s {target} dev/{name}" for name, target in _DEVICE_LINKS)
        return (
            "within dev; mkdir -p dev",
            "mount -t tmpfs -o nosuid,mode=755,size=65536k tmpfs dev",
            f"for d in {' '.join(_DEVICES)}; do touch dev/$d; mount --bind /dev/$d dev/$d; done",
            *links,
            "mkdir dev/pts dev/shm dev/mqueue",
            f"mount -t devpts -o nosuid,noexec,{_DEVPTS} devpts dev/pts",
            f"mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size={self.shm_size} shm dev/shm",
            "mount -t mqueue -o nosuid,nodev,noexec mqueue dev/mqueue",
        )

    def apply(self, newroot: Newroot) -> None:
        options = "mode=755,size=65536k"
        linux.mount("tmpfs", newroot.directory("dev"), "tmpfs", linux.MS_NOSUID, options)
        dev = newroot.directory_fd("dev")
        for name in _DEVICES:
            linux.mount(f"/dev/{name}", newroot.file(f"dev/{name}"), None, linux.MS_BIND)
        for name, target in _DEVICE_LINKS:
            os.symlink(target, name, dir_fd=dev)
        no_exec = linux.MS_NOSUID | linux.MS_NOEXEC
        shm = f"mode=1777,size={self.shm_size}"
        linux.mount("devpts", newroot.directory("dev/pts"), "devpts", no_exec, _DEVPTS)
        linux.mount("shm", newroot.directory("dev/shm"), "tmpfs", HARDENED, shm)
        linux.mount("mqueue", newroot.directory("dev/mqueue"), "mqueue", HARDENED)
