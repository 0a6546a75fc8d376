"""A container's files as they are now, to read and to write: a descriptor of its root.

A running one's is the root of one of its processes, in its mount namespace, with all that is
mounted there. A stopped one's is mounted here, with its volumes, in the caller's private mount
namespace, and gone with it; while it is written to, its directory is held, so that nobody starts
it. `running` is for a process of the user's, `Stopped` for (mapped) root.
"""

from __future__ import annotations

import os

from rootless import linux, living, roots
from rootless.container import homes, mounts, start, writable
from rootless.errors import RootlessError
from rootless.sandbox.newroot import Newroot
from rootless.sandbox.operations.stacked import Stacked
from rootless.sandbox.operations.tree import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from rootless.container.homes import Home
    from rootless.container.spec import Container
    from rootless.roots import Mounted, Root
    from rootless.store import Store


def running(supervisor: int, home: str) -> int:
    """A descriptor of the root of what runs below the supervisor, for who has entered no namespace.

    Where that is but a directory in the container's `home`, it is that.

    To the user all processes in their namespaces are open, but the supervisor itself and an init of
    ours, which let nobody look into them. One that is still being started has our own root: what is
    in our mounts is not the container's. RootlessError when there is no other.
    """
    if tree := roots.unfolded(home):
        return os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for pid in _descendants(supervisor):
        try:
            found = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:  # such an init, or one that has ended meanwhile
            continue
        if not os.path.samestat(os.fstat(found), os.stat("/")):
            return found
        os.close(found)
    raise RootlessError(
        "the container has no process whose files could be reached", hint="try it again"
    )


class Stopped:
    """The tree of a container that does not run; `fd` is its root. Until the end of `with`."""

    def __init__(self, store: Store, container: Container, *, to_write: bool) -> None:
        """RootlessError when somebody starts it, or writes to it, this moment."""
        self._home: Home | None = None
        self._root: Root | None = None
        self._tree: Mounted
        if to_write:
            self._home = homes.hold(store, container)
            if self._home is None:
                raise RootlessError(
                    f"container {container.name} is in use this moment",
                    hint="try it again",
                )
            self._root = writable.root(store, container)
            self._tree = self._root.mount()
        else:
            diff = store.path("containers", container.id, "diff")
            self._tree = writable.whole(store, container, diff)
        self.fd = self._tree.fd
        self._attach(store, container)

    def _attach(self, store: Store, container: Container) -> None:
        """What is mounted in it, but for what is in memory."""
        newroot = Newroot()
        newroot.fd = self.fd
        folder = store.path("containers", container.id)
        spec = container.spec
        for one in mounts.operations(store, spec, folder, lambda it: start.stack(store, spec, it)):
            if isinstance(one, Bind):
                one.replace(owner=None).apply(newroot)
            elif isinstance(one, Stacked):
                one.apply(newroot)
        if container.spec.read_only:
            linux.mount_setattr(self.fd, linux.MOUNT_ATTR_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.drop()
        if self._root:
            self._root.commit()
        if self._home:
            self._home.let_go()


def _descendants(pid: int) -> Iterator[int]:
    """All processes below one, parents first."""
    pending = [pid]
    while pending:
        children = living.children(pending.pop(0))
        yield from children
        pending += children
