"""The store's one lock file: who uses it, who collects garbage, who replaces the index.

Open-file-description byte-range locks (fcntl(2)): they belong to an open file, so children of a
fork go on holding what their parent held, and the kernel drops them with the last holder. Runs in
any process, inside or outside the namespace.
"""

from __future__ import annotations

import fcntl
import os
from struct import pack

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store

_USE, _INDEX = 0, 1


class BusyError(RootlessError):
    """Another process uses the store, so nothing of it may be deleted now."""


def use(store: Store) -> None:
    """Until this process and its forks end, nobody deletes what the store holds now.

    Waits for a running collection. A store that does not exist yet needs no lock.
    """
    if store.lock_fd is not None:
        return
    fd = _open(store, 0)
    if fd is not None:
        _lock(fd, fcntl.F_RDLCK, _USE)
        store.lock_fd = fd


def release(store: Store) -> None:
    """Stop using the store; whoever goes on must be known to the collector by other means."""
    if store.lock_fd is not None:
        os.close(store.lock_fd)
        store.lock_fd = None


class collect:  # noqa: N801 - a verb, used as `with lock.collect(store):`
    """While held, no other process uses the store; BusyError when one does already."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        os.close(os.open(self._store.path("lock"), os.O_RDWR))  # says why it cannot be written
        use(self._store)
        fd = self._store.lock_fd
        assert fd is not None
        try:
            _lock(fd, fcntl.F_WRLCK, _USE, wait=False)
        except BlockingIOError:
            raise BusyError(
                "the store is in use by another rootless command",
                hint="try again when it has finished; see: ps -C rootless",
            ) from None

    def __exit__(self, *_: object) -> None:
        assert self._store.lock_fd is not None
        _lock(self._store.lock_fd, fcntl.F_RDLCK, _USE)


class claim:  # noqa: N801 - read as `with lock.claim(store):`
    """While held, no collection takes anything away. Say what you use, then let go.

    Never to be asked for by a process that has `doom`.
    """

    _kind = fcntl.F_RDLCK

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        fd = _open(self._store, os.O_CREAT)
        assert fd is not None
        self._fd = fd
        _lock(fd, self._kind, _USE)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class index:  # noqa: N801 - read as `with lock.index(store):`
    """While held, nobody else replaces index.json. Hold it for milliseconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        fd = _open(self._store, os.O_CREAT)
        assert fd is not None
        self._fd = fd
        _lock(fd, fcntl.F_WRLCK, _INDEX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _open(store: Store, flags: int) -> int | None:
    path = store.path("lock")
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    except FileNotFoundError:
        return None
    except OSError:
        if flags or not os.access(path, os.R_OK):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a read-only store can still be used


def _lock(fd: int, kind: int, byte: int, *, wait: bool = True) -> None:
    command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
    fcntl.fcntl(fd, command, pack("hhqqi", kind, os.SEEK_SET, byte, 1, 0))
