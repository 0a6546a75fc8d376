"""Paths inside a container's root file system, resolved by the kernel and never by string.

A root is a directory descriptor; every look-up is openat2(RESOLVE_IN_ROOT), so `..` and symbolic
links of a hostile image end inside it. Runs in the mapped process, before pivot_root.
"""

from __future__ import annotations

import errno
import os

from rootless import linux

_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def open_path(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of an existing `path`; SyscallError when there is none."""
    return linux.openat2(root_fd, path or ".", flags, linux.RESOLVE_IN_ROOT)


def make_directory(root_fd: int, path: str, mode: int = 0o755) -> int:
    """An O_PATH descriptor of the directory at `path`, made with its parents where missing."""
    try:
        return open_path(root_fd, path, _DIRECTORY)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = split(path)
    parent_fd = make_directory(root_fd, parent, mode)
    try:
        os.mkdir(name, mode, dir_fd=parent_fd)
        os.chmod(f"/proc/self/fd/{parent_fd}/{name}", mode)  # whatever the umask is
        return linux.openat2(parent_fd, name, _DIRECTORY, linux.RESOLVE_NO_SYMLINKS)
    finally:
        os.close(parent_fd)


def make_file(root_fd: int, path: str) -> int:
    """An O_PATH descriptor of the file at `path`, made empty, with its parents, where missing."""
    try:
        return open_path(root_fd, path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = split(path)
    parent_fd = make_directory(root_fd, parent)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        os.close(os.open(name, flags, 0o644, dir_fd=parent_fd))
        return linux.openat2(parent_fd, name, os.O_PATH, linux.RESOLVE_NO_SYMLINKS)
    finally:
        os.close(parent_fd)


def read_file(root_fd: int, path: str, limit: int = 1 << 20) -> bytes:
    """At most `limit` bytes of a regular file; b"" when it is missing, a pipe or a device."""
    try:
        fd = open_path(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        regular = os.fstat(fd).st_mode & 0o170000 == 0o100000
        return os.read(fd, limit) if regular else b""
    finally:
        os.close(fd)


def split(path: str) -> tuple[str, str]:
    """Parent and last name of a path; the last name is never empty, "." or ".."."""
    parent, _, name = path.rstrip("/").rpartition("/")
    if name in ("", ".", ".."):
        raise FileNotFoundError(2, "No such file or directory", path)
    return parent, name
