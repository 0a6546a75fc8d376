"""containers/<id>/: one directory a container.

    container.json   what it is: id, name, image, command, created; written once, before the start
    diff/ work/      the writable layer and overlayfs's scratch
    target/          where its root is mounted, in its own mount namespace only
    etc/             its hosts, hostname and resolv.conf
    state.json       how it ended: exit_code, finished; there is none while it runs

A running container is one whose directory somebody holds locked (flock), so `kill -9` of that
process makes it a stopped one with no further ado; one that was to be removed then is swept by
the next command. Creating and removing run as (mapped) root, listing anywhere.
"""

from __future__ import annotations

import fcntl
import os

from rootless import leanjson
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.store import Store

KILLED = 137
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_FOLDERS = ("diff", "work", "target", "etc")


class Container(Record):
    """What is known of one container; `exit_code` is None while it runs."""

    id: str
    name: str
    image: str
    image_id: Digest
    command: tuple[str, ...]
    created: float
    ports: tuple[str, ...] = ()
    remove: bool = False
    exit_code: int | None = None
    finished: float = 0

    @property
    def short(self) -> str:
        """The first 12 digits of the id."""
        return self.id[:12]


class Home:
    """A container's directory, held by the process that runs the container."""

    def __init__(self, path: str, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    def file(self, name: str) -> str:
        """A path inside the directory."""
        return f"{self.path}/{name}"

    def finish(self, container: Container, exit_code: int, now: float) -> None:
        """The container has ended: keep it, or remove it if that was asked."""
        if container.remove:
            staging.remove_tree(self.path)
        else:
            _write(self.file("state.json"), {"exit_code": exit_code, "finished": now})
        os.close(self._lock_fd)

    def discard(self) -> None:
        """The container never ran: nothing of it stays."""
        staging.remove_tree(self.path)
        os.close(self._lock_fd)


def new_id() -> str:
    """64 random hex digits."""
    return os.urandom(32).hex()


def create(store: Store, container: Container) -> Home:
    """Make and lock the container's directory. RootlessError when its name is taken."""
    store.create()
    door_fd = _door(store)
    try:
        _sweep(store)
        if container.name:
            _check_name(store, container.name)
        with store.writing():
            return _make(store.path("containers", container.id), container)
    finally:
        os.close(door_fd)


def _make(path: str, container: Container) -> Home:
    os.mkdir(path, 0o700)
    home = Home(path, _lock(path))
    staging.make_folders(path, _FOLDERS)
    _write(home.file("container.json"), _encode(container))
    return home


def listing(store: Store) -> tuple[Container, ...]:
    """All containers, the newest first; those that are to be removed only while they run."""
    found = [load(store, name) for name in _names(store)]
    whole = [one for one in found if one and not (one.remove and one.exit_code is not None)]
    return tuple(sorted(whole, key=lambda one: one.created, reverse=True))


def find(store: Store, text: str) -> Container:
    """The container with this name, id or unique beginning of an id."""
    every = listing(store)
    named = [one for one in every if one.name == text]
    matches = named or [one for one in every if text and one.id.startswith(text)]
    if len(matches) > 1:
        raise RootlessError(
            f"{text} is the beginning of {len(matches)} container ids",
            hint="write more of the id",
        )
    if not matches:
        raise NotFoundError(f"no such container: {text}", hint="list them with: rootless ps -a")
    return matches[0]


def remove(store: Store, container: Container) -> None:
    """Delete a stopped container and its files, unless somebody else is faster."""
    path = store.path("containers", container.id)
    door_fd = _door(store)  # one remover at a time
    try:
        fd = _lock(path, wait=True)  # somebody who lists containers may hold it for a moment
        staging.remove_tree(path)
        os.close(fd)
    except FileNotFoundError:
        pass
    finally:
        os.close(door_fd)


def prune(store: Store) -> tuple[Container, ...]:
    """Remove every stopped container; which they were."""
    try:
        door_fd = _door(store)
    except FileNotFoundError:
        return ()
    _sweep(store)
    os.close(door_fd)
    stopped = tuple(one for one in listing(store) if one.exit_code is not None)
    for container in stopped:
        remove(store, container)
    return stopped


def _sweep(store: Store) -> None:
    """Clean up after processes that were killed: remove what was to be removed, mark the rest."""
    for name in _names(store):
        path = store.path("containers", name)
        if os.path.exists(f"{path}/state.json"):
            continue
        try:
            fd = _lock(path)
        except OSError:
            continue  # it runs, or has just been removed
        _sweep_one(store, name, path)
        os.close(fd)


def load(store: Store, name: str) -> Container | None:
    """The container in containers/`name`; None when it is being made or removed this moment."""
    path = store.path("containers", name)
    record = _read(f"{path}/container.json")
    if record is None:
        return None
    state = _read(f"{path}/state.json")
    if state is None and not _is_locked(path):
        state = {"exit_code": KILLED, "finished": record["created"]}
    return Container(
        id=record["id"],
        name=record["name"],
        image=record["image"],
        image_id=Digest.parse(record["image_id"]),
        command=tuple(record["command"]),
        created=record["created"],
        ports=tuple(record["ports"]),
        remove=record["remove"],
        exit_code=state["exit_code"] if state else None,
        finished=state["finished"] if state else 0,
    )


def used_images(store: Store) -> dict[Digest, str]:
    """Image id → the id of a container made of it."""
    return {one.image_id: one.id for one in listing(store)}


def _sweep_one(store: Store, name: str, path: str) -> None:
    container = load(store, name)
    if container is None or container.remove:
        staging.remove_tree(path)
    else:
        _write(f"{path}/state.json", {"exit_code": KILLED, "finished": container.created})


def _check_name(store: Store, name: str) -> None:
    if len(name) < 2 or not _NAME.issuperset(name) or not name[0].isalnum():
        raise UsageError(
            f"{name!r} is not a container's name",
            hint="use at least two letters, digits, '_', '.' or '-'; begin with a letter or digit",
        )
    for other in listing(store):
        if other.name == name:
            raise RootlessError(
                f'the container name "{name}" is already in use by container {other.short}',
                hint=f"remove that one first with: rootless rm {name}",
            )


def _names(store: Store) -> Iterator[str]:
    try:
        yield from os.listdir(store.path("containers"))
    except FileNotFoundError:
        return


def _door(store: Store) -> int:
    """Wait to be the only one who makes or sweeps containers: what is half made is nobody's yet."""
    fd = os.open(store.path("containers"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _lock(path: str, *, wait: bool = False) -> int:
    """Hold a container's directory; BlockingIOError when another process does."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_locked(path: str) -> bool:
    try:
        os.close(_lock(path))
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _encode(container: Container) -> dict[str, object]:
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "image_id": str(container.image_id),
        "command": list(container.command),
        "created": container.created,
        "ports": list(container.ports),
        "remove": container.remove,
    }


def _write(path: str, value: dict[str, object]) -> None:
    """Wholly or not at all; a power cut may lose it, and the container with it."""
    unfinished = f"{path}.new"
    with open(unfinished, "wb", buffering=0) as file:
        file.write(leanjson.dumps(value) + b"\n")
    os.rename(unfinished, path)


def _read(path: str) -> Any:
    """The record at `path`; None when there is none, or only what a power cut left of it."""
    try:
        with open(path, "rb", buffering=0) as file:
            return leanjson.loads(file.read(1 << 20), path)
    except (FileNotFoundError, IntegrityError):
        return None
