"""Directories that builds keep for later ones, below cache/: in use as long as they are locked.

    cache/mounts/<name>/   what `RUN --mount=type=cache` keeps: see build.cache.mounts
    cache/sources/<name>/  what contexts and ADDs have fetched: see build.inputs.fetched

Each has its files in data/, and a record whose mtime is when it was last of use. Made in tmp/ and
published by rename. Whoever uses one holds a flock of it, and looks after that whether it is still
the one by that name: so it can be taken away, by `store.kept`, beside everything else.
"""

from __future__ import annotations

import fcntl
import os

from rootless.store import staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.store import Store

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Held:
    """A directory in use: `path` is that of its files. `release` it when that has ended."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = os.path.join(path, "data")
        self._fd = fd

    def open(self, name: str) -> int:
        """A descriptor of one of its files, to read; also where its name is another's by now."""
        return os.open(f"data/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)

    def release(self) -> None:
        """Let others have it; also where a fork of ours still has the descriptor."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


def look(path: str, record: str = "") -> Held | None:
    """The directory at `path`, if there is one, to read from; waits while somebody has it alone.

    A `record` named is of use now.
    """
    while True:
        try:
            fd = os.open(path, DIRECTORY)
        except FileNotFoundError:
            return None
        fcntl.flock(fd, fcntl.LOCK_SH)
        if is_still(fd, path):
            if record:
                os.utime(os.path.join(path, record))
            return Held(path, fd)
        os.close(fd)  # it was taken away meanwhile


def make(store: Store, path: str, fill: Callable[[str], bytes], record: str) -> None:
    """Make the directory; `fill` puts files into data/, whose path it is given, and gives the
    content of the `record`. Where another build made one meanwhile, that stays.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with store.writing(), staging.Staging(store, ("data",)) as staged:
        content = fill(os.path.join(staged.path, "data"))
        with open(os.path.join(staged.path, record), "wb") as file:
            file.write(content)
        try:
            staged.publish(path)
        except OSError:
            if not os.path.isdir(path):
                raise


def is_still(fd: int, path: str) -> bool:
    """Whether an open directory is the one by that name."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False
