"""A tree of its own: the layers' files copied, where nothing can be mounted.

A process keeps the trees it has made last, each with an index of how it was: the next step of a
stage goes on in the one that the step before has left, and pays for one look at every file. What
has changed is then copied into a directory in overlayfs form. A tree that a step has not come to
its end with is never used again.

Each tree is an owned directory in tmp/: what a crash leaves is swept. A forked process makes its
own, and leaves those of its parent alone.
"""

from __future__ import annotations

import os
import stat

from rootless.archive import whiteout, xattrs
from rootless.roots import copying, merging, scan
from rootless.sandbox import covering
from rootless.sandbox.operations.chrooted import Enter
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rootless.roots.scan import Changes
    from rootless.sandbox.spec import Operation
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot

_KEPT = 2  # a stage's, and that of another which it copies from


class Tree(Staging):
    """The layers called `names`, topmost first, in `path`/tree; `user` is the folder of who works
    in it, and `fresh` what the topmost layer took from it whose times may have been set since.
    """

    def __init__(self, store: Store, layers: tuple[str, ...], names: tuple[str, ...]) -> None:
        super().__init__(store, ("tree",))
        self.owner = os.getpid()
        self.root = store.root
        self.top = f"{self.path}/tree"
        self.names = names
        self.user = ""
        self.fresh: list[bytes] = []
        try:
            merging.merge(layers, self.top)
            self.index = scan.look(self.top)
        except BaseException:
            self.discard()
            raise

    def settle(self, layer: str) -> None:
        """Take the times that have been set in the layer which was made of this tree last."""
        top, source = os.fsencode(self.top), os.fsencode(layer)
        for path in reversed(self.fresh):
            copying.stamp(top + path, os.lstat(source + path).st_mtime_ns)
        if self.fresh:
            copying.stamp(top, os.lstat(source).st_mtime_ns)
            scan.look_again(self.top, self.index, self.fresh)
        self.fresh = []


class _Kept:
    """The trees of this process, the last used at the end."""

    trees: list[Tree] = []


class Root:
    """A tree in which somebody works, in the name of the folder `writable`."""

    def __init__(self, tree: Tree, writable: str) -> None:
        self._tree = tree
        self.writable = writable
        self.target = tree.top
        self.caught = tree.top

    @property
    def operations(self) -> tuple[Operation, ...]:
        return (Enter(self.target),)

    def mount(self) -> Shown:
        """There is nothing to be done."""
        return Shown(self.target)

    def again(self) -> None:
        """It can always be used."""

    def commit(self) -> str:
        diff, tree = f"{self.writable}/diff", self._tree
        quiet = covering.touched(f"{self.writable}/{covering.FOLDER}")
        changes = scan.compare(tree.top, tree.index, quiet)
        write(changes, os.fsencode(tree.top), os.fsencode(diff))
        tree.fresh = _all_of(changes)
        tree.names = (diff, *tree.names)
        tree.user = ""
        return diff


class Shown:
    """A directory and its descriptor; it stays when `with` ends."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def drop(self) -> None:
        """Nothing has been mounted in it."""
        os.close(self.fd)


def present(store: Store, layers: tuple[str, ...], writable: str, names: tuple[str, ...]) -> Root:
    """The tree of the layers `names`, which are these directories now, for `writable` alone."""
    tree = _find(store, names, writable)
    if tree is None:
        while len(_Kept.trees) >= _KEPT:
            _Kept.trees.pop(0).discard()
        tree = Tree(store, layers, names)
    elif layers:
        tree.settle(layers[0])
    tree.user = writable
    _Kept.trees.append(tree)
    return Root(tree, writable)


def show(snapshot: Snapshot, layers: tuple[str, ...]) -> Shown:
    """The layers' very files, in one tree, to be read."""
    merging.merge(layers, snapshot.target, linked=True)
    return Shown(snapshot.target)


def let_go() -> None:
    """Throw all trees of this process away."""
    while _Kept.trees:
        tree = _Kept.trees.pop()
        if tree.owner == os.getpid():
            tree.discard()


def _find(store: Store, names: tuple[str, ...], writable: str) -> Tree | None:
    """Take out of those that are kept the one that can be used; who was killed in one spoilt it."""
    own = [one for one in _Kept.trees if one.owner == os.getpid()]
    spoilt = [one for one in own if one.user not in ("", writable)]
    for one in spoilt:
        one.discard()
    _Kept.trees = [one for one in own if one not in spoilt]
    for tree in _Kept.trees:
        if tree.names == names and tree.root == store.root:
            _Kept.trees.remove(tree)
            return tree
    return None


def _all_of(changes: Changes) -> list[bytes]:
    """What is in the layer, the directories on the way too; each before what is in it."""
    found: dict[bytes, None] = {}
    for path in changes.changed:
        parts = path.split(b"/")
        for count in range(2, len(parts) + 1):
            found[b"/".join(parts[:count])] = None
    return list(found)


def write(changes: Changes, tree: bytes, diff: bytes, *, changing: bool = False) -> None:
    """Put what has changed into the empty directory `diff`, in overlayfs form.

    Where others are `changing` the tree, what has gone meanwhile is left out.
    """
    umask = os.umask(0)
    try:
        _Writing(tree, diff, changing=changing).write(changes)
    finally:
        os.umask(umask)


class _Writing:
    def __init__(self, tree: bytes, diff: bytes, *, changing: bool) -> None:
        self._tree = tree
        self._diff = diff
        self._changing = changing
        self._copier = copying.Copier(changing=changing)
        self._times = [(diff, self._dressed(b""))]

    def write(self, changes: Changes) -> None:
        for path in changes.changed:
            try:
                self._parents(path)
                self._entry(path, is_opaque=path in changes.replaced)
            except (FileNotFoundError, NotADirectoryError):
                if not self._changing:
                    raise
        for path in changes.gone:
            self._parents(path)
            whiteout.make(self._diff + path)
        for path, moment in reversed(self._times):
            copying.stamp(path, moment)

    def _entry(self, path: bytes, *, is_opaque: bool) -> None:
        status = os.lstat(self._tree + path)
        if stat.S_ISDIR(status.st_mode):
            self._folder(path)
            if is_opaque:
                whiteout.make_opaque(self._diff + path)
        elif not stat.S_ISSOCK(status.st_mode):
            self._copier.entry(self._tree + path, self._diff + path, status)

    def _parents(self, path: bytes) -> None:
        above = path.rpartition(b"/")[0]
        if above and not os.path.isdir(self._diff + above):
            self._parents(above)
            self._folder(above)

    def _folder(self, path: bytes) -> None:
        try:
            os.mkdir(self._diff + path, 0o755)
        except FileExistsError:
            return
        self._times.append((self._diff + path, self._dressed(path)))

    def _dressed(self, path: bytes) -> int:
        """Like the tree's; the time that it gets in the end."""
        source = self._tree + path
        status = os.lstat(source)
        copying.dress(self._diff + path, status, xattrs.read(source))
        return status.st_mtime_ns
