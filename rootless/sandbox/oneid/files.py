"""chown(2) and mknod(2) for a caller: looked up as the caller, recorded on the file.

Runs in the answerer, in its own /proc, with the caller's root for its root.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ENOTSUP

from rootless import owners, permissions
from rootless.sandbox.oneid import credentials
from rootless.sandbox.oneid.caller import AT_FDCWD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.oneid.caller import Caller
    from rootless.sandbox.oneid.credentials import Credentials

_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_CARRY_ATTRIBUTES = (stat.S_IFREG, stat.S_IFDIR)
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_LINKS = (b"/proc/self/fd/", b"/dev/fd/")
_STREAMS = {b"/dev/stdin": 0, b"/dev/stdout": 1, b"/dev/stderr": 2}


def chown(caller: Caller, now: Credentials) -> int:
    """chown, lchown, fchown or fchownat."""
    fd, uid, gid = _asked(caller)
    try:
        _give(fd, uid, gid, now)
    finally:
        os.close(fd)
    return 0


def _asked(caller: Caller) -> tuple[int, int, int]:
    """What is to be given away, as an O_PATH descriptor, and to whom."""
    word = caller.word
    if caller.name == "fchown":
        return caller.open_fd(word(0)), word(1), word(2)
    if caller.name == "fchownat":
        return _asked_at(caller), word(2), word(3)
    is_link = caller.name == "lchown"
    return _open(caller, AT_FDCWD, caller.path(0), is_link=is_link), word(1), word(2)


def _asked_at(caller: Caller) -> int:
    flags = caller.word(4)
    if flags & ~(_AT_SYMLINK_NOFOLLOW | _AT_EMPTY_PATH):
        raise OSError(EINVAL, os.strerror(EINVAL))
    path = caller.path(1)
    if not path and flags & _AT_EMPTY_PATH:
        return caller.open_fd(caller.word(0))
    return _open(caller, caller.word(0), path, is_link=bool(flags & _AT_SYMLINK_NOFOLLOW))


def _open(caller: Caller, at: int, path: bytes, *, is_link: bool) -> int:
    """The usual names of what the caller has open mean that, which no path of ours leads to."""
    folder, _, number = path.rpartition(b"/")
    if path in _STREAMS and not is_link:
        return caller.open_fd(_STREAMS[path])
    if folder + b"/" in _OPEN_LINKS and number.isdigit() and not is_link:
        return caller.open_fd(int(number[:9]))
    return caller.open_path(at, path, os.O_NOFOLLOW if is_link else 0)


def _give(fd: int, uid: int, gid: int, now: Credentials) -> None:
    status = os.fstat(fd)
    name = f"self/fd/{fd}"
    if stat.S_IFMT(status.st_mode) not in _CARRY_ATTRIBUTES:
        credentials.may_give(now, owners.of(status), uid, gid)
        return owners.give_node(name, status, uid, gid)
    mode = stat.S_IMODE(status.st_mode)
    lacking = permissions.file(mode) & ~mode
    if lacking:
        os.chmod(name, mode | lacking)
    opened = os.open(name, _READ)
    try:
        if not now.is_root:
            credentials.may_give(now, owners.of_open(opened), uid, gid)
        owners.give(opened, uid, gid, recorded=True)
    except OSError as error:
        if error.errno != ENOTSUP:
            raise
    finally:
        if lacking:
            mode = stat.S_IMODE(os.fstat(opened).st_mode)  # without what chown(2) takes away
            os.fchmod(opened, mode & ~lacking)
        os.close(opened)
    return None
