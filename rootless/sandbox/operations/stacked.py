"""Another image's files, mounted in a container: an overlay of that image's layers.

Runs in the child, in the container's own mount namespace, as uid 0 of the user namespace.
"""

from __future__ import annotations

import errno
import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.operations.tree import Overlay, shown
from rootless.sandbox.quoting import below, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot


class Stacked(Record):
    """Show the files of the image `name`, or the part `subpath` of them, at `path`.

    `lowers` are its layers, topmost first. What is written where it is not `read_only` is caught in
    `folder`, an empty directory of the container's own, and thrown away.
    """

    name: str
    lowers: tuple[str, ...]
    path: str
    folder: str
    read_only: bool = True
    subpath: str = ""

    call = "mount(2) overlay, open_tree(2), mount_setattr(2), move_mount(2)"

    def describe(self) -> str:
        part = f"{self.subpath} of " if self.subpath else ""
        access = "read-only" if self.read_only else "what is changed there is thrown away"
        return f"show {part}the image {self.name} at {self.path}: {access}"

    def shell(self) -> tuple[str, ...]:
        path, overlay = below(self.path), self._overlay()
        target, folder = quote(path), quote(os.path.dirname(path) or ".")
        source = quote(f"{overlay.target}/{self.subpath}" if self.subpath else overlay.target)
        return (
            f"mkdir -p {' '.join(map(quote, (*self._empty(), *self._folders())))}",
            f"mount -t overlay overlay -o {quote(overlay.options)} {quote(overlay.target)}",
            f"within {target}",
            f"if [ -d {source} ]; then mkdir -p {target}",
            f"else mkdir -p {folder}; touch {target}; fi",
            f"mount --bind {source} {target}",
            *((f"protect {target} ro",) if self.read_only else ()),
        )

    def apply(self, newroot: Newroot) -> None:
        self.attach(self.open(), newroot)

    def open(self) -> int:
        """What is shown, as a detached mount; SandboxError when it cannot be."""
        overlay = self._overlay()
        try:
            for path in (*self._empty(), *self._folders()):
                os.makedirs(path, 0o755, exist_ok=True)
            overlay.mount()
            try:
                return shown(overlay.target, self.subpath)
            finally:
                linux.umount2(overlay.target, linux.MNT_DETACH)
        except OSError as error:
            raise self._refused(error) from None

    def attach(self, tree: int, newroot: Newroot) -> None:
        """Show it in its place."""
        try:
            is_folder = os.fstat(tree).st_mode & 0o170000 == 0o040000
            find = newroot.directory_fd if is_folder else newroot.file_fd
            if self.read_only:
                linux.mount_setattr(tree, linux.MOUNT_ATTR_RDONLY)
            linux.move_mount(tree, find(self.path))
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> SandboxError:
        part = f"{self.subpath} of " if self.subpath else ""
        outside = error.errno == errno.EXDEV
        return SandboxError(
            f"{part}the image {self.name} cannot be shown at {self.path}: {error.strerror}",
            hint="its path leads out of the image" if outside else None,
        )

    def _empty(self) -> tuple[str, ...]:
        """Overlayfs wants a layer."""
        return () if self.lowers else (f"{self.folder}/empty",)

    def _folders(self) -> tuple[str, ...]:
        overlay = self._overlay()
        return overlay.upper, overlay.work, overlay.target

    def _overlay(self) -> Overlay:
        upper, work, target = (f"{self.folder}/{name}" for name in ("diff", "work", "target"))
        lowers = self.lowers or self._empty()
        return Overlay("/", lowers, upper, work, target, volatile=True)
