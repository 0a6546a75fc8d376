"""Whole trees taken away: of any depth, by descriptors, and nothing that lies outside.

Each directory is opened by its name in the one above, through no link and into no mount, and left
by its `..`, which must be the one that was come from: where somebody moves directories meanwhile, a
new walk begins at the top. So one descriptor is enough, and no path is too long. What has gone
meanwhile is no error. Runs in any process and namespace; a crash leaves a part of the tree.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import linux

_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WITHIN = linux.RESOLVE_NO_XDEV | linux.RESOLVE_NO_SYMLINKS
_WALKS = 8  # of which one is enough where nobody adds anything
_NOT_YET = (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR)
_ELSE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def remove(path: str | bytes, dir_fd: int | None = None) -> None:
    """Whatever is at `path`, if anything is. OSError for what cannot be taken away: EBUSY where
    something is mounted, ENOTEMPTY where somebody adds to it all the time.
    """
    parent, name = os.path.split(os.fsencode(path).rstrip(b"/"))
    try:
        at = os.open(parent or b".", _PLACE, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    try:
        for _ in range(_WALKS):
            if _is_gone(name, at):
                return
            _empty(name, at)
        if not _is_gone(name, at):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
    finally:
        os.close(at)


def _is_gone(name: bytes, at: int) -> bool:
    try:
        status = os.lstat(name, dir_fd=at)
    except FileNotFoundError:
        return True
    return _delete(name, at, is_folder=stat.S_ISDIR(status.st_mode))


def _delete(name: str | bytes, at: int, *, is_folder: bool) -> bool:
    """A file, or an empty directory; False where it is something else."""
    try:
        (os.rmdir if is_folder else os.unlink)(name, dir_fd=at)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in _NOT_YET:
            raise
        return False
    return True


def _empty(name: bytes, at: int) -> None:
    """One walk through the directory `name` that deletes all that it finds."""
    fd = _enter(name, at)
    if fd < 0:
        return
    try:
        above: list[tuple[str, list[str], tuple[int, int]]] = []  # of each directory on the way
        folders, here = _clear(fd), _identity(fd)
        while folders or above:
            if folders:
                inner = _enter(folders[-1], fd)
                inside = folders.pop()
                if inner < 0:
                    continue
                above.append((inside, folders, here))
                fd = _exchange(fd, inner)
                folders, here = _clear(fd), _identity(fd)
            else:
                inside, folders, here = above.pop()
                fd = _exchange(fd, os.open("..", _FOLDER, dir_fd=fd))
                if _identity(fd) != here:
                    return
                _delete(inside, fd, is_folder=True)
    finally:
        os.close(fd)


def _exchange(fd: int, other: int) -> int:
    os.close(fd)
    return other


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _clear(fd: int) -> list[str]:
    """Delete what is in a directory; the names of directories that have something in them."""
    with os.scandir(fd) as found:
        entries = [(one.name, one.is_dir(follow_symlinks=False)) for one in found]
    return [name for name, is_folder in entries if not _delete(name, fd, is_folder=is_folder)]


def _enter(name: str | bytes, at: int) -> int:
    """Open a directory, with the permission to empty it; -1 where there is none any more."""
    try:
        try:
            fd = linux.openat2(at, name, _FOLDER, _WITHIN)
        except OSError as error:
            if error.errno != errno.EACCES:
                raise
            _permit(name, at)
            fd = linux.openat2(at, name, _FOLDER, _WITHIN)
    except OSError as error:
        if error.errno in _ELSE:
            return -1
        if error.errno == errno.EXDEV:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name) from None
        raise
    mode = os.fstat(fd).st_mode
    if mode & 0o700 != 0o700:  # which hinders those who have no capabilities
        try:
            os.fchmod(fd, 0o700)
        except PermissionError:
            pass
    return fd


def _permit(name: str | bytes, at: int) -> None:
    fd = linux.openat2(at, name, _PLACE, _WITHIN)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o700)
    finally:
        os.close(fd)
