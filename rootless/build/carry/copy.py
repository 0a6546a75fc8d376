"""COPY and ADD: put sources into a root file system, as BuildKit's users expect.

The root is a mounted overlay (or, for --link, an empty directory) whose content is hostile: every
directory is looked up from its descriptor with RESOLVE_IN_ROOT, every name below it is used with
O_NOFOLLOW. Runs in the builder, uid 0 of its user namespace with umask 0. A crash leaves a
half-filled upper directory under `tmp/`.
"""

from __future__ import annotations

import os
import stat
from errno import ELOOP, ENOENT, ENOTDIR, ENXIO

from rootless import inroot, owners, permissions, standins
from rootless.build.inputs import contents
from rootless.build.inputs.tree import open_folder
from rootless.errors import RootlessError
from rootless.linux import SyscallError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.inputs.context import Changes
    from rootless.build.inputs.tree import Folder, Source
    from rootless.build.plan.mode import Mode

_CHUNK = 1 << 17
_SPECIAL = 0o7000
_SPECIAL_FILES = (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK)
_MAX_LINKS = 40  # symbolic links the kernel follows in one path


class Placement(Record):
    """How sources arrive: `owner` (uid, gid) from --chown, `mode` from --chmod, or None.

    Sources that come from an image keep their owners and attributes; a context's are the host's.
    """

    owner: tuple[int, int] | None = None
    mode: Mode | None = None
    is_image: bool = False

    def permissions(self, mode: int) -> int:
        """The permission bits for something whose source has `st_mode` `mode`."""
        return self.mode.apply(mode) if self.mode else stat.S_IMODE(mode)

    @property
    def folder_mode(self) -> int:
        """The mode of a directory that had to be made: as docker, 0755 or an octal --chmod's."""
        bits = self.mode.bits if self.mode else None
        return 0o755 if bits is None else bits & 0o755


