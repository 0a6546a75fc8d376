"""Whose a file is, where the ids of its owner do not exist: recorded on the file itself.

With one id every file of a user namespace belongs to root, and those of an ordinary user without
one stand for root's. The owner that was asked for is kept
where it stays with the file when that is renamed, linked, copied up by overlayfs or read by a later
command, and comes out in a layer's tar:

    files, directories    the attribute user.rootless.owner = "UID GID"
    links, pipes, …       the time of last access, 2³² + UID seconds and GID nanoseconds after 1970:
                          the kernel lets nothing else of them carry what is ours, and leaves a time
                          of last access alone that lies in the future

What is not true: whoever sets the times of a link forgets its owner, and a gid of a link has nine
digits. A record counts wherever it is met, also where there is a range of ids.

Runs as (mapped) root, in any process, also in the supervisor of a container. No link is followed.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ENODATA, ENOENT, ENOTSUP

from rootless import rung, userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ATTRIBUTE = "user.rootless.owner"
MARK = "user.rootless.ids"
"""Of the top of a tree in which owners are recorded: "recorded"."""
_RECORDED = b"recorded"
KEEP = 0xFFFFFFFF
"""As an id: let it be what it is, as -1 is for chown(2)."""
KEY = ATTRIBUTE.encode()
_SECOND = 10**9
_FIRST = 1 << 32
_CARRY_ATTRIBUTES = (stat.S_IFREG, stat.S_IFDIR)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def of(status: os.stat_result, attributes: Mapping[bytes, bytes] = {}) -> tuple[int, int]:
    """The owner of what has this status and, if it can have any, these attributes."""
    record = attributes.get(KEY)
    found = _parsed(record) if record else in_times(status)
    if found is None:
        return (status.st_uid, status.st_gid) if rung.current().is_root else (0, 0)
    return found


def in_times(status: os.stat_result) -> tuple[int, int] | None:
    """The owner that the times of a link, pipe, … tell, if they do."""
    second, gid = divmod(status.st_atime_ns, _SECOND)
    if _FIRST <= second < 2 * _FIRST and stat.S_IFMT(status.st_mode) not in _CARRY_ATTRIBUTES:
        return second - _FIRST, gid
    return None


def of_open(fd: int) -> tuple[int, int]:
    """The owner of an open file or directory."""
    return of(os.fstat(fd), _attributes(fd))


def of_name(name: bytes | str, status: os.stat_result, dir_fd: int | None) -> tuple[int, int]:
    """The owner of what has this name in a directory, and this status."""
    if stat.S_IFMT(status.st_mode) not in _CARRY_ATTRIBUTES:
        return of(status)
    fd = os.open(name, _OPEN, dir_fd=dir_fd)
    try:
        return of_open(fd)
    finally:
        os.close(fd)


def times(uid: int, gid: int, mtime: int) -> tuple[int, int]:
    """The times, in nanoseconds, to give a new link or pipe: they tell its owner if not root."""
    if (uid, gid) == (0, 0):
        return min(mtime, (_FIRST - 1) * _SECOND), mtime
    if gid >= _SECOND:
        raise OSError(EINVAL, "the owner of a link cannot be recorded")
    return (_FIRST + uid) * _SECOND + gid, mtime


def are_recorded() -> bool:
    """Whether this process has one id, or none but its own, so that owners must be recorded."""
    return not userns.current().is_range


def can_be_given() -> bool:
    """Whether this process gives owners to files, or records them: who plans does neither."""
    return os.geteuid() == 0 or not rung.current().is_root


def mark(tree: str) -> None:
    """Let a tree that is made here say so, if its owners are recorded. RootlessError."""
    if not are_recorded():
        return
    try:
        os.setxattr(tree, MARK, _RECORDED)
    except OSError as error:
        if error.errno != ENOTSUP:
            raise
        from rootless import complaints

        raise complaints.explain_attributes(error) from None


def is_marked(tree: str) -> bool:
    """Whether owners are recorded in this tree, which the store has."""
    try:
        return os.getxattr(tree, MARK) == _RECORDED
    except OSError as error:
        if error.errno in (ENODATA, ENOTSUP, ENOENT):  # the last in a plan
            return False
        raise


def check(uid: int, gid: int) -> None:
    """Whether something may belong to these ids here; RootlessError when not."""
    ids = userns.current()
    if ids.is_range and not ids.has(uid, gid):
        from rootless import complaints

        raise complaints.explain_unmapped(uid, gid)


def give(
    target: int | bytes | str,
    uid: int,
    gid: int,
    *,
    dir_fd: int | None = None,
    recorded: bool | None = None,
) -> None:
    """chown(2) of an open file or of a name, and where there is one id, the record of it.

    `recorded` is what `are_recorded` has said, for who can ask no more. OSError.
    """
    follow = isinstance(target, int)
    if not rung.current().is_root:
        recorded = True
    if recorded is None:
        try:
            os.chown(target, uid, gid, dir_fd=dir_fd, follow_symlinks=follow)
            return _renew(target, uid, gid) if dir_fd is None else None
        except OSError as error:
            if error.errno != EINVAL or not are_recorded():
                raise
    elif not recorded:
        return os.chown(target, uid, gid, dir_fd=dir_fd, follow_symlinks=follow)
    # The kernel's own, too: it takes setuid bits and capabilities from a file that is given away.
    os.chown(target, *own(), dir_fd=dir_fd, follow_symlinks=follow)
    if isinstance(target, int):
        return record(target, uid, gid)
    status = os.stat(target, dir_fd=dir_fd, follow_symlinks=False)
    if stat.S_IFMT(status.st_mode) in _CARRY_ATTRIBUTES:
        fd = os.open(target, _OPEN, dir_fd=dir_fd)
        try:
            return record(fd, uid, gid)
        finally:
            os.close(fd)
    new = times(*_kept(of(status), uid, gid), status.st_mtime_ns)
    os.utime(target, ns=new, dir_fd=dir_fd, follow_symlinks=False)
    return None


def give_as(path: str, status: os.stat_result) -> None:
    """Let a copy belong to whom its original does; to us where that cannot be. OSError."""
    try:
        os.chown(path, status.st_uid, status.st_gid, follow_symlinks=False)
    except OSError as error:
        if error.errno != EINVAL and rung.current().is_root:
            raise


def own() -> tuple[int, int]:
    """Whom the files belong to that have a record."""
    return os.geteuid(), os.getegid()


def give_node(path: str, status: os.stat_result, uid: int, gid: int) -> None:
    """Note whose a link, pipe, … is, at a link of /proc that means it. OSError."""
    os.chown(path, *own())
    os.utime(path, ns=times(*_kept(of(status), uid, gid), status.st_mtime_ns))


def give_open(path_fd: int, status: os.stat_result, uid: int, gid: int) -> None:
    """Note whose a file is that is open as O_PATH, where there is one id. OSError."""
    path = f"/proc/self/fd/{path_fd}"
    if stat.S_IFMT(status.st_mode) not in _CARRY_ATTRIBUTES:
        return give_node(path, status, uid, gid)
    fd = os.open(path, _OPEN & ~os.O_NOFOLLOW)
    try:
        return give(fd, uid, gid, recorded=True)
    finally:
        os.close(fd)


def record(fd: int, uid: int, gid: int) -> None:
    """Note whose an open file or directory is; root is nobody to be noted. OSError."""
    found = _attributes(fd)
    uid, gid = _kept(_parsed(found.get(KEY, b"")) or (0, 0), uid, gid)
    if (uid, gid) != (0, 0):
        os.setxattr(fd, ATTRIBUTE, b"%d %d" % (uid, gid))
    elif found:
        os.removexattr(fd, ATTRIBUTE)


def _renew(target: int | bytes | str, uid: int, gid: int) -> None:
    """What was recorded of it, now that these ids, which exist, have been given to it."""
    follow = isinstance(target, int)
    try:
        record = os.getxattr(target, ATTRIBUTE, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in (ENODATA, ENOTSUP):
            raise
        return
    owner = _kept(_parsed(record) or (0, 0), uid, gid)
    if owner == (0, 0) or not are_recorded():
        os.removexattr(target, ATTRIBUTE, follow_symlinks=follow)
    else:
        os.setxattr(target, ATTRIBUTE, b"%d %d" % owner, follow_symlinks=follow)


def _kept(now: tuple[int, int], uid: int, gid: int) -> tuple[int, int]:
    return (now[0] if uid in (KEEP, -1) else uid), (now[1] if gid in (KEEP, -1) else gid)


def _attributes(fd: int) -> dict[bytes, bytes]:
    try:
        return {KEY: os.getxattr(fd, ATTRIBUTE)}
    except OSError as error:
        if error.errno in (ENODATA, ENOTSUP):
            return {}
        raise


def _parsed(text: bytes) -> tuple[int, int] | None:
    """What a record says; None for one that nobody of ours wrote."""
    numbers = text.split(b" ")
    if len(numbers) != 2 or not all(one.isdigit() and len(one) < 11 for one in numbers):
        return None
    uid, gid = int(numbers[0]), int(numbers[1])
    return (uid, gid) if max(uid, gid) < KEEP else None
