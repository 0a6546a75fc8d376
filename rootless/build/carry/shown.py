"""Files of the context as a command sees them: the very files, or, where that cannot be, copies.

A COPY would give them to root and leave out what .dockerignore hides. A directory all of whose
files are the user's own, who is root inside, is shown as it is: read-only, or below overlayfs,
which hides by whiteouts and takes what is written. Everything else is copied. Mounts are made in
the builder's private mount namespace; nothing that is mounted here can be written to through them,
so that whoever sweeps the folder they lie in cannot reach the user's files.

Others may change the files while a command runs: `is_as_it_was` tells it afterwards. Runs in the
builder.
"""

from __future__ import annotations

import os
import stat
from errno import EPERM

from rootless import inroot, linux
from rootless.archive import whiteout
from rootless.build.carry import files
from rootless.build.inputs import tree
from rootless.errors import RootlessError
from rootless.sandbox.operations.tree import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.inputs.context import Changes, Context
    from rootless.build.inputs.tree import Folder, Source
    from rootless.build.plan.actions import CopyFiles


class Shown:
    """One source of the context, to be seen at `path` until `close`."""

    def __init__(self, context: Context, action: CopyFiles, source: Source, folder: str) -> None:
        """`folder` is empty and ours."""
        self.path = folder
        self._context = context
        self._action = action
        self._source = source
        self._folder = folder
        self._mounted = ""
        self.changes: Changes | None = None

    def show(self, *, apart: bool) -> None:
        """Make it there, `apart` from the files themselves where a command could write to them;
        RootlessError when it cannot be read.
        """
        if not self._is_roots():
            self._copy()
        elif self._source.folders and (apart or self._context.ignore):
            self._overlay()
        elif apart or not self._bind():
            self._copy()

    def close(self) -> None:
        """Take the mount away; what was copied goes with the folder."""
        if self._mounted:
            linux.umount2(self._mounted, linux.MNT_DETACH)

    def is_as_it_was(self, digest: str | None) -> bool:
        """Whether the files, where they were not copied, are still those that `digest` says."""
        if not self._mounted:
            return True
        context = self._context
        try:
            found = tree.select(context.fd, self._action.sources[0], context.ignore)
            return context.digest(found) == digest
        except RootlessError:
            return False

    def _is_roots(self) -> bool:
        """Whether all files have the owner that a COPY would give them.

        They may have been looked up outside the namespace, where root has another number: so it is
        the owner of the topmost, who is root in here.
        """
        if self._context.keeps_owners:
            return True
        fd = self._open()
        try:
            now = os.fstat(fd)
        finally:
            os.close(fd)
        owner = (self._source.stat.st_uid, self._source.stat.st_gid)
        found = [folder.stat for folder in self._source.folders]
        found += [status for folder in self._source.folders for _, status in folder.files]
        is_one = all((one.st_uid, one.st_gid) == owner for one in found)
        return is_one and (now.st_uid, now.st_gid) == (0, 0)

    def _open(self) -> int:
        """A descriptor of the source, in this mount namespace: the context's may be of another."""
        fd = inroot.open_path(self._context.fd, self._source.path)
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
            found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            if not os.path.samestat(os.fstat(fd), os.fstat(found)):
                os.close(found)
                raise RootlessError(f"{path} was replaced while the build ran")
            return found
        finally:
            os.close(fd)

    def _copy(self) -> None:
        self.changes = self._context.changes()
        folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        umask = os.umask(0)
        try:
            fd, found = self._context.fd, (self._source,)
            keeps = self._context.keeps_owners
            files.copy(
                folder_fd, self._folder, self._action, found, fd, self.changes, keeps_owners=keeps
            )
        finally:
            os.umask(umask)
            os.close(folder_fd)
        if self._source.folders:
            os.chmod(self._folder, stat.S_IMODE(self._source.stat.st_mode))
        else:
            self.path = f"{self._folder}/{self._source.name}"

    def _bind(self) -> bool:
        """Read-only before it is attached anywhere; False where nothing can be mounted."""
        fd = self._open()
        try:
            mounted = linux.open_tree(fd)
        except linux.SyscallError as error:
            if error.errno != EPERM:
                raise
            return False
        finally:
            os.close(fd)
        try:
            linux.mount_setattr(mounted, linux.MOUNT_ATTR_RDONLY, recursive=True)
            if not self._source.folders:
                self.path = f"{self._folder}/file"
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o600))
            target = os.open(self.path, os.O_PATH | os.O_CLOEXEC)
            try:
                linux.move_mount(mounted, target)
            finally:
                os.close(target)
        finally:
            os.close(mounted)
        self._mounted = self.path
        return True

    def _overlay(self) -> None:
        """Copied where overlayfs does not take what the directory lies on."""
        mask, upper, work, target = (f"{self._folder}/{one}" for one in ("m", "u", "w", "t"))
        for path in (mask, upper, work, target):
            os.mkdir(path, 0o755)
        _like(mask, self._source.stat)
        fd = self._open()
        try:
            self._hide(fd, mask)
            lowers = (mask, f"/proc/self/fd/{fd}")
            Overlay("/", lowers, upper, work, target, volatile=True).mount()
        except (RootlessError, PermissionError):
            self._folder = self.path = target
            self._copy()
        else:
            self.path = self._mounted = target
        finally:
            os.close(fd)

    def _hide(self, source_fd: int, mask: str) -> None:
        """Whiteouts for what is there and not among the files of the source."""
        if not self._context.ignore:
            return
        known: dict[str, set[str]] = {one.path: set() for one in self._source.folders}
        for folder in self._source.folders:
            known[folder.path] |= {name for name, _ in folder.files}
            if folder.path:
                above, _, name = folder.path.rpartition("/")
                known[above].add(name)
        by_path = {one.path: one for one in self._source.folders}
        for path, names in known.items():
            folder_fd = tree.open_folder(source_fd, path)
            try:
                hidden = set(os.listdir(folder_fd)) - names
            finally:
                os.close(folder_fd)
            if hidden:
                _make_all(mask, path, by_path)
                for name in hidden:
                    whiteout.make(os.fsencode(f"{mask}/{path}/{name}"))


def _make_all(mask: str, path: str, folders: dict[str, Folder]) -> None:
    """The directories down to `path`, each with the mode and time of the one that it covers."""
    below = ""
    for name in path.split("/") if path else ():
        below = f"{below}/{name}".lstrip("/")
        if not os.path.isdir(f"{mask}/{below}"):
            os.mkdir(f"{mask}/{below}")
            _like(f"{mask}/{below}", folders[below].stat)


def _like(path: str, status: os.stat_result) -> None:
    os.chmod(path, stat.S_IMODE(status.st_mode))
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
