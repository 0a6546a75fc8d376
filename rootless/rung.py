"""How far this process may be apart from the rest of the machine: the rung it stands on.

    range   a user namespace with a range of ids: the normal case
    one     a user namespace with the user's own id only
    root    nothing can be mounted: root in a container of somebody else's, without namespaces, or
            in a user namespace with a range of ids that is good for no more than that
    none    neither: an ordinary user, or a root without powers

`userns` decides by trying, once, when a process enters its namespace; what the process forks stands
where it does. Few ask here, and a test holds that: who presents trees (`roots`), says what a
sandbox is made of (`runspec`), whose a file is (`owners`), what a mode does (`permissions`) and
where an archive's paths are (`archive.places`), and `doctor`, which shows it. All others ask them
for what they want. Nothing is left behind.
"""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.record import Record

RANGE, ONE, ROOT, NONE = "range", "one", "root", "none"
NAMES = (RANGE, ONE, ROOT, NONE)

FOR_MOUNTS, FOR_COPIES = (5, 12), (5, 9)
"""The kernels that have mount_setattr(2), and close_range(2) at least."""


def kernel() -> tuple[int, int]:
    """The first two numbers of the kernel's version."""
    major, minor = os.uname().release.split("-")[0].split(".")[:2]
    return int(major), int(minor)


class Rung(Record):
    """`why` says in words what led here, for people."""

    name: str
    why: str
    cure: str | None = None

    @property
    def may_mount(self) -> bool:
        """Whether there are mounts of one's own, and other namespaces beside them."""
        return self.name in (RANGE, ONE)

    @property
    def is_root(self) -> bool:
        """Whether one is root, if only of a namespace: files of any mode are open to one, and any
        directory can be made the root of a process.
        """
        return self.name != NONE

    @property
    def is_recorded(self) -> bool:
        """Whether files belong to one id, and whose they are to be is recorded on them."""
        return self.name in (ONE, NONE)

    @property
    def is_answered(self) -> bool:
        """Whether what needs other ids is asked of a process of ours, which records it."""
        return self.name == ONE


class _Standing:
    """Where this process stands, and where it was told to."""

    rung = Rung(RANGE, "nothing has been tried yet")
    forced: Rung | None = None


def current() -> Rung:
    """The rung of this process, once it has entered its namespace, or cannot have one."""
    return _Standing.rung


def decide(name: str, why: str, cure: str | None = None) -> None:
    """This is what trying has shown; `cure` says how to stand higher."""
    _Standing.rung = Rung(name, why, cure)


def force(name: str, why: str = "", cure: str = "unset ROOTLESS_RUNG") -> None:
    """Stand there, whatever the machine would allow: before anything is tried. UsageError.

    Without `why` it is the user who asks.
    """
    if name not in NAMES:
        raise UsageError(f"no rung is called {name!r}", hint=f"there are: {', '.join(NAMES)}")
    _Standing.forced = Rung(name, why or f"ROOTLESS_RUNG={name} asks for it", cure)


def forced() -> Rung | None:
    """What `force` was told."""
    return _Standing.forced
