"""The lock of who makes or takes away containers or volumes: see `homes` and `volumes`.

An flock(2) of containers/ itself, held for milliseconds; the kernel drops it with its holder.
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store


class door:  # noqa: N801 - read as `with door(store):`
    """While held, nobody else makes or sweeps containers: what is half made is nobody's yet, and
    what records do not name is used by nobody. FileNotFoundError where there is no store.
    """

    def __init__(self, store: Store) -> None:
        self._path = store.path("containers")

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
