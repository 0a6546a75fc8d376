"""The tree of a folder that lasts, a container's, where nothing can be mounted.

While somebody works in it there is `tree` in the folder, a copy of all layers with the changes of
before; at the end what is other than in the layers becomes the new diff/, and the copy goes. So
the folder is as on any other machine. `unfold` tells others meanwhile what has changed, by
`tree.index`, which says how the layers were. What a crash leaves of the copy is never used again:
what was changed since that start is lost with it, and the next start takes it away.
"""

from __future__ import annotations

import os

from rootless import deletion, linux
from rootless.roots import copied, merging, scan
from rootless.sandbox import covering
from rootless.sandbox.operations.chrooted import Enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.roots.copied import Shown
    from rootless.sandbox.spec import Operation

_OURS = ("tree", "tree.clock", "tree.index", "diff.new", "diff.old", covering.FOLDER)


class Root:
    """The layers, topmost first, below the diff/ of the folder `writable`."""

    def __init__(self, layers: tuple[str, ...], writable: str) -> None:
        self.writable = writable
        self.target = f"{writable}/tree"
        self.caught = self.target
        if not os.path.isdir(f"{writable}/diff"):  # killed between two renames of `_exchange`
            os.rename(f"{writable}/diff.new", f"{writable}/diff")
        self._clear()
        os.mkdir(self.target, 0o755)
        merging.merge(layers, self.target)
        self._index = scan.look(self.target)
        scan.save(self._index, f"{writable}/tree.index")
        merging.merge((f"{writable}/diff",), self.target)

    @property
    def operations(self) -> tuple[Operation, ...]:
        return (Enter(self.target),)

    def mount(self) -> Shown:
        """There is nothing to be done."""
        return copied.Shown(self.target)

    def again(self) -> None:
        """It can always be used."""

    def commit(self) -> str:
        """Nothing happens where the folder has been removed meanwhile."""
        diff, new = f"{self.writable}/diff", f"{self.writable}/diff.new"
        quiet = covering.touched(f"{self.writable}/{covering.FOLDER}")
        try:
            changes = scan.compare(self.target, self._index, quiet)
            os.mkdir(new, 0o755)
            copied.write(changes, os.fsencode(self.target), os.fsencode(new))
            _exchange(new, diff, f"{self.writable}/diff.old")
            self._clear()
        except FileNotFoundError:
            if os.path.exists(self.target):
                raise
        return diff

    def _clear(self) -> None:
        for name in _OURS:
            deletion.remove(f"{self.writable}/{name}")


def _exchange(new: str, diff: str, old: str) -> None:
    """Let `new` be `diff`, at once; where no file system or filter lets that be, there is none for
    a moment: who is killed then has left it to the next start.
    """
    try:
        linux.renameat2(new, diff, linux.RENAME_EXCHANGE)
    except linux.SyscallError:
        os.rename(diff, old)
        os.rename(new, diff)


def unfold(writable: str, diff: str) -> None:
    """Put into the empty directory `diff` what has changed so far, while others work on. OSError.

    What is put into the tree only while it is used is no change.
    """
    tree, folder = f"{writable}/tree", f"{writable}/{covering.FOLDER}"
    index = scan.load(f"{writable}/tree.index")
    changes = scan.compare(tree, index, covering.touched(folder), changing=True)
    rest = changes.without(*covering.covered(folder))
    copied.write(rest, os.fsencode(tree), os.fsencode(diff), changing=True)
