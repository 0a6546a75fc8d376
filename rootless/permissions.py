"""Which mode a file has, where having it would lock us out: recorded on the file itself.

Root reads a file of mode 0000 and makes files in a directory of mode 0555. An ordinary user, whom
all files of the store belong to, does neither. There each is given a mode that lets its owner in,
and the one that was asked for is kept beside it, as owners are (`owners`), and comes out in a
layer's tar:

    user.rootless.mode = "ASKED GIVEN", in octal

It counts as long as the file has the mode that was given: who changes that has changed it. What is
not true: a command that gives a file the very mode that it was given is not seen to. Links and
pipes have their own modes; nobody needs to open them.

Runs in any process. No link is followed.
"""

from __future__ import annotations

import os
import stat
from errno import ENODATA, ENOTSUP

from rootless import rung

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ATTRIBUTE = "user.rootless.mode"
KEY = ATTRIBUTE.encode()
_ALL = 0o7777
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def of(status: os.stat_result, attributes: Mapping[bytes, bytes] = {}) -> int:
    """The permission bits of what has this status and, if it can have any, these attributes."""
    given = status.st_mode & _ALL
    record = attributes.get(KEY)
    return _asked(record, given) if record else given


def of_open(fd: int) -> int:
    """The permission bits of an open file or directory."""
    try:
        return of(os.fstat(fd), {KEY: os.getxattr(fd, ATTRIBUTE)})
    except OSError as error:
        if error.errno not in (ENODATA, ENOTSUP):
            raise
        return of(os.fstat(fd))


def are_limited() -> bool:
    """Whether modes can lock us out, and we can give no capabilities: we are root nowhere."""
    return not rung.current().is_root


def file(mode: int) -> int:
    """What to make a file with that is to have this mode: we can read and mark it."""
    return mode | 0o600 if are_limited() else mode


def folder(mode: int) -> int:
    """What to make a directory with that is to have this mode: we can work in it."""
    return mode | 0o700 if are_limited() else mode


def are_wide(mode: int, *, is_folder: bool) -> bool:
    """Whether this mode needs no record here."""
    return (folder(mode) if is_folder else file(mode)) == mode


def give(fd: int, mode: int) -> None:
    """Give an open file or directory these permission bits, or what stands for them. OSError.

    A change nobody sees costs a transaction of the file system's journal: looking is cheaper.
    """
    now = os.fstat(fd).st_mode
    given = folder(mode) if stat.S_ISDIR(now) else file(mode)
    if now & _ALL != given:
        os.fchmod(fd, given)
    if given != mode:
        record(fd, mode, given)
    elif are_limited():
        try:
            os.removexattr(fd, ATTRIBUTE)
        except OSError as error:
            if error.errno not in (ENODATA, ENOTSUP):
                raise


def record(fd: int, asked: int, given: int) -> None:
    """Note which mode an open file is to have while it has the one that is `given`. OSError."""
    os.setxattr(fd, ATTRIBUTE, b"%o %o" % (asked, given))


def give_name(path: bytes | str, mode: int) -> None:
    """The same for what is at a path, and no link. OSError."""
    if not (are_limited() and _carries(os.lstat(path))):
        return os.chmod(path, mode)
    fd = os.open(path, _OPEN)
    try:
        return give(fd, mode)
    finally:
        os.close(fd)


def open_up(path: bytes, status: os.stat_result) -> os.stat_result:
    """Let ourselves in where a command has locked us out of what is ours; how it is then."""
    mode = status.st_mode & _ALL
    is_folder = stat.S_ISDIR(status.st_mode)
    if not _carries(status) or are_wide(mode, is_folder=is_folder):
        return status
    os.chmod(path, mode | (0o700 if is_folder else 0o600))
    fd = os.open(path, _OPEN)
    try:
        give(fd, mode)
    finally:
        os.close(fd)
    return os.lstat(path)


def _carries(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)


def _asked(record: bytes, given: int) -> int:
    """What a record says of a file that has the mode `given`; none of ours says nothing."""
    try:
        asked, then = (int(one, 8) for one in record.split(b" "))
    except ValueError:
        return given
    return asked if then == given and 0 <= asked <= _ALL else given
