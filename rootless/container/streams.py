"""The caller's own standard streams, handed to a container in the foreground that has no terminal.

A file of the host is not handed over: through /proc/self/fd the command could open it anew, to
write to what it was to read, or to read what was in a log before. As docker does, it gets a pipe,
and a process of ours copies. Pipes, sockets, terminals and /dev/null are given as they are.

Runs in the CLI process, the parent of the container; the copiers are its children and end with it.
"""

from __future__ import annotations

import _signal
import os

from rootless import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.spawn import Child

_PIECE = 1 << 16


class Handed:
    """The streams of `monitor.supervise`: what the caller has, is what the container gets."""

    terminal_fd = -1

    def __init__(self, *, interactive: bool) -> None:
        self._interactive = interactive
        self._stdin = -1
        self._copied: _Copied | None = None

    def open(self) -> tuple[int, int, int]:
        """Descriptors for the next start."""
        null = os.O_RDONLY | os.O_CLOEXEC
        self._stdin = stdin = 0 if self._interactive else os.open("/dev/null", null)
        files = frozenset(fd for fd in (stdin, 1, 2) if _is_file(fd))
        self._copied = _Copied(stdin, files) if files else None
        return self._copied.stdio if self._copied else (stdin, 1, 2)

    def start(self) -> None:
        """Copy what has to be copied."""
        if self._copied:
            self._copied.start()

    def follow(self, child: Child) -> int:
        """Until the container has ended, and all that it wrote is where it belongs."""
        status = child.wait()
        if self._copied:
            self._copied.finish()
        if self._stdin > 0:
            os.close(self._stdin)
        return status


def _is_file(fd: int) -> bool:
    """Whether it has a content on the host: a file, a directory, a disk."""
    try:
        return os.fstat(fd).st_mode & 0o170000 in (0o100000, 0o040000, 0o060000)
    except OSError:  # closed
        return False


class _Copied:
    """`stdio` is for the command; `start` once it has been given away, `finish` after the end."""

    def __init__(self, stdin: int, files: frozenset[int]) -> None:
        """`files` are those of `stdin`, 1 and 2 that are copied."""
        self._ends: list[tuple[int, int]] = []  # from, to: what our copiers do
        self._theirs: list[int] = []
        self._copiers: list[process.Child] = []
        self._pipes: dict[tuple[int, int], int] = {}
        given = self._input(stdin) if stdin in files else stdin
        out, err = (self._output(fd) if fd in files else fd for fd in (1, 2))
        self.stdio = (given, out, err)

    def start(self) -> None:
        """Copy from now on; the command has its ends. A signal is for the container, not for us."""
        for fd in self._theirs:
            os.close(fd)
        ours = [fd for pair in self._ends for fd in pair if fd > 2]
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            for source, target in self._ends:
                others = [fd for fd in ours if fd not in (source, target)]
                self._copiers.append(_copier(source, target, others))
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        for fd in ours:
            os.close(fd)

    def finish(self) -> None:
        """Return when all that was written is in its file; OSError when it cannot be."""
        for (_, target), copier in zip(self._ends, self._copiers, strict=False):
            if target in (1, 2):
                copier.result()
            copier.kill()

    def _input(self, fd: int) -> int:
        read_fd, write_fd = process.pipe()
        self._ends.append((fd, write_fd))
        self._theirs.append(read_fd)
        return read_fd

    def _output(self, fd: int) -> int:
        """One pipe for both where both are one file: it keeps their order."""
        status = os.fstat(fd)
        file = status.st_dev, status.st_ino
        if file not in self._pipes:
            read_fd, write_fd = process.pipe()
            self._ends.append((read_fd, fd))
            self._theirs.append(write_fd)
            self._pipes[file] = write_fd
        return self._pipes[file]


def _copier(source: int, target: int, others: list[int]) -> process.Child:
    return process.fork(lambda _: _copy(source, target, others))


def _copy(source: int, target: int, others: list[int]) -> None:
    """In the copier: until the end, or until nobody reads any more."""
    for fd in others:
        os.close(fd)
    try:
        while content := memoryview(os.read(source, _PIECE)):
            while content:
                content = content[os.write(target, content) :]
    except BrokenPipeError:
        pass
