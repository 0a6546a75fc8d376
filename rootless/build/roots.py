"""File trees presented for a step: layers stacked under a fresh upper directory.

The builder mounts them in its own private mount namespace; they are gone with it. `Roots` holds
tiny directories in `tmp/`: one for scripts, and an empty one for the bottom of a stack, because
overlayfs wants a layer. Below a command's root lies the store's skeleton instead.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.runspec import Rootfs
from rootless.store import skeleton, snapshots
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rootless.build.stack import Stack
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot


class Roots:
    """Makes root file systems for one build, until it is closed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own = Staging(store, ("empty", "scripts"))
        self.scripts_dir = os.path.join(self._own.path, "scripts")

    def for_command(self, stack: Stack, snapshot: Snapshot) -> Rootfs:
        """`snapshot` on `stack` as a sandbox mounts it, with the mount points it needs."""
        return self._rootfs(stack, snapshot, skeleton.path(self._store))

    def _rootfs(self, stack: Stack, snapshot: Snapshot, bottom: str) -> Rootfs:
        paths = (*stack.paths, bottom)
        base = self._store.root
        lowers = tuple(path[len(base) + 1 :] for path in paths)
        return Rootfs(base, lowers, snapshot.diff, snapshot.work, snapshot.target)

    def mount(self, stack: Stack, snapshot: Snapshot) -> Mounted:
        """Mount it here, to put files into it or to read from it."""
        empty = os.path.join(self._own.path, "empty")
        self._rootfs(stack, snapshot, empty).overlay().mount()
        return Mounted(snapshot.target)

    def view(self, stack: Stack) -> View:
        """Mount a stack to read from; what would be written is thrown away."""
        snapshot = snapshots.create(self._store)
        try:
            return View(self.mount(stack, snapshot), snapshot)
        except BaseException:
            snapshot.discard()
            raise

    def close(self) -> None:
        """Delete the directories."""
        self._own.discard()


class Mounted:
    """A mounted root and its descriptor; unmounted at the end of `with`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        linux.umount2(self._target)


class View:
    """A mounted root that is only read."""

    def __init__(self, mounted: Mounted, snapshot: Snapshot) -> None:
        self._mounted = mounted
        self._snapshot = snapshot
        self.fd = mounted.fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._mounted.__exit__()
        self._snapshot.discard()
