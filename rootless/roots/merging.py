"""Layers put together into one plain directory, as overlayfs would show them.

The lowest comes first; of each that follows, whiteouts take away what lies below, opaque
directories begin anew, and everything else takes the place of what has its name. Runs as root of
the ids that the files have. A crash leaves a part of the tree, which is its maker's to throw away.
"""

from __future__ import annotations

import os
import stat

from rootless import deletion
from rootless.archive import whiteout, xattrs
from rootless.roots import copying

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.roots.copying import Copier


def merge(layers: Sequence[str], tree: str, *, linked: bool = False) -> None:
    """Fill the empty directory `tree` with the layers, topmost first. OSError.

    With `linked` their very files are shown: nobody may write to any of them.
    """
    umask = os.umask(0)
    try:
        for layer in reversed(layers):
            _Merging(os.fsencode(layer), os.fsencode(tree), copying.Copier(linked=linked)).merge()
    finally:
        os.umask(umask)


class _Merging:
    """One layer over what there is."""

    def __init__(self, layer: bytes, tree: bytes, copier: Copier) -> None:
        self._layer = layer
        self._tree = tree
        self._copier = copier
        self._times: list[tuple[bytes, int]] = []

    def merge(self) -> None:
        root = os.lstat(self._layer)
        copying.dress(self._tree, root, xattrs.read(self._layer))
        self._times.append((self._tree, root.st_mtime_ns))
        pending = [(b"", not os.listdir(self._tree))]
        while pending:
            pending += self._folder(*pending.pop())
        for path, moment in reversed(self._times):
            copying.stamp(path, moment)

    def _folder(self, path: bytes, fresh: bool) -> list[tuple[bytes, bool]]:  # noqa: FBT001
        """What is in a folder, where with `fresh` nothing is; the folders in it, to go on with."""
        inner = []
        with os.scandir(self._layer + path) as entries:
            for entry in entries:
                name = path + b"/" + entry.name
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    inner.append((name, self._enter(name, status, fresh=fresh)))
                    continue
                if not fresh:
                    deletion.remove(self._tree + name)
                is_one = not stat.S_ISLNK(status.st_mode) and whiteout.is_one(entry.path, status)
                if not (is_one or stat.S_ISSOCK(status.st_mode)):
                    self._copier.entry(entry.path, self._tree + name, status)
        return inner

    def _enter(self, name: bytes, status: os.stat_result, *, fresh: bool) -> bool:
        """Make a directory, or go on with the one that is there; whether it is empty."""
        attributes, target = xattrs.read(self._layer + name), self._tree + name
        if not fresh:
            fresh = whiteout.is_opaque(attributes) or not _is_folder(target)
            if fresh:
                deletion.remove(target)
        if fresh:
            os.mkdir(target, 0o755)
        copying.dress(target, status, attributes)
        self._times.append((target, status.st_mtime_ns))
        return fresh


def _is_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
