"""Linux system calls that `os` lacks, each under its own name, typed, without policy.

Calls go through `_ctypes`, which takes a third of the time that importing `ctypes` does, and keep
the GIL (FUNCFLAG_PYTHONAPI), which makes a raw `clone` safe in a process with one thread. A failure
is a SyscallError that names the call and what it was given; on a machine whose numbers are not
known here, calls that `libc` has no name for are refused. Constants are spelled as in the kernel's
headers. Usable in any process and namespace, also between clone and exec: nothing is imported after
this module.
"""

from __future__ import annotations

import _ctypes
import os
import sys
from errno import EAGAIN

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC = 32, 4096, 16384
MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 18, 1 << 19, 1 << 20
MNT_DETACH = 2

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x8000000, 0x10000000, 0x20000000
CLONE_NEWNET, CLONE_FILES, CLONE_PARENT = 0x40000000, 0x400, 0x8000

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 1, 2, 4
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 8, 16
RENAME_EXCHANGE = 2
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE = 1
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 0, 1, 6
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 4, 0x40

PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 3, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 36, 38, 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 8, 32


class _Int(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Unsigned(_ctypes._SimpleCData):  # type: ignore[type-arg]
    """An argument as wide as a register; a plain int is passed as a C int."""

    _type_ = "L"


class _Short(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "H"


class _Bytes(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "z"


class _Byte(_ctypes._SimpleCData):  # type: ignore[type-arg]
    _type_ = "c"


class _Buffer(_ctypes.Array):  # type: ignore[type-arg]
    """What the kernel writes into."""

    _type_ = _Byte
    _length_ = 4096


class _Program(_ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", _Short), ("filter", _Bytes))


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_USE_ERRNO
    _restype_ = _Int


class _Library:
    """The functions of the C library, each looked up when it is first called."""

    def __init__(self) -> None:
        self._handle = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> _Function:
        function = _Function(_ctypes.dlsym(self._handle, name))
        setattr(self, name, function)
        return function


# On 64-bit machines. Numbers from 424 on are the same on all of these.
_GENERIC = {
    **{"clone": 220, "keyctl": 219, "pivot_root": 41, "seccomp": 277},
    **{"newfstatat": 79, "statx": 291, "renameat2": 276},
}
_OWN_NUMBERS = {
    "x86_64": {
        **{"clone": 56, "keyctl": 250, "pivot_root": 155, "seccomp": 317},
        **{"newfstatat": 262, "statx": 332, "renameat2": 316},
    },
    "aarch64": _GENERIC,
    "riscv64": _GENERIC,
}
_SHARED_NUMBERS = {
    **{"open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432},
    **{"close_range": 436, "openat2": 437, "mount_setattr": 442},
    **{"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446},
}
MACHINES = tuple(_OWN_NUMBERS)
"""The machines, as uname(2) names them, whose numbers of system calls are known."""

_WIDTH = 8 * _ctypes.sizeof(_Unsigned)  # a 32-bit Python on a 64-bit kernel counts otherwise
MACHINE = os.uname().machine if _WIDTH == 64 else f"{_WIDTH}-bit {os.uname().machine}"

_RACES = 1000  # of which openat2 loses one in two hundred beside a process that only renames

_libc = _Library()
_PAGE = 4096
_READ = _Buffer()
_READ_INTO = _ctypes.addressof(_READ).to_bytes(8, sys.byteorder) + _PAGE.to_bytes(8, sys.byteorder)
_ONE = (_Unsigned(1), _Unsigned(0))

Path = str | bytes


class SyscallError(OSError):
    """A system call that failed: `syscall` is its name, `errno` the reason, `what` its objects.

    It can be pickled, so a child may send it to its parent.
    """

    def __init__(self, number: int, syscall: str, what: str) -> None:
        super().__init__(number, os.strerror(number))
        self.syscall = syscall
        self.what = what

    def __reduce__(self) -> tuple[type[SyscallError], tuple[int, str, str]]:
        assert self.errno is not None
        return type(self), (self.errno, self.syscall, self.what)

    def __str__(self) -> str:
        return f"{self.syscall} {self.what}: {self.strerror}".replace(" :", ":")


def number(syscall: str, machine: str = MACHINE) -> int:
    """The number of a system call; RootlessError on a machine where nobody has looked it up."""
    if machine not in _OWN_NUMBERS:
        raise RootlessError(
            f"the system call {syscall} has a number on {machine} that rootless does not know",
            hint=f"use a machine (and a Python) of one of these kinds: {', '.join(MACHINES)}",
        )
    own = _OWN_NUMBERS[machine]
    return own[syscall] if syscall in own else _SHARED_NUMBERS[syscall]


def _syscall(name: str, *arguments: object) -> int:
    result: int = _libc.syscall(number(name), *arguments)
    return result


def _words(size: int, *values: int) -> bytes:
    """Numbers of `size` bytes each, as the kernel reads them here."""
    return b"".join(value.to_bytes(size, sys.byteorder) for value in values)


def mount(
    source: Path | None, target: Path, fstype: str | None = None, flags: int = 0, data: Path = ""
) -> None:
    """mount(2)."""
    options = os.fsencode(data) or None
    kind = fstype.encode() if fstype else None
    origin = None if source is None else os.fsencode(source)
    if _libc.mount(origin, os.fsencode(target), kind, _Unsigned(flags), options) < 0:
        _fail("mount", source or "", "on", target)


def umount2(target: Path, flags: int = 0) -> None:
    """umount2(2)."""
    if _libc.umount2(os.fsencode(target), flags) < 0:
        _fail("umount2", target)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """pivot_root(2); with both ".", the old root is stacked on the new one."""
    if _syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old)) < 0:
        _fail("pivot_root", new_root)


def syncfs(directory: Path) -> None:
    """syncfs(2): all that was written to the file system of `directory` is on disk afterwards.

    A tenth of the time of fsync(2) of 200 small files, and never longer.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(fd) < 0:
            _fail("syncfs", directory)
    finally:
        os.close(fd)


def unshare(flags: int) -> None:
    """unshare(2)."""
    if _libc.unshare(flags) < 0:
        _fail("unshare", hex(flags))


def setns(fd: int, flags: int) -> None:
    """setns(2): join a namespace, or those of a process that its pidfd stands for."""
    if _libc.setns(fd, flags) < 0:
        _fail("setns", hex(flags))


def clone(flags: int) -> int:
    """clone(2) like fork, into new namespaces: 0 in the child, its pid in the parent.

    Only for a process with a single thread: CPython's own fork hooks do not run.
    """
    sigchld = 17
    pid = _syscall("clone", _Unsigned(flags | sigchld), 0, 0, 0, 0)
    if pid < 0:
        _fail("clone", hex(flags))
    return pid


def openat2(dir_fd: int, path: Path, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): a close-on-exec descriptor of `path`, resolved as RESOLVE_* say.

    A `..` is refused with EAGAIN when anything at all was renamed or mounted on this machine at
    that moment, for the kernel cannot tell whether it still lies inside: then again.
    """
    how = _words(8, flags | os.O_CLOEXEC, mode, resolve)
    name = os.fsencode(path)
    fd = -1
    for _ in range(_RACES):
        fd = _syscall("openat2", dir_fd, name, how, _Unsigned(24))
        if fd >= 0 or _ctypes.get_errno() != EAGAIN:
            break
    if fd < 0:
        _fail("openat2", path)
    return fd


def renameat2(old: Path, new: Path, flags: int) -> None:
    """renameat2(2), which has flags. EINVAL on a file system that has not."""
    names = os.fsencode(old), os.fsencode(new)
    if _syscall("renameat2", AT_FDCWD, names[0], AT_FDCWD, names[1], _Unsigned(flags)) < 0:
        _fail("renameat2", old, new)


def sethostname(name: str) -> None:
    """sethostname(2)."""
    encoded = name.encode()
    if _libc.sethostname(encoded, _Unsigned(len(encoded))) < 0:
        _fail("sethostname", name)


def prctl(option: int, *arguments: int) -> int:
    """prctl(2); `prctl` the package lacks ambient capabilities and needs a compiler."""
    padded = [_Unsigned(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    result: int = _libc.prctl(option, *padded)
    if result < 0:
        _fail("prctl", str(option))
    return result


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) of the calling thread; masks of 64 capabilities."""
    header = _words(4, 0x20080522, 0)
    low, high = 0xFFFFFFFF, 32
    masks = (effective, permitted, inheritable)
    words = [mask & low for mask in masks] + [mask >> high for mask in masks]
    if _libc.capset(header, _words(4, *words)) < 0:
        _fail("capset", hex(permitted))


def seccomp(program: bytes, flags: int = 0) -> int:
    """seccomp(2): install a filter of `struct sock_filter`s, 8 bytes each; a listener if asked."""

    fprog = _Program(len(program) // 8, program)
    fd = _syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, _ctypes.byref(fprog))
    if fd < 0:
        _fail("seccomp", f"{len(program) // 8} instructions")
    return fd


def landlock_version() -> int:
    """landlock_create_ruleset(2): which version of Landlock the kernel has, from 1 on."""
    none, version = 0, 1
    found = _syscall("landlock_create_ruleset", none, _Unsigned(0), version)
    if found < 0:
        _fail("landlock_create_ruleset", "version")
    return found


def landlock_create_ruleset(handled: int) -> int:
    """landlock_create_ruleset(2): a descriptor of rules on these LANDLOCK_ACCESS_FS_* rights."""
    attributes = _words(8, handled)
    fd = _syscall("landlock_create_ruleset", attributes, _Unsigned(len(attributes)), 0)
    if fd < 0:
        _fail("landlock_create_ruleset", hex(handled))
    return fd


def landlock_add_path(ruleset_fd: int, path: Path, allowed: int) -> None:
    """landlock_add_rule(2): these rights below `path`, whatever it is called later."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = _words(8, allowed) + _words(4, fd)
        if _syscall("landlock_add_rule", ruleset_fd, 1, beneath, 0) < 0:
            _fail("landlock_add_rule", path)
    finally:
        os.close(fd)


def landlock_restrict_self(ruleset_fd: int) -> None:
    """landlock_restrict_self(2): the rules hold for this thread and what it starts."""
    if _syscall("landlock_restrict_self", ruleset_fd, 0) < 0:
        _fail("landlock_restrict_self", str(ruleset_fd))


def process_vm_readv(pid: int, address: int, size: int) -> bytes:
    """process_vm_readv(2): up to `size` bytes, of one page, of another process's memory."""
    size = min(size, _PAGE - address % _PAGE)
    theirs = address.to_bytes(8, sys.byteorder) + size.to_bytes(8, sys.byteorder)
    one, none = _ONE
    done: int = _libc.process_vm_readv(pid, _READ_INTO, one, theirs, one, none)
    if done < 0:
        _fail("process_vm_readv", str(pid))
    return bytes(memoryview(_READ)[:done])


def process_vm_writev(pid: int, address: int, content: bytes) -> int:
    """process_vm_writev(2): how many bytes were put into another process's memory."""
    buffer = _Bytes(content)
    start = int.from_bytes(memoryview(buffer).cast("B"), sys.byteorder)
    own, theirs = _words(8, start, len(content)), _words(8, address, len(content))
    one, none = _ONE
    done: int = _libc.process_vm_writev(pid, own, one, theirs, one, none)
    if done < 0:
        _fail("process_vm_writev", str(pid))
    return done


def newfstatat(fd: int, size: int) -> bytes:
    """newfstatat(2) of a descriptor: the kernel's struct stat, of `size` bytes, as it is."""
    buffer = _Buffer()
    if _syscall("newfstatat", fd, b"", buffer, AT_EMPTY_PATH) < 0:
        _fail("newfstatat", str(fd))
    return bytes(memoryview(buffer)[:size])


def statx(fd: int, flags: int, mask: int) -> bytes:
    """statx(2) of a descriptor: struct statx, as it is."""
    buffer = _Buffer()
    if _syscall("statx", fd, b"", flags | AT_EMPTY_PATH, _Unsigned(mask), buffer) < 0:
        _fail("statx", str(fd))
    return bytes(memoryview(buffer)[:256])


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """close_range(2), inclusive; /proc need not be mounted."""
    if _syscall("close_range", _Unsigned(first), _Unsigned(last), flags) < 0:
        _fail("close_range", str(first))


def inotify_writes(path: Path) -> int:
    """A new inotify(7) instance that tells of each write to a file, and does not block."""
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        _fail("inotify_init1")
    if _libc.inotify_add_watch(fd, os.fsencode(path), 2) < 0:  # IN_MODIFY
        os.close(fd)
        _fail("inotify_add_watch", path)
    return fd


def join_session_keyring() -> None:
    """keyctl(KEYCTL_JOIN_SESSION_KEYRING): a fresh anonymous keyring, not the caller's."""
    if _syscall("keyctl", 1, 0, 0, 0, 0) < 0:
        _fail("keyctl", "join session keyring")


def mount_setattr(
    target: Path | int, attr_set: int = 0, *, recursive: bool = False, propagation: int = 0
) -> None:
    """mount_setattr(2): add MOUNT_ATTR_* to a mount, or to all below it too (Linux 5.12).

    `target` is a path, or the descriptor of a mount that need not be attached anywhere.
    `propagation` is MS_PRIVATE, MS_SLAVE or MS_SHARED, 0 to leave it as it is.
    """
    attributes = _words(8, attr_set, 0, propagation, 0)
    flags = AT_RECURSIVE if recursive else 0
    fd, name = AT_FDCWD, b""
    if isinstance(target, int):
        fd, flags = target, flags | AT_EMPTY_PATH
    else:
        name = os.fsencode(target)
    size = _Unsigned(32)
    if _syscall("mount_setattr", fd, name, flags, attributes, size) < 0:
        _fail("mount_setattr", str(target) if isinstance(target, int) else target)


def open_tree(origin: Path | int, *, recursive: bool = True) -> int:
    """open_tree(2): a detached copy of a mount, at a path or a descriptor, and of all below it.

    Linux 5.2.
    """
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    fd, name = AT_FDCWD, b""
    if isinstance(origin, int):
        fd, flags = origin, flags | AT_EMPTY_PATH
    else:
        name = os.fsencode(origin)
    tree = _syscall("open_tree", fd, name, _Unsigned(flags))
    if tree < 0:
        _fail("open_tree", str(origin) if isinstance(origin, int) else origin)
    return tree


def move_mount(mount_fd: int, target_fd: int) -> None:
    """move_mount(2): attach a detached mount on an O_PATH descriptor; no path is looked up."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    if _syscall("move_mount", mount_fd, b"", target_fd, b"", flags) < 0:
        _fail("move_mount", "a detached mount")


def fsopen(fstype: str) -> int:
    """fsopen(2): a file system context."""
    fd = _syscall("fsopen", fstype.encode(), 1)
    if fd < 0:
        _fail("fsopen", fstype)
    return fd


def fsconfig(fd: int, command: int, key: str = "", value: Path = "") -> None:
    """fsconfig(2); one string is at most 255 bytes."""
    name = key.encode() or None
    text = os.fsencode(value) if command == FSCONFIG_SET_STRING else None
    if _syscall("fsconfig", fd, command, name, text, 0) < 0:
        _fail("fsconfig", key, value)


def fsmount(fd: int, attributes: int = 0) -> int:
    """fsmount(2): a detached mount of a configured context."""
    mount_fd = _syscall("fsmount", fd, 1, attributes)
    if mount_fd < 0:
        _fail("fsmount", "")
    return mount_fd


def loopback_up() -> None:
    """Bring `lo` up in the current network namespace: socket(2) and ioctl(SIOCSIFFLAGS)."""
    fd = _libc.socket(2, 1 | 0o2000000, 0)
    if fd < 0:
        _fail("socket", "AF_INET")
    request = b"lo".ljust(16, b"\0") + b"\x41\0" + bytes(22)  # struct ifreq: name and flags
    done = _libc.ioctl(fd, _Unsigned(0x8914), request)
    os.close(fd)
    if done < 0:
        _fail("ioctl", "SIOCSIFFLAGS lo")


def _fail(syscall: str, *objects: Path) -> NoReturn:
    what = " ".join(os.fsdecode(one) for one in objects if one)
    raise SyscallError(_ctypes.get_errno(), syscall, what)
