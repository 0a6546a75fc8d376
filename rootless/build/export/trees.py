"""The files of images as one stream: what `local` and `tar` have in common.

Runs as (mapped) root with one thread: each image's layers are mounted while they are read. A crash
leaves an empty folder in tmp/, which the next one deletes.
"""

from __future__ import annotations

from rootless import roots
from rootless.archive import diff, tar
from rootless.record import Record
from rootless.store import ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.archive import Put
    from rootless.store import Store
    from rootless.store.images import Image

_NANO = 10**9


class Tree(Record):
    """An image's files, which go into the folder `name`; "" is the top."""

    image: Image
    name: str = ""

    @classmethod
    def each(cls, built: Sequence[Image], *, split: bool | None = None) -> tuple[Tree, ...]:
        """As docker lays them out: several images get a folder each, unless not to be `split`."""
        if split is None:
            split = len(built) > 1
        return tuple(cls(one, _folder(one) if split else "") for one in built)


def _folder(image: Image) -> str:
    return str(image.config.platform).replace("/", "_")


def write(store: Store, trees: Sequence[Tree], put: Put, how: How) -> None:
    """Call `put` with a tar of all these files, chunk by chunk."""
    writer = tar.Writer(put)
    for tree in trees:
        placed = _Placed(tree.name.encode(), how)
        with roots.view(store, ready.of(store, tree.image).layers) as view:
            diff.add_tree(view.target, writer, placed.change)
    writer.close()


class How(Record):
    """`epoch` (seconds) is the time of all files, if given. `plain`: as an ordinary user can have
    them, without devices and extended attributes.
    """

    epoch: int | None = None
    plain: bool = False


class _Placed:
    """Entries below a folder."""

    def __init__(self, folder: bytes, how: How) -> None:
        self._folder = folder
        self._how = how

    def change(self, entry: tar.Entry) -> tar.Entry | None:
        """The entry as it is to be written; the root only where it is a folder of that archive."""
        if entry.name == b".":
            if not self._folder:
                return None
            entry.name = self._folder
        elif self._folder:
            entry.name = self._folder + b"/" + entry.name
            if entry.kind == tar.LINK:
                entry.link = self._folder + b"/" + entry.link
        if self._how.epoch is not None:
            entry.mtime = self._how.epoch * _NANO
        if self._how.plain:
            if entry.kind in (tar.CHARACTER, tar.BLOCK_DEVICE):
                return None
            entry.xattrs = {}
        return entry
