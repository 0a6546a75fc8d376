"""A directory of the host whose changes are thrown away: an overlay of the container's own.

Runs in the child, in the container's own mount namespace, as uid 0 of the user namespace.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.operations.tree import Overlay
from rootless.sandbox.quoting import below, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot


class Scratch(Record):
    """Show a directory of the host at `path` of the container, whose changes are thrown away.

    They are caught in `folder`, an empty directory of the container's own.
    """

    source: str
    path: str
    folder: str

    call = "mount(2) overlay, open_tree(2), move_mount(2)"

    def describe(self) -> str:
        return (
            f"show {self.source} of the host at {self.path}: what is changed there is thrown away"
        )

    def shell(self) -> tuple[str, ...]:
        target = quote(below(self.path))
        overlay = self._overlay()
        return (
            f"within {target}; mkdir -p {target}",
            f"mkdir -p {' '.join(map(quote, (overlay.upper, overlay.work)))}",
            f"mount -t overlay overlay -o {quote(overlay.options)} {target}",
        )

    def apply(self, newroot: Newroot) -> None:
        self.attach(self.open(), newroot)

    def open(self) -> int:
        """The overlay as a detached mount; SandboxError when it cannot be."""
        overlay = self._overlay()
        try:
            os.makedirs(self.folder, exist_ok=True)
            for path in (overlay.upper, overlay.work, overlay.target):
                os.mkdir(path, 0o755)
            overlay.mount()
            tree = linux.open_tree(overlay.target)
            linux.umount2(overlay.target, linux.MNT_DETACH)
            return tree
        except OSError as error:
            raise self._refused(error) from None

    def attach(self, tree: int, newroot: Newroot) -> None:
        """Show it in its place."""
        try:
            linux.move_mount(tree, newroot.directory_fd(self.path))
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> SandboxError:
        return SandboxError(
            f"{self.source} cannot be shown at {self.path} to be changed for nothing: "
            f"{error.strerror}",
            hint="it must be a directory",
        )

    def _overlay(self) -> Overlay:
        upper, work, target = (f"{self.folder}/{name}" for name in ("diff", "work", "target"))
        return Overlay("/", (self.source,), upper, work, target, volatile=True)
