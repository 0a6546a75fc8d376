"""Files that a caller makes: recorded as another's where the caller is not root; devices by anyone.

What root makes the kernel makes. Else it is made here, in a directory that is looked up as the
caller, under a name that is not there, and recorded before anybody can have it open. Runs in the
answerer.
"""

from __future__ import annotations

import os
import stat
from errno import EPERM

from rootless import owners, standins
from rootless.record import Record
from rootless.sandbox.oneid.caller import AT_FDCWD, CONTINUE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.sandbox.oneid.caller import Caller
    from rootless.sandbox.oneid.credentials import Credentials

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_FILE = os.O_PATH | os.O_DIRECTORY
_CREATED = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
_DEVICES = {stat.S_IFCHR: b"c", stat.S_IFBLK: b"b"}


class Place(Record):
    """Where a caller wants something new: a name in an open directory, and whose it is to be."""

    caller: Caller
    parent: int
    name: bytes
    umask: int
    owner: tuple[int, int]


def answer(caller: Caller, now: Credentials) -> int:
    """open, openat, creat, mkdir, mkdirat, symlink, symlinkat, mknod or mknodat."""
    kind, at, rest = _asked(caller)
    make: Callable[[Place], int] | None = None
    if kind == "mknod":
        make = _device_maker(caller.word(rest + 1), caller.word(rest + 2), now)
    if make is None and (now.uids[1], now.gids[1]) == (0, 0):
        return CONTINUE
    path = caller.path(rest)
    make = make or _maker(caller, kind, rest)
    if make is None or (path.endswith(b"/") and kind != "mkdir"):
        return CONTINUE
    try:
        parent, name = caller.open_parent(at, path)
    except OSError:
        return CONTINUE  # the kernel finds the words
    try:
        return make(Place(caller, parent, name, caller.umask(), _owner(now, parent)))
    finally:
        os.close(parent)


def _asked(caller: Caller) -> tuple[str, int, int]:
    """What kind of call it is, from which directory, and which of its arguments is the name."""
    if caller.name in ("symlink", "symlinkat"):
        is_at = caller.name == "symlinkat"
        return "symlink", caller.word(1) if is_at else AT_FDCWD, 1 + is_at
    if caller.name in ("openat", "mkdirat", "mknodat"):
        return caller.name.removesuffix("at"), caller.word(0), 1
    return caller.name, AT_FDCWD, 0


def _maker(caller: Caller, kind: str, rest: int) -> Callable[[Place], int] | None:
    """Who makes it; None for the kernel."""
    if kind == "symlink":
        target = caller.path(0)
        return lambda place: _link(place, target)
    second = caller.word(rest + 1)
    if kind == "mkdir":
        return lambda place: _folder(place, second)
    if kind == "mknod":
        return lambda place: _node(place, second)
    if kind == "creat":
        return lambda place: _file(place, _CREATED, second)
    mode = caller.word(rest + 2)
    return None if second & _NO_FILE else lambda place: _file(place, second, mode)


def _device_maker(mode: int, device: int, now: Credentials) -> Callable[[Place], int] | None:
    """Who makes a device; None for what is none, or a whiteout, which is the kernel's."""
    if stat.S_IFMT(mode) not in _DEVICES or not device:
        return None
    if not now.is_root:
        raise OSError(EPERM, "only root makes devices")
    return lambda place: _device(place, mode, device)


def _owner(now: Credentials, parent: int) -> tuple[int, int]:
    """Whose a new file in a directory is: a setgid one has its group for all in it."""
    if not os.fstat(parent).st_mode & stat.S_ISGID:
        return now.uids[1], now.gids[1]
    fd = os.open(f"self/fd/{parent}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return now.uids[1], owners.of_open(fd)[1]
    finally:
        os.close(fd)


def _file(place: Place, flags: int, mode: int) -> int:
    """One that is there already the kernel opens, or says so."""
    new = (flags & ~os.O_TRUNC) | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(place.name, new, mode & 0o7777 & ~place.umask, dir_fd=place.parent)
    except FileExistsError:
        return CONTINUE
    try:
        owners.record(fd, *place.owner)
        return place.caller.give_fd(fd, flags)
    finally:
        os.close(fd)


def _folder(place: Place, mode: int) -> int:
    os.mkdir(place.name, mode & 0o1777 & ~place.umask, dir_fd=place.parent)
    fd = os.open(place.name, _DIRECTORY, dir_fd=place.parent)
    try:
        owners.record(fd, *place.owner)
    finally:
        os.close(fd)
    return 0


def _link(place: Place, target: bytes) -> int:
    os.symlink(target, place.name, dir_fd=place.parent)
    owners.give(place.name, *place.owner, dir_fd=place.parent, recorded=True)
    return 0


def _node(place: Place, mode: int) -> int:
    """A pipe, a socket, or a file."""
    os.mknod(place.name, mode & ~place.umask, dir_fd=place.parent)
    owners.give(place.name, *place.owner, dir_fd=place.parent, recorded=True)
    return 0


def _device(place: Place, mode: int, device: int) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(place.name, flags, mode & 0o7777 & ~place.umask, dir_fd=place.parent)
    try:
        numbers = (os.major(device), os.minor(device))
        standins.mark(fd, _DEVICES[stat.S_IFMT(mode)], numbers)
        owners.record(fd, *place.owner)
    finally:
        os.close(fd)
    return 0
