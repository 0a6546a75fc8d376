"""--squash: one layer of several, in overlayfs form like them.

Files are not copied but linked from the layers that have them: layers never change. The topmost
layer is taken first; what it has, hides or replaces is not taken from those below. Runs as (mapped)
root with one thread. A crash leaves an owned directory in tmp/.
"""

from __future__ import annotations

import os
import stat

from rootless import inroot, linux, roots
from rootless.archive import whiteout
from rootless.build.stack import Entry, Stack
from rootless.store import layers
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.oci.config import History
    from rootless.store import Store

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def squash(store: Store, stack: Stack, which: str) -> Stack:
    """The stack with one layer for all that is "new" on its base, or for "all" of it.

    It is the same stack when there are no two layers to be made one.
    """
    kept = [] if which == "all" else [entry for entry in stack.entries if entry.blob]
    merged = [entry for entry in stack.entries if entry not in kept]
    if len(merged) < 2:
        return stack
    base = Stack(tuple(kept))
    with Staging(store, ("diff",)) as staged:
        diff = f"{staged.path}/diff"
        merging = _Merging(diff)
        with store.writing():
            for path in Stack(tuple(merged)).paths:
                merging.add(os.fsencode(path))
            with roots.view(store, base.paths) as view:
                merging.finish(lambda path: _has(view.fd, path))
            linux.syncfs(diff)
        layer = layers.publish(store, staged, layers.measure(diff))
    return Stack((*kept, Entry(layer.path, layer, created=merged[-1].created)))


def history(lines: Sequence[History], kept: int) -> tuple[History, ...]:
    """The history of a squashed image: of the lines that made layers, after the first `kept`, only
    the last has one now.
    """
    makers = [at for at, line in enumerate(lines) if not line.empty_layer]
    emptied = set(makers[kept:-1])
    return tuple(
        line.replace(empty_layer=True) if at in emptied else line for at, line in enumerate(lines)
    )


def _has(root_fd: int, path: bytes) -> bool:
    """Whether the base has something by that name."""
    parents = inroot.Parents(root_fd)
    try:
        parent, name = parents.of(path)
        os.lstat(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in inroot.GONE:
            raise
        return False
    finally:
        parents.close()
    return True


class _Merging:
    """Layers on their way into one directory; paths are relative to each of them."""

    def __init__(self, target: str) -> None:
        self._target = os.fsencode(target)
        self._closed: set[bytes] = set()
        """Directories that show nothing of the layers below those that were added."""
        self._made: list[tuple[bytes, os.stat_result]] = []
        self._hidden: list[bytes] = []
        self._has_root = False

    def add(self, layer: bytes) -> None:
        """The next layer below."""
        if not self._has_root:
            self._has_root = True
            self._dress(layer, b".", os.lstat(layer))
        closed: set[bytes] = set()
        pending = [b"."]
        while pending:
            folder = pending.pop()
            with os.scandir(os.path.join(layer, folder)) as found:
                names = sorted(entry.name for entry in found)
            for name in names:
                path = name if folder == b"." else folder + b"/" + name
                if self._take(layer, path, closed):
                    pending.append(path)
        self._closed |= closed

    def _take(self, layer: bytes, path: bytes, closed: set[bytes]) -> bool:
        """One entry, unless it is hidden; whether it is a directory whose contents follow."""
        source, target = os.path.join(layer, path), os.path.join(self._target, path)
        status = os.lstat(source)
        is_there = os.path.lexists(target)
        is_folder = is_there and stat.S_ISDIR(os.lstat(target).st_mode)
        if not stat.S_ISDIR(status.st_mode):
            if is_folder:
                closed.add(path)
            elif not is_there:
                os.link(source, target, follow_symlinks=False)
                if whiteout.is_one(source, status):
                    self._hidden.append(path)
            return False
        if (is_there and not is_folder) or path in self._closed:
            return False
        if not is_there:
            os.mkdir(target, 0o700)
            self._dress(layer, path, status)
        if layers.is_opaque(os.fsdecode(source)):
            closed.add(path)
        return True

    def _dress(self, layer: bytes, path: bytes, status: os.stat_result) -> None:
        source, target = os.path.join(layer, path), os.path.join(self._target, path)
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))
        for name in os.listxattr(source):
            if name.startswith("user.") and not name.startswith("user.overlay."):
                os.setxattr(target, name, os.getxattr(source, name))
        self._made.append((path, status))

    def finish(self, has: Callable[[bytes], bool]) -> None:
        """Hide of the base what is to be hidden, and nothing that it does not have; then times."""
        for path in self._hidden:
            if not has(path):
                os.unlink(os.path.join(self._target, path))
        for path in self._closed:
            if has(path):
                whiteout.make_opaque(os.path.join(self._target, path))
        for path, status in self._made:
            os.utime(os.path.join(self._target, path), ns=(status.st_mtime_ns,) * 2)
