"""containers/<id>/: one directory a container.

    container.json   what it is: id, name, image, command, created; written once, before the start
    diff/ work/      the writable layer and overlayfs's scratch
    target/          where its root is mounted, in its own mount namespace only
    etc/             its hosts, hostname and resolv.conf
    process.json     its process 1, once there is one
    state.json       how it ended: exit_code, finished; there is none while it runs

Whether it runs is a question to `living`, so `kill -9` of what runs it makes it a stopped one with
no further ado; one that was to be removed then is swept by the next command. Who makes or sweeps
containers locks containers/ itself (the door); who removes one takes it away by one rename first,
so nobody sees half of one. Creating and removing run as (mapped) root, listing anywhere.
"""

from __future__ import annotations

import fcntl
import os
import stat

from rootless import leanjson
from rootless.container import living
from rootless.container.spec import Container, Damaged, decode, encode, moment
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.store import staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from rootless.oci.digest import Digest
    from rootless.store import Store

KILLED = 137
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_HEX = frozenset("0123456789abcdef")
_ID_LENGTH = 64
_FOLDERS = ("diff", "work", "target", "etc")
_MAX_BYTES = 16 << 20  # a command and its environment may have 2 MiB, before JSON
_PATIENCE = 10.0  # seconds for a killed container to be gone


class Home:
    """A container's directory, held by the process that runs the container."""

    def __init__(self, store: Store, container: Container, lock_fd: int) -> None:
        self.path = store.path("containers", container.id)
        self._store = store
        self._lock_fd = lock_fd

    def file(self, name: str) -> str:
        """A path inside the directory."""
        return f"{self.path}/{name}"

    def started(self, pid: int) -> None:
        """Its process 1 is there: others can now end it."""
        if process := living.identify(pid):
            _write(self.file("process.json"), {**process.__dict__})

    def finish(self, container: Container, exit_code: int, now: float) -> None:
        """The container has ended: keep it, or remove it if that was asked."""
        if container.remove:
            self.discard()
            return
        try:
            _write(self.file("state.json"), {"exit_code": exit_code, "finished": now})
        except FileNotFoundError:  # removed by force meanwhile
            pass
        os.close(self._lock_fd)

    def discard(self) -> None:
        """Nothing of the container stays."""
        _take_away(self._store, self.path)
        os.close(self._lock_fd)


