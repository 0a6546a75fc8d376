"""Trees of a store that is used with one id now and with a range of ids then.

With one id owners are recorded on the files, and the top of a tree of such files is marked
(`owners.mark`). Met where there are more ids, its files are given to whom they were recorded for,
in place, and the mark goes last: who is killed, or does it at the same time as another, does no
harm. The other way round nothing can be done: files of other ids are closed to who has one, so
that is an error.

Runs as (mapped) root. No link is followed: who shares a volume may put one anywhere.
"""

from __future__ import annotations

import os
import stat
from errno import ENODATA, ENOTSUP

from rootless import inroot, owners, permissions
from rootless.archive import xattrs
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Visit = Callable[[bytes, int, bytes, os.stat_result], None]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_RECORDS = (owners.KEY, permissions.KEY, xattrs.RECORD)
_SET_IDS = stat.S_ISUID | stat.S_ISGID


def fit(tree: str, *, recorded: bool) -> None:
    """Make a tree fit to be used here, where owners are `recorded` or not.

    RootlessError names a file of somebody else's, where there is nobody but root.
    """
    if not owners.can_be_given():  # this is a plan, made outside
        return
    if recorded:
        _walk(tree, _refuse_others(tree))
        owners.mark(tree)
    else:
        _walk(tree, _give)
        _remove(tree, owners.MARK)


def _refuse_others(tree: str) -> Visit:
    mine = owners.own()

    def visit(path: bytes, _fd: int, _name: bytes, status: os.stat_result) -> None:
        if (status.st_uid, status.st_gid) != mine:
            raise closed(f"{tree}/{os.fsdecode(path)}")

    return visit


def closed(path: str) -> RootlessError:
    """What is said of a file that only somebody with more ids can read."""
    return RootlessError(
        f"{path} belongs to another id: it was made with a range of ids, and there is one id here",
        hint="take another store (--root PATH), or do this where you have the ids it was made "
        "with: rootless doctor shows which there are",
    )


def _walk(tree: str, visit: Visit) -> None:
    """Call `visit` with path, directory, name and status of each; the top's name is b"."."""
    top = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    parents = inroot.Parents(top)
    try:
        visit(b".", top, b".", os.fstat(top))
        pending = [b"."]
        while pending:
            pending += _walk_one(pending.pop(), top, parents, visit)
    finally:
        parents.close()
        os.close(top)


def _walk_one(path: bytes, top: int, parents: inroot.Parents, visit: Visit) -> list[bytes]:
    """What is in one directory; those of it that are directories."""
    try:
        parent, name = (top, b".") if path == b"." else parents.of(path)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno in inroot.GONE:
            return []
        raise
    folders = []
    try:
        for child in map(os.fsencode, os.listdir(fd)):
            below = child if path == b"." else path + b"/" + child
            try:
                status = os.lstat(child, dir_fd=fd)
                visit(below, fd, child, status)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.append(below)
    finally:
        os.close(fd)
    return folders


def _give(_: bytes, folder: int, name: bytes, status: os.stat_result) -> None:
    """One file to whom it was recorded for, with what the kernel takes from it then."""
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        fd = os.open(name, _FILE, dir_fd=folder)
        try:
            return _give_open(fd)
        finally:
            os.close(fd)
    owner = owners.in_times(status)
    if owner is not None:
        os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
        times = (status.st_mtime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=folder, follow_symlinks=False)
    return None


def _give_open(fd: int) -> None:
    """What chown(2) takes away is recorded until it is there again: who is killed does no harm."""
    status, found = os.fstat(fd), xattrs.read(fd)
    if found.keys().isdisjoint(_RECORDS):
        return
    owner, mode = owners.of(status, found), permissions.of(status, found)
    capability = xattrs.told(found).get(xattrs.CAPABILITY)
    if owner != (status.st_uid, status.st_gid):
        if mode & _SET_IDS:
            permissions.record(fd, mode, mode & ~_SET_IDS)
            os.fchmod(fd, mode & ~_SET_IDS)
        if capability:
            os.setxattr(fd, xattrs.RECORD, capability)
        os.fchown(fd, *owner)
    os.fchmod(fd, mode)
    if capability:
        xattrs.write(fd, {xattrs.CAPABILITY: capability})
    for name in _RECORDS:
        _remove(fd, name)


def _remove(target: int | str, name: str | bytes) -> None:
    try:
        os.removexattr(target, name)
    except OSError as error:
        if error.errno not in (ENODATA, ENOTSUP):
            raise
