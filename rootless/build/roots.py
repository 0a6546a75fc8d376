"""File trees presented for a step: layers stacked under a fresh upper directory.

The builder mounts them in its own private mount namespace; they are gone with it. `Roots` holds
tiny directories in `tmp/`. Two stand at the bottom of stacks: `empty`, because overlayfs wants a
layer, and `stubs`, the mount points a command's sandbox needs, which so never get into an image.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.runspec import Rootfs
from rootless.store import snapshots
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rootless.build.stack import Stack
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot

_STUB_FOLDERS = ("proc", "dev", "sys", "etc")
_STUB_FILES = ("etc/resolv.conf", "etc/hosts")


class Roots:
    """Makes root file systems for one build, until it is closed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bottom = Staging(store, ("empty", "stubs", "scripts"))
        self.scripts_dir = os.path.join(self._bottom.path, "scripts")
        stubs = os.path.join(self._bottom.path, "stubs")
        for name in _STUB_FOLDERS:
            os.mkdir(os.path.join(stubs, name), 0o755)
        for name in _STUB_FILES:
            os.close(os.open(os.path.join(stubs, name), os.O_CREAT | os.O_WRONLY, 0o644))

    def rootfs(self, stack: Stack, snapshot: Snapshot, bottom: str = "empty") -> Rootfs:
        """How `snapshot` on `stack` is mounted."""
        paths = (*stack.paths, os.path.join(self._bottom.path, bottom))
        base = self._store.root
        lowers = tuple(path[len(base) + 1 :] for path in paths)
        return Rootfs(base, lowers, snapshot.diff, snapshot.work, snapshot.target)

    def mount(self, stack: Stack, snapshot: Snapshot) -> Mounted:
        """Mount it here, to put files into it or to read from it."""
        overlay = self.rootfs(stack, snapshot).overlay()
        overlay.mount()
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
        self._bottom.discard()


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
