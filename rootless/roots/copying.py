"""One file or directory made again elsewhere: content, owner, mode, attributes and time.

Where the file system can, contents are shared until one of them is written (reflinks). Both paths
lie in directories that nobody else changes meanwhile; a last name that is a link is copied as one.
Runs as root of the ids that the files have, or as the user whom all belong to, with no umask. A
crash leaves what was made so far.
"""

from __future__ import annotations

import fcntl
import os
import stat
from errno import EXDEV

from rootless import owners
from rootless.archive import xattrs
from rootless.errors import RootlessError

_FICLONE = 0x40049409
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 24
_SPECIAL_BITS = 0o7000


class Copier:
    """Copies entries of one tree; names of one file there are names of one file here.

    With `linked`, all that are no directories are the very files of the source: to be read only.
    Where others are `changing` them, one that shrinks is as long as it is.
    """

    def __init__(self, *, linked: bool = False, changing: bool = False) -> None:
        self._linked = linked
        self._changing = changing
        self._reflinks = True
        self._links: dict[tuple[int, int], bytes] = {}

    def entry(self, source: bytes, target: bytes, status: os.stat_result) -> None:
        """Copy what is no directory and no socket; nothing may be at `target`. OSError."""
        if self._linked:
            os.link(source, target, follow_symlinks=False)
            return
        if status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), target)
            if first is not target:
                os.link(first, target, follow_symlinks=False)
                return
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._file(source, target, status)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(source), target)
            _stamp(target, status)
        elif kind == stat.S_IFIFO:
            os.mkfifo(target, stat.S_IMODE(status.st_mode))
            _stamp(target, status)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            os.mknod(target, status.st_mode, status.st_rdev)
            _stamp(target, status)

    def _file(self, source: bytes, target: bytes, status: os.stat_result) -> None:
        read_fd = os.open(source, _READ)
        try:
            write_fd = os.open(target, _NEW, stat.S_IMODE(status.st_mode))
            try:
                if status.st_size:
                    self._content(read_fd, write_fd, status.st_size)
                if status.st_uid or status.st_gid:
                    os.fchown(write_fd, status.st_uid, status.st_gid)
                if status.st_mode & _SPECIAL_BITS:
                    os.fchmod(write_fd, stat.S_IMODE(status.st_mode))
                xattrs.copy(read_fd, write_fd)
                os.utime(write_fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
            finally:
                os.close(write_fd)
        finally:
            os.close(read_fd)

    def _content(self, read_fd: int, write_fd: int, size: int) -> None:
        if self._reflinks:
            try:
                fcntl.ioctl(write_fd, _FICLONE, read_fd)
            except OSError:  # this file system has none
                self._reflinks = False
            else:
                return
        left = size
        while left > 0:
            copied = _some(read_fd, write_fd, min(left, _CHUNK))
            if not copied and self._changing:
                return
            if not copied:
                raise RootlessError("a file shrank while it was copied")
            left -= copied


def _some(read_fd: int, write_fd: int, size: int) -> int:
    try:
        return os.copy_file_range(read_fd, write_fd, size)
    except OSError as error:
        if error.errno != EXDEV:
            raise
        return os.sendfile(write_fd, read_fd, None, size)


def dress(target: bytes, status: os.stat_result, attributes: dict[bytes, bytes]) -> None:
    """Give a directory what another has, but for its time, which comes when it is full."""
    now = os.lstat(target)
    if (now.st_uid, now.st_gid) != (status.st_uid, status.st_gid):
        os.chown(target, status.st_uid, status.st_gid)
    if now.st_mode != status.st_mode:
        os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in xattrs.read(target).keys() - attributes.keys():  # what a lower layer has said of it
        os.removexattr(target, name)
    xattrs.pass_on(attributes, target)


def stamp(target: bytes, nanoseconds: int) -> None:
    """The time when it was last changed."""
    os.utime(target, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def _stamp(target: bytes, status: os.stat_result) -> None:
    """Of what has no descriptor."""
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    times = owners.times(*(owners.in_times(status) or (0, 0)), status.st_mtime_ns)
    os.utime(target, ns=times, follow_symlinks=False)
