"""events.jsonl: what happened to containers, an object a line, as docker's API tells it.

    {"status":"start","id":…,"from":"busybox","Type":"container","Action":"start",
     "Actor":{"ID":…,"Attributes":{"image":"busybox","name":"web"}},"scope":"local","time":…,…}

Whoever does something appends a line by one write(2), in any process of the user's; whoever finds
the file long makes it the old one. What cannot be written is not told: no verb fails by it. A crash
loses nothing that was told.
"""

from __future__ import annotations

import os
import time

from rootless import leanjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.container.spec import ContainerSpec
    from rootless.store import Store

NAME, OLD = "events.jsonl", "events.jsonl.1"
_LONG = 1 << 20  # bytes, after which a new file is begun
_CHUNK = 1 << 16


def tell(store: Store, action: str, spec: ContainerSpec, **attributes: str) -> None:
    """Something has happened to a container; docker's word for it, and what it says besides."""
    about = {**spec.run.labels, **attributes, "image": spec.image, "name": spec.name}
    now = time.time_ns()
    event = {
        "status": action,
        "id": spec.id,
        "from": spec.image,
        "Type": "container",
        "Action": action,
        "Actor": {"ID": spec.id, "Attributes": dict(sorted(about.items()))},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }
    try:
        _append(store, leanjson.dumps(event) + b"\n")
    except OSError:
        pass


def _append(store: Store, line: bytes) -> None:
    path = store.path(NAME)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, line)
        if os.fstat(fd).st_size > _LONG:
            os.rename(path, store.path(OLD))
    finally:
        os.close(fd)


class Journal:
    """The events of a store, read as they come."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._path = store.path(NAME)
        self._fd = -1
        self._unfinished = b""
        self._has_begun = False

    def read(self) -> Iterator[dict[str, Any]]:
        """What has come since the last time; at first all that is kept. Damaged lines are not."""
        if not self._has_begun:
            self._has_begun = True
            if (old := _open(self._store.path(OLD))) >= 0:
                yield from self._lines(old)
                os.close(old)
        if self._fd < 0:
            self._fd = _open(self._path)
        if self._fd >= 0:
            yield from self._lines(self._fd)
            if not _is_same(self._fd, self._path):
                yield from self._lines(self._fd)  # told until it was put away
                os.close(self._fd)
                self._fd = _open(self._path)
                if self._fd >= 0:
                    yield from self._lines(self._fd)

    def _lines(self, fd: int) -> Iterator[dict[str, Any]]:
        while piece := os.read(fd, _CHUNK):
            *whole, self._unfinished = (self._unfinished + piece).split(b"\n")
            for line in whole:
                if event := _event(line):
                    yield event


def _event(line: bytes) -> dict[str, Any] | None:
    from rootless.errors import IntegrityError

    try:
        event = leanjson.loads(line)
        is_one = isinstance(event["time"], int) and isinstance(event["Actor"]["Attributes"], dict)
    except (IntegrityError, KeyError, TypeError):
        return None
    return event if is_one else None


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1


def _is_same(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return True  # put away, and nothing has happened since
