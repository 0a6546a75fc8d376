"""A file that stands for /dev/null where no device can be made: what is written there goes at once.

Who reads it finds it empty, but for the moment that this takes, and it takes no room on the disk.
The kernel tells of each write by SIGIO (inotify(7)), for which a supervisor waits with all else.

Runs in the supervisor of a sandbox without namespaces. A crash leaves an ordinary file.
"""

from __future__ import annotations

import fcntl
import os

from rootless import linux

_FLAGS = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_EVENTS = 4096  # bytes: more than are told of one file at once


class Sink:
    """Call it after each SIGIO of the kernel's. `fds` are what it needs."""

    def __init__(self, path: str) -> None:
        """Make the file. OSError where none can be, or the kernel tells nothing."""
        fd = os.open(path, _FLAGS, 0o666)
        try:
            os.fchmod(fd, 0o666)
            told = linux.inotify_writes(path)
            fcntl.fcntl(told, fcntl.F_SETOWN, os.getpid())
            fcntl.fcntl(told, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
        except OSError:
            os.close(fd)
            raise
        self.fds = (fd, told)

    def __call__(self) -> None:
        fd, told = self.fds
        try:
            os.read(told, _EVENTS)
        except BlockingIOError:
            pass
        if os.fstat(fd).st_size:  # which is told as well, once
            os.truncate(fd, 0)
