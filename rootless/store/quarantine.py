"""Quarantine: what `repair` found damaged, moved aside by one rename each, never deleted by it.

quarantine/<when>-<pid>/ keeps the paths that things had below the store's root. Moving works in
any process of the user's; deleting runs as (mapped) root. A crash leaves things moved, or not.
"""

from __future__ import annotations

import os

from rootless.store import layers, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.store import Store

_FOLDER = "quarantine"


class Quarantine:
    """The folder of one repair, made when the first thing is put into it."""

    def __init__(self, store: Store) -> None:
        from time import gmtime, strftime

        self._store = store
        self.name = f"{_FOLDER}/{strftime('%Y%m%dT%H%M%SZ', gmtime())}-{os.getpid()}"
        self.count = 0

    def put(self, path: str) -> bool:
        """Move what is at `path` below the root here; False when it is gone."""
        return self._take(path, os.rename)

    def keep(self, path: str) -> bool:
        """A file is here too, and stays where it is until it is replaced; False when it is gone."""
        is_file = os.path.isfile(self._store.path(path))
        return self._take(path, os.link if is_file else os.rename)

    def _take(self, path: str, take: Callable[[str, str], None]) -> bool:
        target = self._store.path(self.name, path)
        with self._store.writing():
            os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            while os.path.lexists(target):  # the same path a second time
                target += "+"
            try:
                take(self._store.path(path), target)
            except FileNotFoundError:
                return False
        self.count += 1
        return True


def names(store: Store) -> list[str]:
    """The folder of each repair, as paths below the root."""
    try:
        return [f"{_FOLDER}/{name}" for name in sorted(os.listdir(store.path(_FOLDER)))]
    except FileNotFoundError:
        return []


def delete(store: Store) -> int:
    """Delete all of it; the bytes of the files that went."""
    size = 0
    for name in names(store):
        path = store.path(name)
        size += layers.weigh(path)
        if grave := staging.bury(store, path):
            staging.delete(grave)
    return size
