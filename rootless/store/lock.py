"""The store's one lock file: who says what it uses, who collects garbage, who replaces the index.

Open-file-description byte-range locks (fcntl(2)), each held for milliseconds; the kernel drops
them with their holder. No lock is asked for by who has another one than `lists`. Runs in any
process, inside or outside the namespace.
"""

from __future__ import annotations

import fcntl
import os
from struct import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store

_CLAIMS, _INDEX = 0, 1


class _Held:
    """A byte of the lock file, held inside of a `with`."""

    _kind = fcntl.F_WRLCK
    _byte = _CLAIMS

    def __init__(self, store: Store) -> None:
        self._path = store.path("lock")

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        asked = pack("hhqqi", self._kind, os.SEEK_SET, self._byte, 1, 0)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLKW, asked)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class claim(_Held):  # noqa: N801 - read as `with lock.claim(store):`
    """While held, no collection takes anything away: say what you use."""

    _kind = fcntl.F_RDLCK


class doom(_Held):  # noqa: N801
    """While held, nobody begins to use anything: take away what nobody uses."""


class index(_Held):  # noqa: N801
    """While held, nobody else replaces index.json."""

    _byte = _INDEX


class lists(_Held):  # noqa: N801
    """While held, nobody else changes a list of images. The only lock with others inside of it."""

    _byte = 2
