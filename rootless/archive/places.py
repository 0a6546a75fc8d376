"""Where the paths of an archive are that is unpacked: nothing in it leads out of one directory.

Root makes that directory the root of its process, and a path is a path. An ordinary user may not:
each path is handed to the kernel as a name in its parent's descriptor, which the kernel has looked
up within the directory (openat2 RESOLVE_IN_ROOT). Links and `..` mean the same to both.

Runs in the worker that unpacks, alone with its directory. Nothing is left behind.
"""

from __future__ import annotations

import os
import stat

from rootless import linux, rung

MAX_LINKS = 40  # as the kernel's own limit
_MOST_OPEN = 64  # parents


def within(directory: bytes) -> Rooted:
    """Those in `directory`, which becomes the root of this process if that can be; to be closed."""
    places = Rooted() if rung.current().is_root else Places()
    places.enter(directory)
    return places


def top(directory: str) -> str:
    """Where `directory` is for the process that is within it."""
    return "/" if rung.current().is_root else directory


def leave(root_fd: int, folder_fd: int) -> None:
    """Be out of it again, with these for the root and the working directory of this process."""
    if rung.current().is_root:
        os.fchdir(root_fd)
        os.chroot(".")
        os.fchdir(folder_fd)


class Rooted:
    """Where the paths of an archive are: the directory is this process's root."""

    root_fd = linux.AT_FDCWD

    def enter(self, directory: bytes) -> None:
        """See nothing else from now on."""
        os.chroot(directory)
        os.chdir("/")

    def at(self, path: bytes) -> bytes:
        """A path to use for the one of an archive; its last name is not followed."""
        return path

    def forget(self) -> None:
        """A link has been made, or a directory removed."""

    def close(self) -> None:
        """Nothing more is asked."""

    def leads_nowhere(self, path: bytes) -> bool:
        """Whether a path is a link to what is not there."""
        if not stat.S_ISLNK(os.lstat(self.at(path)).st_mode):
            return False
        try:
            root_fd = self.root_fd
            os.close(linux.openat2(root_fd, path, os.O_PATH, linux.RESOLVE_IN_ROOT))
        except OSError:
            return True
        return False

    def climbs_out(self, path: bytes) -> bool:
        """Whether a relative link on the way has more `..` than it lies deep; up to an absolute
        one.
        """
        seen: list[bytes] = []
        names = path.split(b"/")
        links = MAX_LINKS
        while names and links:
            name = names.pop(0)
            if name == b"..":
                if not seen:
                    return True
                seen.pop()
            elif name not in (b"", b"."):
                try:
                    target = os.readlink(self.at(b"/".join((*seen, name))))
                except OSError:
                    seen.append(name)
                    continue
                if target.startswith(b"/"):
                    return False
                names = target.split(b"/") + names
                links -= 1
        return False


class Places(Rooted):
    """The same without another root: parents are looked up within the directory, by the kernel,
    and named by their descriptors. Two paths are good at the same time, until `forget`.
    """

    def __init__(self) -> None:
        self._open: dict[bytes, int] = {}

    def enter(self, directory: bytes) -> None:
        self.forget()
        outside = self.root_fd
        if outside == linux.AT_FDCWD:
            self.root_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            self.root_fd = self._look_up(directory)
            os.close(outside)

    def at(self, path: bytes) -> bytes:
        parent, _, name = path.rstrip(b"/").rpartition(b"/")
        if name in (b".", b".."):
            parent, name = path, b"."
        fd = self._open.pop(parent, None)
        if fd is None:
            if len(self._open) >= _MOST_OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            fd = self._look_up(parent or b".")
        self._open[parent] = fd  # the last to be closed
        return b"/proc/self/fd/%d/%b" % (fd, name)

    def forget(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def close(self) -> None:
        self.forget()
        os.close(self.root_fd)

    def _look_up(self, path: bytes) -> int:
        try:
            flags = os.O_PATH | os.O_DIRECTORY
            return linux.openat2(self.root_fd, path, flags, linux.RESOLVE_IN_ROOT)
        except linux.SyscallError as error:
            assert error.errno
            raise OSError(error.errno, os.strerror(error.errno), path) from None
