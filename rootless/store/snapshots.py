"""Snapshots: the writable directories that one build step or container is presented with.

A snapshot is a staged directory in overlayfs form: `diff` (upper), `work` and `target` (the mount
point). When its process is done, `diff` is the new layer: `layers.publish` renames it. Runs as
(mapped) root; a crash leaves a swept directory in tmp/.
"""

from __future__ import annotations

import os

from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store


class Snapshot(Staging):
    """Ours until published or discarded; whoever mounted on `target` unmounts before that."""

    @property
    def diff(self) -> str:
        """The directory that takes all changes, and becomes the layer's."""
        return os.path.join(self.path, "diff")

    @property
    def work(self) -> str:
        """Overlayfs's scratch directory; fresh for each snapshot, as `volatile` demands."""
        return os.path.join(self.path, "work")

    @property
    def target(self) -> str:
        """An empty directory to mount the merged tree on."""
        return os.path.join(self.path, "target")


def create(store: Store) -> Snapshot:
    """A new empty snapshot; its root directory is root's and has mode 0755."""
    return Snapshot(store, ("diff", "work", "target"))
