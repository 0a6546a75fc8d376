"""stat(2) for a caller: the kernel's answer, but for files of which something is recorded.

Of most files nothing is, and then the kernel answers the caller itself. Runs in the answerer.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL

from rootless import linux, owners
from rootless.sandbox.oneid.caller import AT_FDCWD, CONTINUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.oneid.caller import Caller

_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_UID_IN_STATX = 20
# struct stat: its size, and where its st_uid is, before st_gid
_SIZE, _UID = (144, 28) if linux.MACHINE == "x86_64" else (128, 24)


def answer(caller: Caller) -> int:
    """stat, lstat, fstat, newfstatat or statx."""
    try:
        at, path, is_link = _asked(caller)
        if not _is_recorded(caller, at, path, is_link=is_link):
            return CONTINUE
        fd = _open(caller, at, path, is_link=is_link)
    except OSError:
        return CONTINUE
    try:
        _tell(caller, fd)
    finally:
        os.close(fd)
    return 0


def _asked(caller: Caller) -> tuple[int, bytes, bool]:
    """The descriptor, the name from there, b"" for none, and whether a link is meant itself."""
    if caller.name in ("stat", "lstat"):
        return AT_FDCWD, caller.path(0), caller.name == "lstat"
    if caller.name == "fstat":
        return caller.word(0), b"", False
    flags = caller.word(2 if caller.name == "statx" else 3)
    path = caller.path(1)
    if not path and not flags & _AT_EMPTY_PATH:
        raise OSError(EINVAL, "no name")
    return caller.word(0), path, bool(flags & _AT_SYMLINK_NOFOLLOW)


def _is_recorded(caller: Caller, at: int, path: bytes, *, is_link: bool) -> bool:
    """A first look, for an answer that the kernel gives in the end."""
    name = path
    if path:
        caller.share_root()
    if not path.startswith(b"/"):
        name = caller.place(at) + (b"/" + path if path else b"")
    try:
        os.getxattr(name, owners.ATTRIBUTE, follow_symlinks=not (is_link and path))
    except OSError:
        if not is_link:
            return False
        return owners.in_times(os.lstat(name)) is not None
    return True


def _open(caller: Caller, at: int, path: bytes, *, is_link: bool) -> int:
    if not path:
        return caller.open_fd(at)
    return caller.open_path(at, path, os.O_NOFOLLOW if is_link else 0)


def _tell(caller: Caller, fd: int) -> None:
    uid, gid = _owner(fd)
    ids = uid.to_bytes(4, "little") + gid.to_bytes(4, "little")
    if caller.name == "statx":
        found, start, target = linux.statx(fd, 0, caller.word(3)), _UID_IN_STATX, 4
    else:
        found, start = linux.newfstatat(fd, _SIZE), _UID
        target = 2 if caller.name == "newfstatat" else 1
    caller.write(caller.arguments[target], found[:start] + ids + found[start + 8 :])


def _owner(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    if stat.S_IFMT(status.st_mode) in (stat.S_IFREG, stat.S_IFDIR):
        record = os.getxattr(f"self/fd/{fd}", owners.ATTRIBUTE)
        return owners.of(status, {os.fsencode(owners.ATTRIBUTE): record})
    return owners.of(status)