class Target:
    """A root being filled; hard links inside one source stay hard links.

    `changes` hears of all that is read from a place where others may write.
    """

    def __init__(self, root_fd: int, how: Placement, changes: Changes | None = None) -> None:
        self.root_fd = root_fd
        self.how = how
        self.changes = changes
        self._records = owners.are_recorded()
        self._linked: dict[tuple[int, int], tuple[str, str]] = {}

    def place(self, sources: tuple[Source, ...], source_fd: int, destination: str) -> None:
        """Copy `sources`, found below `source_fd`, to the absolute path `destination`.

        One after the other: where no `/` or directory says that they are to lie side by side, each
        takes the place of the one before.
        """
        into = destination.endswith("/")
        for source in sources:
            self._linked.clear()
            if not source.folders:
                path = self._file_path(destination, source.name, into=into)
                self._place_file(source, source_fd, path)
            else:
                self._place_tree(source, source_fd, destination)

    def place_content(self, content: bytes, destination: str, name: str) -> None:
        """Write a file of our own making (a heredoc) with mode 0644."""
        path = self._file_path(destination, name, into=destination.endswith("/"))
        folder_fd = self.make_folders(os.path.dirname(path))
        try:
            fd = _create(folder_fd, os.path.basename(path), 0o600)
            with open(fd, "wb") as file:
                file.write(content)
                file.flush()  # before the mode: writing clears setuid and setgid
                self._own(fd, self.how.owner or (0, 0), 0o100644)
        finally:
            os.close(folder_fd)

    def make_folders(self, path: str) -> int:
        """A descriptor of the directory `path`; missing ones are made, at the ends of links too."""
        return self._make_folders(path, _MAX_LINKS)

    def _make_folders(self, path: str, links: int) -> int:
        fd = inroot.open_path(self.root_fd, "", os.O_PATH | os.O_DIRECTORY)
        seen = ""
        for name in path.split("/"):
            if name in ("", "."):
                continue
            seen = f"{seen}/{name}"
            try:
                inner = self._open_or_make(fd, seen, name, links)
            finally:
                os.close(fd)
            fd = inner
        return fd

    def _open_or_make(self, parent_fd: int, path: str, name: str, links: int) -> int:
        try:
            return inroot.open_path(self.root_fd, path, os.O_PATH | os.O_DIRECTORY)
        except SyscallError as error:
            if error.errno == ELOOP:
                raise RootlessError(f"{path}: too many levels of symbolic links") from None
            if error.errno == ENOTDIR:
                raise RootlessError(f"{path} is in the way: it is not a directory") from None
            if error.errno != ENOENT:
                raise
        try:
            os.mkdir(name, permissions.folder(self.how.folder_mode), dir_fd=parent_fd)
        except FileExistsError:  # a symbolic link that leads nowhere, yet
            if not links:
                raise RootlessError(f"{path}: too many levels of symbolic links") from None
            target = os.readlink(name, dir_fd=parent_fd)
            return self._make_folders(os.path.join(os.path.dirname(path), target), links - 1)
        fd = os.open(name, os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent_fd)
        if self.how.owner is not None:  # else a parent with setgid has given it its group
            owners.give(fd, *self.how.owner, recorded=self._records)
        if not permissions.are_wide(self.how.folder_mode, is_folder=True):
            permissions.give(fd, self.how.folder_mode)
        return fd

    def _file_path(self, destination: str, name: str, *, into: bool) -> str:
        """The path that a file is written to, a link at its end already followed."""
        path = destination
        for _ in range(_MAX_LINKS):
            mode, link = self._look(path)
            into = into or stat.S_ISDIR(mode)
            if into or not link:
                break
            path = os.path.join(os.path.dirname(path), link)
        else:
            raise RootlessError(f"{destination}: too many levels of symbolic links")
        return os.path.join(path, name) if into else path

    def _look(self, path: str) -> tuple[int, str]:
        """The mode of `path` (0 when there is nothing), and where it points if it is a link."""
        try:
            fd = inroot.open_path(self.root_fd, path, os.O_PATH | os.O_NOFOLLOW)
        except SyscallError as error:
            if error.errno in (ENOENT, ENOTDIR):
                return 0, ""
            raise
        try:
            mode = os.fstat(fd).st_mode
            return mode, os.readlink("", dir_fd=fd) if stat.S_ISLNK(mode) else ""
        finally:
            os.close(fd)

    def _place_file(self, source: Source, source_fd: int, path: str) -> None:
        kind = stat.S_IFMT(source.stat.st_mode)
        if kind != stat.S_IFREG and kind not in _SPECIAL_FILES:
            raise RootlessError(f"{source.path} is neither a file nor a directory")
        folder_fd = self.make_folders(os.path.dirname(path))
        try:
            if kind in _SPECIAL_FILES:
                self._make_special(source.stat, folder_fd, os.path.basename(path))
                return
            fd = _open(source_fd, source.path, follows=True)
            if not self._copy_file(fd, source.path, source.stat, folder_fd, path):
                raise RootlessError(f"{source.path} vanished while the build ran")
        finally:
            os.close(folder_fd)

    def _place_tree(self, source: Source, source_fd: int, destination: str) -> None:
        """The contents of a directory into `destination`, merged with what is there.

        The destination is not the source: it stays what it is, or is made like any parent.
        """
        found = set()  # folders on the way that were there before
        for folder in source.folders:
            path = os.path.join(destination, folder.path)
            if folder.path and self._check_folder(path) and folder.is_way:
                found.add(folder.path)
            fd = self.make_folders(path)
            try:
                self._fill(folder, source_fd, os.path.join(source.path, folder.path), fd, path)
            finally:
                os.close(fd)
        for folder in reversed(source.folders):  # times last: filling a directory changes them
            if folder.path:
                is_found = folder.path in found
                was = self._was(folder, source_fd, source.path)
                path = os.path.join(destination, folder.path)
                self._finish(folder, path, was, is_found=is_found)

    def _check_folder(self, path: str) -> bool:
        """Whether it is there; RootlessError when something else is where a directory of the
        source belongs.
        """
        mode, _ = self._look(path)
        if mode and not stat.S_ISDIR(mode):
            raise RootlessError(
                f"cannot copy a directory to {path}: what is there is none",
                hint="remove it in an earlier step, or choose another destination",
            )
        return mode != 0

    def _fill(self, folder: Folder, source_fd: int, origin: str, folder_fd: int, path: str) -> None:
        """All but directories from `origin` below `source_fd` into the directory `folder_fd`."""
        try:
            origin_fd = open_folder(source_fd, origin)
        except SyscallError as error:
            if not self.changes or error.errno not in (ENOENT, ENOTDIR):
                raise
            for name, _ in folder.files:
                self.changes.vanished(os.path.join(origin, name))
            return
        try:
            for name, found in folder.files:
                shown = os.path.join(origin, name)
                if not self._fill_one(origin_fd, shown, found, folder_fd, f"{path}/{name}"):
                    if not self.changes:
                        raise RootlessError(f"{shown} vanished")
                    self.changes.vanished(shown)
        finally:
            os.close(origin_fd)

    def _fill_one(
        self, origin_fd: int, shown: str, found: os.stat_result, folder_fd: int, path: str
    ) -> bool:
        """What is no directory, called `shown` in the source; False when it is not there."""
        name = os.path.basename(path)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            return self._copy_file(_open(origin_fd, name), shown, found, folder_fd, path)
        if kind == stat.S_IFLNK:
            try:
                text = os.readlink(name, dir_fd=origin_fd)
                now = os.stat(name, dir_fd=origin_fd, follow_symlinks=False)
            except OSError:
                return False
            _clear(folder_fd, name)
            os.symlink(text, name, dir_fd=folder_fd)
            self._own_name(folder_fd, name, found)
            self._note(shown, found, now, lambda: contents.of_link(text))
        elif kind in _SPECIAL_FILES:
            self._make_special(found, folder_fd, name)
        return True

    def _copy_file(
        self, fd: int, shown: str, found: os.stat_result, folder_fd: int, path: str
    ) -> bool:
        """Copy the open file `fd`, as long as it is now, and close it; False when it is none."""
        if fd < 0:
            return False
        try:
            now = os.fstat(fd)
            if not stat.S_ISREG(now.st_mode):
                return False
            if now.st_nlink > 1 and self._link(now, shown, folder_fd, path):
                return True
            # A new file has its mode, but writing to it clears setuid and setgid.
            had = self._mode(found, fd)
            mode = self.how.permissions(had)
            target_fd = _create(folder_fd, os.path.basename(path), permissions.file(mode))
            try:
                _pour(fd, target_fd, now.st_size)
                made = os.fstat(target_fd)  # its group may be that of a directory with setgid
                owner = self._owner(found, fd)
                is_plain = not mode & _SPECIAL and permissions.are_wide(mode, is_folder=False)
                if owner != owners.of(made) or not is_plain:
                    self._own(target_fd, owner, had)
                if self.how.is_image:
                    _copy_xattrs(fd, target_fd)
                os.utime(target_fd, ns=(found.st_mtime_ns, found.st_mtime_ns))
                self._note(shown, found, os.fstat(fd), lambda: contents.of_file(target_fd))
            finally:
                os.close(target_fd)
            return True
        finally:
            os.close(fd)

    def _note(
        self, shown: str, found: os.stat_result, now: os.stat_result, digest: Callable[[], str]
    ) -> None:
        """Say what was copied of a file that is not, or may not be, what was looked up."""
        if self.changes and self.changes.is_doubtful(shown, found, now):
            self.changes.copied[shown] = (digest(), contents.links(now))

    def _link(self, found: os.stat_result, shown: str, folder_fd: int, path: str) -> bool:
        """Make `path` a hard link if another name of its file has been placed here already."""
        key = (found.st_dev, found.st_ino)
        first, first_shown = self._linked.setdefault(key, (path, shown))
        if first == path:
            return False
        name = os.path.basename(path)
        _clear(folder_fd, name)
        folder, first_name = os.path.split(first)
        first_fd = self.make_folders(folder)
        try:
            os.link(first_name, name, src_dir_fd=first_fd, dst_dir_fd=folder_fd)
        finally:
            os.close(first_fd)
        if self.changes and first_shown in self.changes.copied:
            self.changes.copied[shown] = self.changes.copied[first_shown]
        return True

    def _was(self, folder: Folder, source_fd: int, origin: str) -> tuple[tuple[int, int], int]:
        """Owner and mode that a directory's copy gets from its source."""
        if not (self._records and self.how.is_image):
            return self._owner(folder.stat), folder.stat.st_mode
        fd = open_folder(source_fd, os.path.join(origin, folder.path))
        try:
            return self._owner(folder.stat, fd), self._mode(folder.stat, fd)
        finally:
            os.close(fd)

    def _mode(self, found: os.stat_result, fd: int) -> int:
        """The kind and the permission bits of a source, open as `fd`."""
        if not (self._records and self.how.is_image):
            return found.st_mode
        return stat.S_IFMT(found.st_mode) | permissions.of_open(fd)

    def _finish(
        self, folder: Folder, path: str, was: tuple[tuple[int, int], int], *, is_found: bool
    ) -> None:
        """Give a directory its source's owner, mode and time.

        As in docker, --chmod is not for one on the way to what was named that is there already.
        """
        fd = open_folder(self.root_fd, path)
        try:
            owner, mode = was
            self._own(fd, owner, mode)
            if is_found:
                permissions.give(fd, stat.S_IMODE(mode))
            os.utime(fd, ns=(folder.stat.st_mtime_ns, folder.stat.st_mtime_ns))
        finally:
            os.close(fd)

    def _make_special(self, found: os.stat_result, folder_fd: int, name: str) -> None:
        if stat.S_ISFIFO(found.st_mode):
            self._make_pipe(found, folder_fd, name)
        else:
            self._make_device(found, folder_fd, name)

    def _make_device(self, found: os.stat_result, folder_fd: int, name: str) -> None:
        """As in every layer on this machine, an empty file stands for it."""
        kind = b"c" if stat.S_ISCHR(found.st_mode) else b"b"
        fd = _create(folder_fd, name, permissions.file(self.how.permissions(found.st_mode)))
        try:
            standins.mark(fd, kind, (os.major(found.st_rdev), os.minor(found.st_rdev)))
            self._own(fd, self._owner(found), found.st_mode)
            os.utime(fd, ns=(found.st_mtime_ns, found.st_mtime_ns))
        finally:
            os.close(fd)

    def _make_pipe(self, found: os.stat_result, folder_fd: int, name: str) -> None:
        _clear(folder_fd, name)
        os.mkfifo(name, 0o600, dir_fd=folder_fd)
        self._own_name(folder_fd, name, found)  # before the mode: it clears setuid and setgid
        os.chmod(name, self.how.permissions(found.st_mode), dir_fd=folder_fd)

    def _own(self, fd: int, owner: tuple[int, int], mode: int) -> None:
        """Owner and permissions."""
        owners.give(fd, *owner, recorded=self._records)
        permissions.give(fd, self.how.permissions(mode))

    def _own_name(self, folder_fd: int, name: str, found: os.stat_result) -> None:
        uid, gid = self._owner(found)
        times = (found.st_mtime_ns, found.st_mtime_ns)
        if self._records:
            times = owners.times(uid, gid, found.st_mtime_ns)
        else:
            os.chown(name, uid, gid, dir_fd=folder_fd, follow_symlinks=False)
        os.utime(name, ns=times, dir_fd=folder_fd, follow_symlinks=False)

    def _owner(self, found: os.stat_result, fd: int = -1) -> tuple[int, int]:
        """Whose a copy is: the source's, open as `fd`, only when --chown does not say."""
        if self.how.owner is not None:
            return self.how.owner
        if not self.how.is_image:
            return (0, 0)
        return owners.of_open(fd) if self._records and fd >= 0 else owners.of(found)


