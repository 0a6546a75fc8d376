"""The process that waits for an answer: its arguments, its memory, its root, what it has open.

It is not to be trusted, and may be killed at any moment, when its number may be given to another.
So everything of it is opened first, then `is_there` is asked, and only then something is done, to
what is open. The working directory of this process is its own /proc.
"""

from __future__ import annotations

import fcntl
import os
import struct
from errno import EBADF, EFAULT, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM

from rootless import linux

CONTINUE, ANSWERED = -1, -2
"""As answers: let the kernel carry out the call; it has been answered."""
_ID_VALID, _ADD_FD = 0x40082102, 0x40182103  # ioctls of linux/seccomp.h
_SEND = 2  # SECCOMP_ADDFD_FLAG_SEND, Linux 5.14
_PATH_MAX = 4096
_MOST_READ = 256  # most names are shorter
_KERNEL = 1 << 63  # where no process has memory of its own
AT_FDCWD = 0xFFFFFF9C  # -100, as the unsigned int that `word` gives
_START_OF_STACK = 25  # in /proc/PID/stat, after the name
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Caller:
    """One call that waits: what it is named, and its `arguments` as the registers have them."""

    shared = (0, 0)
    """The root of this process: device and inode."""

    def __init__(
        self, listener: int, number: int, pid: int, name: str, arguments: tuple[int, ...]
    ) -> None:
        self.pid = pid
        self.name = name
        self.arguments = arguments
        self._listener = listener
        self._number = number

    def check(self) -> None:
        """OSError when it waits no more: what was opened may be another's."""
        fcntl.ioctl(self._listener, _ID_VALID, struct.pack("<Q", self._number))

    @property
    def stack(self) -> int:
        """Where its program's stack begins, which every execve(2) chooses anew. OSError."""
        fields = self._told("stat").rpartition(b")")[2].split()
        return int(fields[_START_OF_STACK])

    def word(self, position: int) -> int:
        """An argument as an unsigned int."""
        return self.arguments[position] & 0xFFFFFFFF

    def read(self, address: int, size: int) -> bytes:
        """Some of `size` bytes of its memory. OSError."""
        try:
            found = linux.process_vm_readv(self.pid, address, size) if address < _KERNEL else b""
        except OSError as error:  # who is not dumpable, as before it executes, is closed to us
            number = EPERM if error.errno == EPERM else EFAULT
            raise OSError(number, os.strerror(number)) from None
        return found

    def write(self, address: int, content: bytes) -> None:
        """Into its memory. OSError."""
        self.check()
        try:
            is_there = address < _KERNEL
            written = linux.process_vm_writev(self.pid, address, content) if is_there else 0
        except OSError:
            written = 0
        if written != len(content):
            raise OSError(EFAULT, os.strerror(EFAULT))

    def path(self, position: int) -> bytes:
        """The name that an argument points to. OSError."""
        address, found = self.arguments[position], b""
        while len(found) < _PATH_MAX:
            piece = self.read(address + len(found), _MOST_READ)
            name, end, _ = piece.partition(b"\0")
            found += name
            if end:
                return found
            if not piece:
                raise OSError(EFAULT, os.strerror(EFAULT))
        raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG))

    def open_fd(self, fd: int) -> int:
        """What it has open under this number, or where it is, as an O_PATH descriptor. OSError."""
        try:
            found = os.open(self.place(fd), os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            self.check()
            raise OSError(EBADF, os.strerror(EBADF)) from None
        try:
            self.check()
        except OSError:
            os.close(found)
            raise
        return found

    def open_path(self, at: int, path: bytes, flags: int) -> int:
        """What `path` means to it, from its descriptor `at`, as an O_PATH descriptor. OSError.

        The kernel looks it up in the caller's root, which becomes that of this process. A link of
        /proc that stands for something open is not followed.
        """
        if not path:
            raise OSError(ENOENT, os.strerror(ENOENT))
        home = os.open(".", _DIRECTORY)
        opened = [home]
        try:
            root = os.open(f"{self.pid}/root", _DIRECTORY)
            opened.append(root)
            start = root if path.startswith(b"/") else self.open_fd(at)
            opened.append(start)
            self.check()
            os.fchdir(root)
            os.chroot(".")
            Caller.shared = (0, 0)
            return linux.openat2(start, path, os.O_PATH | flags, linux.RESOLVE_NO_MAGICLINKS)
        finally:
            os.fchdir(home)
            for fd in set(opened):
                os.close(fd)

    def give_fd(self, fd: int, flags: int) -> int:
        """Answer with a descriptor of what we have open; flags are O_CLOEXEC or none."""
        asked = struct.pack("<QIIII", self._number, _SEND, fd, 0, flags & os.O_CLOEXEC)
        fcntl.ioctl(self._listener, _ADD_FD, asked)
        return ANSWERED

    def share_root(self) -> None:
        """Make its root ours, for a look that changes nothing. OSError."""
        found = os.stat(f"{self.pid}/root")
        if (found.st_dev, found.st_ino) != Caller.shared:
            home = os.open(".", _DIRECTORY)
            try:
                os.chdir(f"{self.pid}/root")
                os.chroot(".")
                Caller.shared = (found.st_dev, found.st_ino)
            finally:
                os.fchdir(home)
                os.close(home)

    def place(self, fd: int) -> bytes:
        """A name of what it has open under this number, or of where it is."""
        is_here = fd == AT_FDCWD
        return b"%d/cwd" % self.pid if is_here else b"%d/fd/%d" % (self.pid, fd)

    def open_parent(self, at: int, path: bytes) -> tuple[int, bytes]:
        """The directory that a new name is to lie in, and that name. OSError."""
        parent, slash, name = path.rstrip(b"/").rpartition(b"/")
        if name in (b"", b".", b".."):
            raise OSError(ENOENT if name == b"" else ENOTDIR, "no name")
        return self.open_path(at, (parent or b"/") if slash else b".", os.O_DIRECTORY), name

    def umask(self) -> int:
        """That of the caller."""
        lines = self._told("status").split(b"\n")
        return int(next(line.split()[1] for line in lines if line.startswith(b"Umask:")), 8)

    def _told(self, name: str) -> bytes:
        fd = os.open(f"{self.pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            told = os.read(fd, 4096)
        finally:
            os.close(fd)
        self.check()
        return told
