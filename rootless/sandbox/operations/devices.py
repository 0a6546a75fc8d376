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
_OF_THE_HOST = ("shm", "mqueue")
_DEVPTS = "newinstance,ptmxmode=0666,mode=0620"


class Devices(Record):
    """A minimal /dev: six harmless devices from the host, an own set of terminals, shm and queues.

    `shm_size` in bytes, 0 for no /dev/shm. Without an `own_ipc` namespace, shm and queues are the
    host's.
    """

    shm_size: int = 64 << 20
    own_ipc: bool = True

    call = "mount(2) tmpfs, bind, devpts, mqueue"

    def describe(self) -> str:
        shared = "and shm are its own" if self.own_ipc else "are its own, shm is the host's"
        return (
            "make a small /dev: an ordinary user cannot create devices, so null, zero, full, "
            f"random, urandom and tty are bound from the host; terminals {shared}"
        )

    def shell(self) -> tuple[str, ...]:
        links = (f"ln -s {target} dev/{name}" for name, target in _DEVICE_LINKS)
        folders = " ".join(f"dev/{name}" for name in ("pts", *self._shared))
        return (
            "within dev; mkdir -p dev",
            "mount -t tmpfs -o nosuid,mode=755,size=65536k tmpfs dev",
            f"for d in {' '.join(_DEVICES)}; do touch dev/$d; mount --bind /dev/$d dev/$d; done",
            *links,
            f"mkdir {folders}",
            f"mount -t devpts -o nosuid,noexec,{_DEVPTS} devpts dev/pts",
            *self._shared.values(),
        )

    @property
    def _shared(self) -> dict[str, str]:
        """Folders of /dev for what processes share, and the shell lines that fill them."""
        if not self.own_ipc:
            return {
                name: f"[ ! -d /dev/{name} ] || mount --rbind /dev/{name} dev/{name}"
                for name in _OF_THE_HOST
            }
        options = f"nosuid,nodev,noexec,mode=1777,size={self.shm_size}"
        return {
            **({"shm": f"mount -t tmpfs -o {options} shm dev/shm"} if self.shm_size else {}),
            "mqueue": "mount -t mqueue -o nosuid,nodev,noexec mqueue dev/mqueue",
        }

    def apply(self, newroot: Newroot) -> None:
        options = "mode=755,size=65536k"
        linux.mount("tmpfs", newroot.directory("dev"), "tmpfs", linux.MS_NOSUID, options)
        dev = newroot.directory_fd("dev")
        for name in _DEVICES:
            linux.mount(f"/dev/{name}", newroot.file(f"dev/{name}"), None, linux.MS_BIND)
        for name, target in _DEVICE_LINKS:
            os.symlink(target, name, dir_fd=dev)
        no_exec = linux.MS_NOSUID | linux.MS_NOEXEC
        linux.mount("devpts", newroot.directory("dev/pts"), "devpts", no_exec, _DEVPTS)
        self._share(newroot)

    def _share(self, newroot: Newroot) -> None:
        if not self.own_ipc:
            for name in filter(_is_there, _OF_THE_HOST):
                target = newroot.directory_fd(f"dev/{name}")
                linux.move_mount(linux.open_tree(f"/dev/{name}"), target)
            return
        if newroot.shm_fd >= 0:
            linux.move_mount(newroot.shm_fd, newroot.directory_fd("dev/shm"))
        elif self.shm_size:
            shm = f"mode=1777,size={self.shm_size}"
            linux.mount("shm", newroot.directory("dev/shm"), "tmpfs", HARDENED, shm)
        linux.mount("mqueue", newroot.directory("dev/mqueue"), "mqueue", HARDENED)


def _is_there(name: str) -> bool:
    return os.path.isdir(f"/dev/{name}")  # queues need not be mounted