def _create(folder_fd: int, name: str, mode: int) -> int:
    """A new file, in the place of whatever is there but a directory."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        return os.open(name, flags, mode, dir_fd=folder_fd)
    except FileExistsError:
        _clear(folder_fd, name)
        return os.open(name, flags, mode, dir_fd=folder_fd)


def _clear(folder_fd: int, name: str) -> None:
    """Make room for `name`; RootlessError when a directory is in the way."""
    try:
        os.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        raise RootlessError(
            f'cannot copy to "{name}": a directory is in the way',
            hint="remove the directory in an earlier step, or choose another destination",
        ) from None


def _open(folder_fd: int, path: str, *, follows: bool = False) -> int:
    """The file at `path`, or -1 when there is none; links are followed inside the root, or not."""
    flags = os.O_RDONLY | os.O_NONBLOCK
    try:
        if follows:
            return inroot.open_path(folder_fd, path, flags)
        return os.open(path, flags | os.O_NOFOLLOW, dir_fd=folder_fd)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR, ELOOP, ENXIO):
            return -1
        raise


def _pour(fd: int, target_fd: int, size: int) -> None:
    """At most `size` bytes of one regular file into another; a file may grow without an end."""
    while size > 0 and (content := os.read(fd, min(_CHUNK, size))):
        size -= len(content)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(target_fd, rest) :]


def _copy_xattrs(fd: int, target_fd: int) -> None:
    """Attributes of a file in an image; those the kernel refuses are dropped, as peers do."""
    for name in os.listxattr(fd):
        if name in (owners.ATTRIBUTE, permissions.ATTRIBUTE):  # that has been said of the copy
            continue
        try:
            os.setxattr(target_fd, name, os.getxattr(fd, name))
        except OSError:
            continue