def new_id() -> str:
    """64 random hex digits."""
    return os.urandom(_ID_LENGTH // 2).hex()


def create(store: Store, container: Container) -> Home:
    """Make and lock the container's directory. RootlessError when its name is taken."""
    store.create()
    door_fd = _door(store)
    try:
        _sweep(store)
        if container.name:
            _check_name(store, container.name)
        with store.writing():
            return _make(store, container)
    finally:
        os.close(door_fd)


def _make(store: Store, container: Container) -> Home:
    path = store.path("containers", container.id)
    os.mkdir(path, 0o700)
    home = Home(store, container, _lock(path))
    staging.make_folders(path, _FOLDERS)
    _write(home.file("container.json"), encode(container))
    return home


def listing(
    store: Store, left_out: Callable[[Damaged], object] | None = None
) -> tuple[Container, ...]:
    """All containers, the newest first; those that are to be removed only while they run.

    A damaged one is left out: `left_out` is called with it.
    """
    found = []
    for name in _names(store):
        one = load(store, name)
        if isinstance(one, Damaged):
            if left_out:
                left_out(one)
        elif one and not (one.remove and not one.is_running):
            found.append(one)
    return tuple(sorted(found, key=lambda one: (one.created, one.id), reverse=True))


def find(store: Store, wanted: str) -> Container | Damaged:
    """The container with this name, id or unique beginning of an id."""
    if not wanted:
        raise UsageError("container name cannot be empty")
    every = _every(store)
    found = _match(every, wanted)
    if found is None:
        raise NotFoundError(
            f"No such container: {wanted}",
            hint=_meant(wanted, every) or "list them with: rootless ps -a",
        )
    return found


def search(store: Store, wanted: str) -> Container | Damaged | None:
    """The same, or None: for who looks elsewhere then, and needs no advice."""
    return _match(_every(store), wanted) if wanted else None


def _every(store: Store) -> tuple[Container | Damaged, ...]:
    damaged: list[Damaged] = []
    return (*listing(store, damaged.append), *damaged)


def _match(every: tuple[Container | Damaged, ...], wanted: str) -> Container | Damaged | None:
    name = wanted.removeprefix("/")
    matches = [one for one in every if one.id == wanted]
    matches = matches or [one for one in every if isinstance(one, Container) and one.name == name]
    matches = matches or [one for one in every if one.id.startswith(wanted)]
    if len(matches) > 1:
        raise RootlessError(
            f"multiple IDs found with provided prefix: {wanted}", hint="write more of the id"
        )
    return matches[0] if matches else None


def _meant(wanted: str, every: tuple[Container | Damaged, ...]) -> str | None:
    from rootless import nearest

    return nearest.hint(wanted, [one.name for one in every if isinstance(one, Container)])


def end(store: Store, container: Container | Damaged) -> None:
    """Kill a running container and wait until all of it is gone. RootlessError when that fails."""
    process = process_of(store, container)
    if process is None:
        raise RootlessError(
            f"which process container {container.id[:12]} runs in is not known here",
            hint="end its command where it was started",
        )
    try:
        gone = living.kill(process, _PATIENCE)
    except PermissionError:
        gone = False
    if not gone:
        raise RootlessError(
            f"container {container.id[:12]} cannot be ended from here (process {process.pid})",
            hint="end its command where it was started",
        )


def process_of(store: Store, container: Container | Damaged) -> living.Process | None:
    """Its process 1, the supervisor; one that is just being started is waited for."""
    from time import monotonic, sleep

    path = store.path("containers", container.id)
    until = monotonic() + _PATIENCE
    while True:
        process = _read_process(path)
        if process or monotonic() > until or not _is_held(path):
            return process
        sleep(0.01)


def pid(store: Store, container: Container) -> int:
    """The number of its process 1, as it is seen from here; 0 when there is none any more."""
    process = _read_process(store.path("containers", container.id))
    return process.pid if process and living.is_alive(process) else 0


def remove(store: Store, container: Container | Damaged) -> None:
    """Delete a container that does not run, and its files, unless somebody else is faster."""
    _take_away(store, store.path("containers", container.id))


def prune(
    store: Store, wanted: Callable[[Container], bool] = lambda _: True
) -> tuple[tuple[Container, ...], int]:
    """Remove every stopped container that is `wanted`; which they were, and the bytes of the files
    in them.
    """
    from rootless.store import layers

    try:
        door_fd = _door(store)
    except FileNotFoundError:
        return (), 0
    _sweep(store)
    os.close(door_fd)
    stopped = tuple(one for one in listing(store) if not one.is_running and wanted(one))
    size = 0
    for container in stopped:
        size += layers.weigh(store.path("containers", container.id, "diff"))
        remove(store, container)
    return stopped, size


def load(store: Store, name: str) -> Container | Damaged | None:
    """The container in containers/`name`; None when it is being made or removed this moment."""
    path = store.path("containers", name)
    try:
        container = _recorded(path)
        if container is None:
            return _without_record(path, name)
        if container.id != name:
            raise IntegrityError(f"container.json is damaged: it is about {container.id}")
        return _with_state(path, container)
    except (OSError, IntegrityError) as error:
        why = error.message if isinstance(error, IntegrityError) else str(error.strerror)
        return Damaged(name, why, is_running=_is_running(path))


def is_recorded(store: Store, name: str) -> bool:
    """Whether what a container is can be read, whatever is with its state."""
    try:
        container = _recorded(store.path("containers", name))
    except (OSError, IntegrityError):
        return False
    return container is not None and container.id == name


def used_images(store: Store) -> dict[Digest, str]:
    """Image id → the id of a container made of it, also where only its state is damaged."""
    used = {}
    for name in _names(store):
        try:
            container = _recorded(store.path("containers", name))
        except (OSError, IntegrityError):
            continue
        if container:
            used[container.image_id] = name
    return used


def _with_state(path: str, container: Container) -> Container | None:
    """Who runs it writes the state before letting go, so what is asked last settles it."""
    state = _read(f"{path}/state.json")
    if state is None and _is_running(path):
        return container
    state = state or _read(f"{path}/state.json")
    if state is None and not os.path.exists(path):
        return None
    if state is None:
        return container.replace(exit_code=KILLED, finished=container.created)
    exit_code = state.get("exit_code")
    if type(exit_code) is not int:
        raise IntegrityError("state.json is damaged: it has no exit code")
    return container.replace(exit_code=exit_code, finished=moment(state, "finished"))


def _without_record(path: str, name: str) -> Damaged | None:
    """A container in the making has no files yet; anything else has lost its record."""
    try:
        if not living.is_held(path) and os.listdir(f"{path}/diff"):
            return Damaged(name, "container.json is missing", is_running=False)
    except FileNotFoundError:
        pass
    return None


def _is_running(path: str) -> bool:
    return _is_held(path) or living.is_alive(_read_process(path))


def _is_held(path: str) -> bool:
    """Whether somebody runs it; a directory that cannot be opened is nobody's home."""
    try:
        return living.is_held(path)
    except OSError:
        return False


def _read_process(path: str) -> living.Process | None:
    try:
        value = _read(f"{path}/process.json")
        return living.Process(**value) if value else None
    except (OSError, IntegrityError, TypeError):
        return None


def _sweep(store: Store) -> None:
    """Clean up after processes that were killed: remove what was to be removed, mark the rest.

    Behind the door. What is damaged stays: `rm` removes it when its owner says so.
    """
    for name in _names(store):
        path = store.path("containers", name)
        if os.path.exists(f"{path}/state.json") or _is_running(path):
            continue
        try:
            _sweep_one(store, load(store, name), path)
        except OSError:  # rubbish must not keep anybody from their work
            continue


def _sweep_one(store: Store, container: Container | Damaged | None, path: str) -> None:
    if container is None or (isinstance(container, Container) and container.remove):
        _take_away(store, path)
    elif isinstance(container, Container) and not container.is_running:
        _write(f"{path}/state.json", {"exit_code": KILLED, "finished": container.created})


def _take_away(store: Store, path: str) -> None:
    """Delete a container's directory, or whatever is there: out of sight by one rename first.

    Locked, so that a sweeper of tmp/ leaves it to us; where its owner is only about to let go of
    it, that lock does the same. What cannot be deleted now is left to a later sweep.
    """
    grave = store.new_path()
    fd = _try_lock(path)
    try:
        os.rename(path, grave)
    except FileNotFoundError:  # somebody else was faster
        return
    except OSError as error:
        raise RootlessError(f"{path} cannot be removed: {error.strerror}") from None
    else:
        _bury(grave)
    finally:
        if fd >= 0:
            os.close(fd)


def _bury(grave: str) -> None:
    try:
        staging.remove_tree(grave)
    except NotADirectoryError:
        os.unlink(grave)
    except OSError:
        pass


def _try_lock(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    return fd


def _check_name(store: Store, name: str) -> None:
    if len(name) < 2 or not _NAME.issuperset(name) or not name[0].isalnum():
        raise RootlessError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="use at least two letters, digits, '_', '.' or '-'; begin with a letter or digit",
        )
    for other in listing(store):
        if other.name == name:
            raise RootlessError(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{other.id}". You have to remove (or rename) that container to be able to '
                "reuse that name.",
                hint=f"remove that one first with: rootless rm {name}",
            )


def _names(store: Store) -> Iterator[str]:
    """The ids in containers/; what has no id for a name is not ours."""
    try:
        names = os.listdir(store.path("containers"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise RootlessError(f"{error.filename}: {error.strerror}") from None
    yield from (name for name in names if len(name) == _ID_LENGTH and _HEX.issuperset(name))


def _door(store: Store) -> int:
    """Wait to be the only one who makes or sweeps containers: what is half made is nobody's yet."""
    fd = os.open(store.path("containers"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _lock(path: str) -> int:
    """Hold a new container's directory; somebody who looks at it may have it for a moment."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _recorded(path: str) -> Container | None:
    """What container.json says; None where there is none."""
    record = _read(f"{path}/container.json")
    return None if record is None else decode(record)


def _write(path: str, value: dict[str, object]) -> None:
    """Wholly or not at all; a power cut may lose it, and the container with it."""
    unfinished = f"{path}.new"
    with open(unfinished, "wb", buffering=0) as file:
        file.write(leanjson.dumps(value) + b"\n")
    os.rename(unfinished, path)


def _read(path: str) -> Any:
    """The object in the file at `path`; None when there is none. OSError or IntegrityError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        name = os.path.basename(path)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise IntegrityError(f"{name} is not a file")
        value = leanjson.loads(file.read(_MAX_BYTES), name)
    if not isinstance(value, dict):
        raise IntegrityError(f"{name} is damaged: it is not an object")
    return value
