"""Times of what a step has made: nothing in its layer tells when that was.

Done before anybody sees the layer: a command that compares times finds the same ones in every
build. Runs in the builder on a directory that nobody changes any more.
"""

from __future__ import annotations

import os
import stat
from errno import ENAMETOOLONG

from rootless import inroot, owners
from rootless.record import Record

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NANO = 10**9
_NEVER = 1 << 64
_TICK = 20_000_000  # ns by which the clock of files may lag behind


class Clamp(Record):
    """What was made since `started` (ns), or is newer than `latest`, gets the time `moment`; both
    in seconds. With `folders_only` files have the right time already.
    """

    moment: int
    started: int
    latest: int | None = None
    folders_only: bool = False


def clamp(directory: str, how: Clamp) -> None:
    """Do that to everything below `directory`, and to itself."""
    root_fd = os.open(directory, _DIRECTORY)
    parents = inroot.Parents(root_fd)
    clamping = _Clamping(parents, how)
    try:
        pending = [b"."]
        while pending:
            pending += clamping.folder(pending.pop(), folders_only=how.folders_only)
        clamping.entry(".", os.fstat(root_fd), root_fd)
    finally:
        parents.close()
        os.close(root_fd)


class _Clamping:
    def __init__(self, parents: inroot.Parents, how: Clamp) -> None:
        self._parents = parents
        self._limit = _NEVER if how.latest is None else (how.latest + 1) * _NANO
        self._since = how.started - _TICK
        self._moment = how.moment * _NANO

    def folder(self, path: bytes, *, folders_only: bool) -> list[bytes]:
        """What is in a folder; the folders in it are returned."""
        inner = []
        prefix = b"" if path == b"." else path + b"/"
        try:
            parent, last = self._parents.of(path)
        except OSError as error:
            if error.errno != ENAMETOOLONG:
                raise
            return []  # no layer can hold it, as whoever packs it will say
        fd = os.open(last, _DIRECTORY, dir_fd=parent)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder:
                        inner.append(prefix + os.fsencode(entry.name))
                    if is_folder or not folders_only:
                        self.entry(entry.name, entry.stat(follow_symlinks=False), fd)
        finally:
            os.close(fd)
        return inner

    def entry(self, name: str, found: os.stat_result, at: int) -> None:
        """One file or folder; a whiteout, which has no time in a layer, is left alone."""
        if found.st_mtime_ns < self._limit and found.st_mtime_ns < self._since:
            return
        if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
            times = (self._moment, self._moment)
        elif stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            return
        else:
            times = owners.times(*(owners.in_times(found) or (0, 0)), self._moment)
        os.utime(name, ns=times, dir_fd=at, follow_symlinks=False)
