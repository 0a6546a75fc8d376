"""The caller's own standard streams, carried to and from what `exec` starts.

What that is outlives its command, so it is not given what the caller has: whoever reads a pipe
until its end, or writes into one, would wait for it. It gets pipes of ours, and this process
carries until it ends, whatever those have kept that it has left behind. Terminals and /dev/null are
given as they are. A file of the host is none that could be opened anew: see `streams`.

Runs in the CLI process. When that is killed the pipes break.
"""

from __future__ import annotations

import fcntl
import os
import termios
from select import POLLIN, POLLOUT, poll

from rootless import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.spawn import Child

_PIECE = 1 << 16
_CHARACTERS = 0o020000  # of st_mode: a terminal, /dev/null
_FIFO = 0o010000


class Carried:
    """The streams of `enter.in_foreground`."""

    terminal_fd = -1

    def __init__(self, *, interactive: bool) -> None:
        self._interactive = interactive
        self._theirs: list[int] = []
        self._ways: list[_Way] = []
        self._pipes: dict[tuple[int, int], int] = {}

    def open(self) -> tuple[int, int, int]:
        """Descriptors for what is started."""
        return self._input(), self._output(1), self._output(2)

    def start(self) -> None:
        """It has its ends."""
        for fd in self._theirs:
            os.close(fd)

    def follow(self, child: Child) -> int:
        """Carry until it has ended; its exit status. OSError where something cannot be written."""
        pidfd = os.pidfd_open(child.pid)
        ways = self._ways
        while ways:
            watch = poll()
            watch.register(pidfd, POLLIN)
            for way in ways:
                watch.register(*way.awaited())
            ready = {fd for fd, _ in watch.poll()}
            if pidfd in ready:
                for way in ways:
                    way.finish()
                break
            for way in ways:
                if way.awaited()[0] in ready:
                    way.carry()
            ways = [way for way in ways if way.is_open]
        os.close(pidfd)
        return child.wait()

    def _input(self) -> int:
        if not self._interactive:
            fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            self._theirs.append(fd)
            return fd
        if _kind(0) in (0, _CHARACTERS):
            return 0
        read_fd, write_fd = process.pipe()
        os.set_blocking(write_fd, False)  # what it writes is to be carried while it does not read
        self._ways.append(_Way(0, write_fd))
        self._theirs.append(read_fd)
        return read_fd

    def _output(self, fd: int) -> int:
        """One pipe for both where both are one file: it keeps their order."""
        if _kind(fd) in (0, _CHARACTERS):
            return fd
        status = os.fstat(fd)
        file = status.st_dev, status.st_ino
        if file not in self._pipes:
            read_fd, write_fd = process.pipe()
            self._ways.append(_Way(read_fd, fd))
            self._theirs.append(write_fd)
            self._pipes[file] = write_fd
        return self._pipes[file]


def _kind(fd: int) -> int:
    """Of st_mode; 0 of one that is closed."""
    try:
        return os.fstat(fd).st_mode & 0o170000
    except OSError:
        return 0


class _Way:
    """From one descriptor to another, one of which is a pipe of ours.

    No pipe is waited for: who reads one output first may read another later. Between two of them
    the kernel moves the content itself.
    """

    def __init__(self, source: int, target: int) -> None:
        self.is_open = True
        self._source = source
        self._target = target
        self._is_spliced = _kind(source) == _kind(target) == _FIFO
        self._rest = memoryview(b"")  # read, but not written yet
        self._is_full = False

    def awaited(self) -> tuple[int, int]:
        """Which descriptor must be ready, for poll(2), before `carry` can do anything."""
        return (self._target, POLLOUT) if self._is_full else (self._source, POLLIN)

    def carry(self, most: int = _PIECE) -> int:
        """Some of what is there; how many bytes. Closes our end where no more can come."""
        try:
            moved = self._move(most)
        except BlockingIOError:  # what was waited for is ready, so the other one is not
            self._is_full = bool(self._rest) or not self._is_full
            return 0
        except BrokenPipeError:  # nobody reads any more
            self._close()
            return 0
        self._is_full = bool(self._rest)
        return moved

    def finish(self) -> None:
        """Carry what is in the pipe of an output now: others may go on writing into it."""
        if not self._source:
            return
        content = fcntl.ioctl(self._source, termios.FIONREAD, bytes(4))
        left = int.from_bytes(content, "little") + len(self._rest)
        watch = poll()
        watch.register(self._target, POLLOUT)
        while left > 0 and self.is_open:
            if self._is_full:
                watch.poll()
            left -= self.carry(min(left, _PIECE))

    def _move(self, most: int) -> int:
        if self._is_spliced:
            moved = os.splice(self._source, self._target, most, flags=os.SPLICE_F_NONBLOCK)
        else:
            self._rest = self._rest or memoryview(os.read(self._source, most))
            moved = os.write(self._target, self._rest) if self._rest else 0
            self._rest = self._rest[moved:]
        if not moved:
            self._close()
        return moved

    def _close(self) -> None:
        os.close(self._source or self._target)  # the other one is the caller's
        self.is_open = False
