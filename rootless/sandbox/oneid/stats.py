"""stat(2) for a caller: the kernel's answer, but for files of which something is recorded.

Of most files nothing is, and then the kernel answers the caller itself. Runs in the answerer.
"""

from __future__ import annotations

import os
import stat
from errno import EFAULT
from struct import pack_into

from rootless import linux, owners, standins
from rootless.record import Record
from rootless.sandbox.oneid.caller import AT_FDCWD, CONTINUE, Caller

_MOST_READ = 256  # most names are shorter
_MOST_KNOWN = 64
_CARRY_ATTRIBUTES = (stat.S_IFREG, stat.S_IFDIR)
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH = 0x100, 0x1000
_ATTRIBUTES = frozenset((owners.ATTRIBUTE, standins.ATTRIBUTE))


class _Shape(Record):
    """Where an answer has the mode, the uid, which the gid follows, and a device's numbers."""

    mode: int
    uid: int
    device: int
    mode_format: str = "<I"


_STATX = _Shape(mode=28, uid=20, device=128, mode_format="<H")
_STAT = _Shape(24, 28, 40) if linux.MACHINE == "x86_64" else _Shape(16, 24, 32)
_SIZE = 144 if linux.MACHINE == "x86_64" else 128
"""Of struct stat."""


class Looks:
    """First looks, for answers that the kernel gives in the end, as it does for nearly all.

    A process's memory stays open, with what its root is, for it asks for many files: until it
    executes something else, when that memory is gone, or changes its root. What a look overlooks
    stays untrue, and nothing else: who has a record is looked up anew.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, tuple[int, int]]] = {}

    def forget(self) -> None:
        """Somebody changes their root."""
        for fd, _ in self._known.values():
            os.close(fd)
        self._known.clear()

    def is_recorded(self, caller: Caller, at: int, position: int, *, is_link: bool) -> bool:
        """Whether there is a record of what an argument names; of what is open where it is -1."""
        if position < 0:
            return _has_record(caller.place(at), is_link=False)
        name, root = self._name(caller, position)
        if not name:
            return False
        if root != Caller.shared:
            caller.share_root()
        if not name.startswith(b"/"):
            name = caller.place(at) + b"/" + name
        return _has_record(name, is_link=is_link)

    def _name(self, caller: Caller, position: int) -> tuple[bytes, tuple[int, int]]:
        """A name, and the root that it is looked up in. OSError."""
        address = caller.arguments[position]
        if address >> 63:
            raise OSError(EFAULT, "bad address")
        found = self._known.get(caller.pid)
        piece = os.pread(found[0], _MOST_READ, address) if found else b""
        if not piece:
            found = self._open(caller)
            piece = os.pread(found[0], _MOST_READ, address)
        assert found
        name, end, _ = piece.partition(b"\0")
        return (name if end else caller.path(position)), found[1]

    def _open(self, caller: Caller) -> tuple[int, tuple[int, int]]:
        if len(self._known) >= _MOST_KNOWN:
            self.forget()
        if old := self._known.pop(caller.pid, None):
            os.close(old[0])
        status = os.stat(f"{caller.pid}/root")
        fd = os.open(f"{caller.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        self._known[caller.pid] = found = (fd, (status.st_dev, status.st_ino))
        return found


def answer(caller: Caller, looks: Looks) -> int:
    """stat, lstat, fstat, newfstatat or statx."""
    try:
        at, position, is_link = _asked(caller)
        if not looks.is_recorded(caller, at, position, is_link=is_link):
            return CONTINUE
        if position < 0 and caller.name != "fstat" and caller.path(1):
            return CONTINUE  # there is a name, though none was needed: nobody does that
        fd = _open(caller, at, position, is_link=is_link)
    except OSError:
        return CONTINUE
    try:
        _tell(caller, fd)
    finally:
        os.close(fd)
    return 0


def _asked(caller: Caller) -> tuple[int, int, bool]:
    """The descriptor, the argument that names what is there, -1 for none, and whether a link is
    meant itself.
    """
    name = caller.name
    if name in ("stat", "lstat"):
        return AT_FDCWD, 0, name == "lstat"
    if name == "fstat":
        return caller.word(0), -1, False
    flags = caller.word(2 if name == "statx" else 3)
    if flags & _AT_EMPTY_PATH:
        return caller.word(0), -1, False
    return caller.word(0), 1, bool(flags & _AT_SYMLINK_NOFOLLOW)


def _has_record(name: bytes, *, is_link: bool) -> bool:
    if is_link:
        found = os.lstat(name)
        if stat.S_IFMT(found.st_mode) not in _CARRY_ATTRIBUTES:
            return owners.in_times(found) is not None
    return not _ATTRIBUTES.isdisjoint(os.listxattr(name, follow_symlinks=not is_link))


def _open(caller: Caller, at: int, position: int, *, is_link: bool) -> int:
    if position < 0:
        return caller.open_fd(at)
    return caller.open_path(at, caller.path(position), os.O_NOFOLLOW if is_link else 0)


def _tell(caller: Caller, fd: int) -> None:
    status, attributes = os.fstat(fd), _attributes(fd)
    if caller.name == "statx":
        target, shape, found = 4, _STATX, bytearray(linux.statx(fd, 0, caller.word(3)))
    else:
        target, shape = 2 if caller.name == "newfstatat" else 1, _STAT
        found = bytearray(linux.newfstatat(fd, _SIZE))
    pack_into("<II", found, shape.uid, *owners.of(status, attributes))
    if not status.st_size and (node := standins.meant(attributes)):
        kind = stat.S_IFCHR if node[0] == b"c" else stat.S_IFBLK
        pack_into(shape.mode_format, found, shape.mode, kind | stat.S_IMODE(status.st_mode))
        numbers = node[1] if shape is _STATX else (os.makedev(*node[1]), 0)
        pack_into("<II", found, shape.device, *numbers)
    caller.write(caller.arguments[target], bytes(found))


def _attributes(fd: int) -> dict[bytes, bytes]:
    """Those that say more than the kernel does."""
    path = f"self/fd/{fd}"
    names = _ATTRIBUTES.intersection(os.listxattr(path))
    return {os.fsencode(name): os.getxattr(path, name) for name in names}
