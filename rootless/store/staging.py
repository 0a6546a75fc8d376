"""Unfinished work in tmp/: what is owned, and sweeping the rest.

A `Staging` is a directory that this process (and its forks) holds by flock(2) on a descriptor of
the directory itself; the kernel frees it when the last holder is gone, and the next process that
stages anything deletes it. So it is with files. Runs as (mapped) root wherever a tree holds other
ids' files. A crash leaves unowned things in tmp/, nothing else.
"""

from __future__ import annotations

import fcntl
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rootless.store import Store

_DOWNLOADS = ("sha256-", "sha512-")
_DOWNLOAD_SECONDS = 86_400  # how long an interrupted one waits to be resumed
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Staging:
    """A directory in tmp/ that is ours until it is published or discarded."""

    def __init__(self, store: Store, folders: tuple[str, ...] = ()) -> None:
        store.create()
        if not store.swept:
            store.swept = True
            sweep(store)
        with store.writing():
            self.path, self._fd = _make_owned(store)
            make_folders(self.path, folders)

    @property
    def is_ours(self) -> bool:
        """Whether it is neither published nor discarded yet."""
        return self._fd >= 0

    def publish(self, path: str) -> None:
        """Move the directory to its final `path`; OSError ENOTEMPTY when that is taken.

        The new name is not on disk yet: see `store.sync_directory`.
        """
        os.rename(self.path, path)
        self._release()

    def discard(self) -> None:
        """Delete the directory and all in it; nothing happens when it was published.

        What cannot be deleted now is left to a later sweep: it is no error of who discards.
        """
        if self.is_ours:
            from rootless import deletion

            try:
                deletion.remove(self.path)
            except OSError:
                pass
            self._release()

    def _release(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def make_folders(path: str, names: tuple[str, ...]) -> None:
    """New directories in `path`, 0755 whatever the umask is."""
    for name in names:
        folder = os.path.join(path, name)
        os.mkdir(folder)
        os.chmod(folder, 0o755)


def sweep(store: Store, *, downloads: bool = False) -> int:
    """Delete what dead processes left in tmp/; interrupted downloads when a day old, or at once.

    The bytes of files, not of directories, that went. What cannot be deleted now, as by a process
    outside the namespace, is left to a later one.
    """
    size = 0
    for name in os.listdir(store.path("tmp")):
        path = store.path("tmp", name)
        if downloads or not _is_awaited(name, path):
            size += delete(path)
    return size


def _is_awaited(name: str, path: str) -> bool:
    """Whether it is a download that may still be resumed."""
    from time import time

    if not name.startswith(_DOWNLOADS):
        return False
    try:
        return os.lstat(path).st_mtime > time() - _DOWNLOAD_SECONDS
    except FileNotFoundError:
        return False


def bury(store: Store, path: str) -> str | None:
    """Move something published out of sight, into tmp/, for `delete`; None when it is gone."""
    grave = store.path("tmp", f"deleted-{os.urandom(8).hex()}")
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return None
    return grave


def delete(path: str) -> int:
    """Delete something in tmp/ that nobody owns; what cannot be deleted stays for a later sweep.

    The size of a file that went, else 0.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # rubbish must not keep anybody from their work
        return 0
    from rootless import deletion

    try:
        if owns(fd, path):
            found = os.fstat(fd)
            deletion.remove(path)
            return 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    except OSError:
        pass
    finally:
        os.close(fd)
    return 0


def new_file(store: Store) -> tuple[str, int]:
    """A new file in tmp/, open for writing and ours until it is renamed or closed."""
    while True:
        path = store.new_path()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        if owns(fd, path, wait=True):
            return path, fd
        os.close(fd)  # a sweeper was between our two calls


def _make_owned(store: Store) -> tuple[str, int]:
    while True:
        path = store.new_path()
        os.mkdir(path, 0o700)
        try:
            fd = os.open(path, _DIRECTORY)
        except FileNotFoundError:  # a sweeper was between our two calls
            continue
        if owns(fd, path):
            return path, fd
        os.close(fd)


def owns(fd: int, path: str, *, wait: bool = False) -> bool:
    """Take the flock of the open file `fd`; False when others have it or `path` is another now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except (BlockingIOError, FileNotFoundError):
        return False
