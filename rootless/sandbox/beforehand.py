"""What a sandbox with ids of its own cannot mount by itself, mounted before it begins.

Its root need not be anybody whom the user's folders let in. So the parent, root of the user
namespace around it, opens what comes from the host (the layers, volumes, small files) as detached
mounts, and the child attaches them: it needs no path outside. Runs in the parent, in its private
mount namespace, where nothing stays mounted; `apply` in the child.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.operations.scratch import Scratch
from rootless.sandbox.operations.stacked import Stacked
from rootless.sandbox.operations.tree import Bind, Files, Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.sandbox.newroot import Newroot
    from rootless.sandbox.spec import Operation, Spec
    from rootless.userns import IdMap

_PLACE = "/tmp"


class Opened(Record):
    """An operation whose mounts are there: (descriptor, path inside) pairs, "/" for the root."""

    done: Operation
    mounts: tuple[tuple[int, str], ...]

    @property
    def call(self) -> str:
        return self.done.call

    def describe(self) -> str:
        return self.done.describe()

    def shell(self) -> tuple[str, ...]:
        return self.done.shell()

    def apply(self, newroot: Newroot) -> None:
        for fd, path in self.mounts:
            if isinstance(self.done, Bind | Scratch | Stacked):
                self.done.attach(fd, newroot)
            elif path == "/":
                linux.move_mount(fd, os.open(_PLACE, os.O_PATH | os.O_DIRECTORY))
                newroot.open(_PLACE)
            else:
                linux.move_mount(fd, newroot.file_fd(path))


def opened(spec: Spec) -> Spec:
    """The same sandbox with everything from outside at hand, if it has ids of its own."""
    if spec.own_ids is None:
        return spec
    done = tuple(_open(one, spec.own_ids) for one in spec.operations)
    return spec.replace(operations=done)


def _open(one: Operation, ids: IdMap) -> Operation:
    if isinstance(one, Overlay):
        one.mount()
        fd = linux.open_tree(one.target)
        linux.umount2(one.target, linux.MNT_DETACH)
        return Opened(one, ((fd, "/"),))
    if isinstance(one, Bind | Scratch | Stacked):
        return Opened(one, ((one.open(), one.path),))
    if isinstance(one, Files):
        return Opened(one, tuple(_written(one, ids)))
    return one


def _written(one: Files, ids: IdMap) -> Iterator[tuple[int, str]]:
    """The small files belong to root inside."""
    uid, gid = (_root(ranges) for ranges in (ids.uids, ids.gids))
    one.write()
    for path, _ in one.contents:
        source = one.source(path)
        os.chown(source, uid, gid)
        yield linux.open_tree(source), path
    linux.umount2(one.folder, linux.MNT_DETACH)


def _root(ranges: tuple[tuple[int, int, int], ...]) -> int:
    """Who stands for 0 inside; nobody does where that is not mapped."""
    return next((outside for inside, outside, _ in ranges if inside == 0), 0)
