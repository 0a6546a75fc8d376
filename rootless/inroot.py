"""Paths inside a container's root file system, resolved by the kernel and never by string.

A root is a directory descriptor; every look-up is openat2(RESOLVE_IN_ROOT), so `..` and symbolic
links of a hostile image end inside it; a walk by `Parents` follows no link at all. What is made is
made by its name in a descriptor, with its mode at once: somebody who shares a volume may change
what a name means between any two calls, so nothing is ever done to a path that has been looked up.
Runs in the mapped process.
"""

from __future__ import annotations

import errno
import os

from rootless import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Told = Callable[[int], object]
    """Is given a descriptor of what has been made, which is closed afterwards."""

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_MAX_LINKS = 40  # as the kernel's own limit
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ESTALE)
"""What a look-up says of a path that led to something else, or was there, when it was found."""
_MACHINES_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)


def open_path(root_fd: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of an existing `path`; SyscallError when there is none."""
    return linux.openat2(root_fd, path or ".", flags, linux.RESOLVE_IN_ROOT)


def make_directory(
    root_fd: int,
    path: str,
    mode: int = 0o755,
    *,
    tell: Told | None = None,
    max_links: int = _MAX_LINKS,
) -> int:
    """An O_PATH descriptor of the directory at `path`, made with its parents where missing.

    What a symbolic link points to without being there is made, inside the root. Each directory
    that is new is told, the outermost first.
    """
    try:
        return open_path(root_fd, path, _DIRECTORY)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = split(path)
    parent_fd = make_directory(root_fd, parent, mode, tell=tell, max_links=max_links)
    try:
        if target := _link(parent, name, parent_fd, max_links):
            return make_directory(root_fd, target, mode, tell=tell, max_links=max_links - 1)
        with _AnyMode():
            os.mkdir(name, mode, dir_fd=parent_fd)
        fd = linux.openat2(parent_fd, name, _DIRECTORY, linux.RESOLVE_NO_SYMLINKS)
        if tell:
            tell(fd)
        return fd
    finally:
        os.close(parent_fd)


def make_file(
    root_fd: int, path: str, *, tell: Told | None = None, max_links: int = _MAX_LINKS
) -> int:
    """A descriptor of the file at `path`, made empty, with its parents, where missing.

    All that is new is told, as by `make_directory`.
    """
    try:
        return open_path(root_fd, path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    parent, name = split(path)
    parent_fd = make_directory(root_fd, parent, tell=tell, max_links=max_links)
    try:
        if target := _link(parent, name, parent_fd, max_links):
            return make_file(root_fd, target, tell=tell, max_links=max_links - 1)
        with _AnyMode():
            # Not for writing: a mount with a writer cannot be made read-only.
            flags = os.O_CREAT | os.O_EXCL | os.O_RDONLY
            fd = os.open(name, flags, 0o644, dir_fd=parent_fd)
        if tell:
            tell(fd)
        return fd
    finally:
        os.close(parent_fd)


def read_file(root_fd: int, path: str, limit: int = 1 << 20) -> bytes:
    """At most `limit` bytes of a regular file; b"" when it is missing, a pipe or a device.

    OSError when this machine is at fault: what could not be read is not what is not there.
    """
    try:
        fd = open_path(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in _MACHINES_FAULTS:
            raise
        return b""
    try:
        regular = os.fstat(fd).st_mode & 0o170000 == 0o100000
        return os.read(fd, limit) if regular else b""
    finally:
        os.close(fd)


class Parents:
    """The directories that a walk's paths lie in; one stays open while its entries follow.

    With `dir_fd` alone the kernel follows links in all names of a path but the last, and somebody
    who owns the tree may put one where a directory was listed: so ask for the last name only.
    """

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._path = b""
        self._fd = -1

    def of(self, path: bytes) -> tuple[int, bytes]:
        """The descriptor of its parent, good until the next call, and its last name.

        SyscallError, its errno in GONE, when no chain of directories leads there any more.
        """
        parent, _, name = path.rpartition(b"/")
        if not parent:
            return self._root_fd, name
        if parent != self._path:
            self.close()
            resolve = linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_BENEATH
            self._fd = linux.openat2(self._root_fd, parent, _DIRECTORY, resolve)
            self._path = parent
        return self._fd, name

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._path, self._fd = b"", -1


class _AnyMode:
    """No umask, for a moment."""

    def __enter__(self) -> None:
        self._umask = os.umask(0)

    def __exit__(self, *_: object) -> None:
        os.umask(self._umask)


def _link(parent: str, name: str, parent_fd: int, max_links: int) -> str | None:
    """Where a symbolic link that leads to nothing points to, as a path; None when it is none."""
    try:
        target = os.readlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return None
    if not max_links:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
    return target if target.startswith("/") else f"{parent}/{target}"


def split(path: str) -> tuple[str, str]:
    """Parent and last name of a path; the last name is never empty, "." or ".."."""
    path = path.rstrip("/")
    while path.endswith("/."):
        path = path[:-2].rstrip("/")
    parent, _, name = path.rpartition("/")
    if name in ("", ".", ".."):
        raise FileNotFoundError(2, "No such file or directory", path)
    return parent, name
