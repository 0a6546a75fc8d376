"""What is mounted in a container besides its root: from the spec's values to operations."""

from __future__ import annotations

import os

from rootless import linux
from rootless.sandbox.operations.tree import Bind, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import Mount
    from rootless.sandbox.spec import Operation

_SWITCHED_OFF = {"exec": linux.MS_NOEXEC, "suid": linux.MS_NOSUID, "dev": linux.MS_NODEV}
_SET_ALREADY = ("rw", "noexec", "nosuid", "nodev")


def operations(mounts: tuple[Mount, ...]) -> tuple[Operation, ...]:
    """Outer ones before those inside them."""
    ordered = sorted(mounts, key=lambda one: one.target.rstrip("/").count("/"))
    return tuple(_tmpfs(one) if one.kind == "tmpfs" else _bind(one) for one in ordered)


def missing(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Paths of the host that are to be shown and are not there."""
    sources = (one.source for one in mounts if one.kind == "bind")
    return tuple(path for path in sources if not os.path.exists(path))


def _bind(mount: Mount) -> Bind:
    return Bind(mount.source, mount.target, read_only=mount.read_only)


def _tmpfs(mount: Mount) -> Tmpfs:
    """Options go to the kernel but for the flags it takes separately."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    rest = []
    for word in mount.options:
        if word in _SWITCHED_OFF:
            flags &= ~_SWITCHED_OFF[word]
        elif word == "ro":
            flags |= linux.MS_RDONLY
        elif word not in _SET_ALREADY:
            rest.append(word)
    return Tmpfs(mount.target, ",".join(rest), flags)
