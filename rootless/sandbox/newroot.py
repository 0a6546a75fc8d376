"""The root file system a sandbox is being given, while the old root is still there.

Runs in the child, after clone and before pivot_root. Mount targets are found inside the new root
by the kernel (openat2 RESOLVE_IN_ROOT) and handed to mount(2) as /proc/self/fd/N, so an image
whose /dev is a symbolic link cannot direct a mount elsewhere. Nothing may be appended to such a
path: what a name below it means can have changed.
"""

from __future__ import annotations

import errno
import os

from rootless import inroot


class Newroot:
    """Holds the new root's descriptor, and what later operations learn from earlier ones.

    Descriptors that targets were mounted through stay open; exec closes them all.
    """

    def __init__(self, program_fd: int = -1, report_fd: int = -1) -> None:
        """`program_fd` and `report_fd` are for the last operation: see `trampoline`."""
        self.program_fd = program_fd
        self.report_fd = report_fd
        self.fd = -1
        self.terminal_fd = -1
        self.shm_fd = -1
        self.answerer_fd = -1
        self.home = "/"

    def open(self, path: str) -> None:
        """Take the mounted tree at `path` as the new root."""
        self.fd = os.open(path, os.O_PATH | os.O_DIRECTORY)

    def directory(self, path: str) -> str:
        """A path that means this directory of the new root; it is made if missing."""
        return f"/proc/self/fd/{self.directory_fd(path)}"

    def directory_fd(self, path: str) -> int:
        """A descriptor of this directory of the new root; it is made if missing."""
        return inroot.make_directory(self.fd, path)

    def file(self, path: str) -> str:
        """A path that means this file of the new root; it is made if missing."""
        return f"/proc/self/fd/{self.file_fd(path)}"

    def file_fd(self, path: str) -> int:
        """A descriptor of this file of the new root; it is made if missing."""
        return inroot.make_file(self.fd, path)

    def existing(self, path: str) -> str | None:
        """A path that means what is there now, or None where nothing is."""
        fd = self.existing_fd(path)
        return f"/proc/self/fd/{fd}" if fd >= 0 else None

    def existing_fd(self, path: str) -> int:
        """A descriptor of what is there now, or -1 where nothing is."""
        try:
            return inroot.open_path(self.fd, path)
        except OSError:
            return -1

    def master(self) -> int:
        """The other end of a new terminal. Of a machine's own /dev/pts often only root opens ptmx;
        then the one above it, which anybody does, makes a terminal there.
        """
        # What is there in a container that runs is its own business: nothing is waited for.
        flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
        try:
            return inroot.open_path(self.fd, "dev/pts/ptmx", flags)
        except OSError as error:
            if error.errno != errno.EACCES:
                raise
        return inroot.open_path(self.fd, "dev/ptmx", flags)
