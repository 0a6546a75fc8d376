"""What happens to a container, told: to itself, and to networks and volumes because of it; and the
journal of all that happens (`store.events` writes it), read as it comes.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.store import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from rootless.container.spec import ContainerSpec
    from rootless.network.networks import Network
    from rootless.store import Store

_LONGEST = 1 << 20  # bytes of a line that may be an event
_CHUNK = 1 << 16
_MOST_WORDS = 1 << 13  # letters of a command that are told


def tell(store: Store, action: str, spec: ContainerSpec, **attributes: str) -> None:
    """Something has happened to a container; docker's word for it, and what it says besides."""
    about = {**spec.run.labels, **attributes, "image": spec.image, "name": spec.name}
    events.tell(store, "container", action, spec.id, about)


def tell_network(store: Store, action: str, network: Network, container: str = "") -> None:
    """Something has happened to a network of the user's, because of a container where one is."""
    about = {"name": network.name, "type": "bridge"}
    events.tell(
        store,
        "network",
        action,
        network.id,
        {**about, "container": container} if container else about,
    )


def tell_volumes(store: Store, action: str, spec: ContainerSpec) -> None:
    """Its volumes have come (mount), or are let go of (unmount)."""
    for one in spec.mounts:
        if one.kind == "volume":
            about = {"container": spec.id, "driver": "local"}
            if action == "mount":
                writable = "false" if one.read_only else "true"
                about |= {"destination": one.target, "propagation": "", "read/write": writable}
            events.tell(store, "volume", action, one.name, about)


class Executed:
    """One more process in a container, for those who follow what happens there."""

    def __init__(self, store: Store, spec: ContainerSpec, argv: Sequence[str]) -> None:
        """It is about to be executed."""
        self._store = store
        self._spec = spec
        self._number = {"execID": os.urandom(32).hex()}
        words = f"{argv[0]} {' '.join(argv[1:])}"[:_MOST_WORDS]
        for action in ("exec_create", "exec_start"):
            tell(store, f"{action}: {words}", spec, **self._number)

    def died(self, status: int) -> None:
        """It has ended."""
        tell(self._store, "exec_die", self._spec, **self._number, exitCode=str(status))


class Journal:
    """The events of a store, read as they come."""

    def __init__(self, store: Store) -> None:
        self._path = store.path(events.NAME)
        self._fd = -1
        self._unfinished = b""
        self._has_begun = False

    def read(self) -> Iterator[dict[str, Any]]:
        """What has come since the last time; at first all that is kept. Damaged lines are not."""
        if not self._has_begun:
            self._has_begun = True
            if (old := _open(f"{self._path}.1")) >= 0:
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
            if len(self._unfinished) > _LONGEST:
                self._unfinished = b""
            for line in whole:
                if event := _event(line):
                    yield event


def _event(line: bytes) -> dict[str, Any] | None:
    from rootless.errors import IntegrityError

    try:
        event: dict[str, Any] = leanjson.loads(line)
        actor = event["Actor"]
        texts = [event["Type"], event["Action"], event["scope"], actor["ID"]]
        texts += actor["Attributes"].values()
        numbers = (event["time"], event["timeNano"])
    except (IntegrityError, KeyError, TypeError, AttributeError):
        return None
    is_one = all(isinstance(text, str) for text in texts)
    if not is_one or not all(isinstance(number, int) for number in numbers):
        return None
    if event["Type"] == "container" and not actor["Attributes"].get("name", "-"):
        from rootless.container import names

        actor["Attributes"]["name"] = names.of(actor["ID"])
    return event


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
