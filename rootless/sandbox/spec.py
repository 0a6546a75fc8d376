"""`Spec`: everything there is to know about a sandbox before it exists.

Pure. Each operation applies itself in the child, says in words what it does and why, names the
kernel call, and prints the shell lines that would do the same by hand. `--explain` and
`--dry-run` print the list that `init` walks: there is no second description.
"""

from __future__ import annotations

from rootless import linux
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from rootless.sandbox.newroot import Newroot
    from rootless.userns import IdMap

    class Operation(Protocol):
        """One thing done to the new container, in the child, in order."""

        @property
        def call(self) -> str:
            """The kernel's calls behind it, with their man page's section."""

        def describe(self) -> str:
            """What happens and why, as one line for a person."""

        def shell(self) -> tuple[str, ...]:
            """The lines that do the same in a root shell of the namespace; # where none can."""

        def apply(self, newroot: Newroot) -> None:
            """Do it; OSError or RootlessError when it fails."""

        # One that has changed what outlives the sandbox has `restore`, too, for the supervisor.


NOTIFY = "seccomp(2) SECCOMP_FILTER_FLAG_NEW_LISTENER"
CLONE_FLAGS = {
    "mount": linux.CLONE_NEWNS,
    "pid": linux.CLONE_NEWPID,
    "uts": linux.CLONE_NEWUTS,
    "ipc": linux.CLONE_NEWIPC,
    "cgroup": linux.CLONE_NEWCGROUP,
    "net": linux.CLONE_NEWNET,
}


class Spec(Record):
    """A sandbox: its new `namespaces` (names as unshare(1) spells them) and its operations.

    The process that spawns it is already uid 0 of the user namespace that `ids` describes. With
    `own_ids` the sandbox has another one inside it: ids of its own for those of the outer one.
    It `shares` namespaces of other sandboxes, each named by a process in it: pid or ipc.
    Its network namespace is that of `netns_fd`, if it is there before the sandbox.
    One that is `joined` has the namespaces of a container that runs, which its first operation
    enters: who spawns it is still outside.
    """

    ids: IdMap
    namespaces: tuple[str, ...]
    operations: tuple[Operation, ...]
    init: bool = False
    own_ids: IdMap | None = None
    joined: bool = False
    shares: tuple[tuple[str, int], ...] = ()
    netns_fd: int = -1

    @property
    def outer_flags(self) -> int:
        """The flags for clone(2) of the supervisor: what the parent must reach, and see end."""
        user = linux.CLONE_NEWUSER if self.own_ids else 0
        network = linux.CLONE_NEWNET if self.netns_fd < 0 else 0
        return user | (self._flags & (linux.CLONE_NEWPID | network))

    @property
    def inner_flags(self) -> int:
        """The flags for clone(2) of the container's process 1."""
        return self._flags & ~linux.CLONE_NEWNET

    @property
    def is_apart(self) -> bool:
        """Whether the kernel ends all of it with its first process, or nobody does."""
        return bool(self.namespaces)

    @property
    def is_answered(self) -> bool:
        """Whether some of its system calls are answered by a process of ours: see `oneid`."""
        return any(one.call == NOTIFY for one in self.operations)

    @property
    def opened(self) -> tuple[int, ...]:
        """Descriptors of what is mounted before it begins: see `beforehand`."""
        return tuple(fd for one in self.operations for fd, _ in getattr(one, "mounts", ()))

    @property
    def _flags(self) -> int:
        flags = 0
        for name in self.namespaces:
            flags |= CLONE_FLAGS[name]
        return flags
