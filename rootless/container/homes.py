"""Making, holding and removing the directories of containers: see `records`.

Who runs a container holds its directory by flock(2), from before there is a record. Who makes or
sweeps containers locks containers/ itself (the door); who removes one takes it away by one rename
first, so nobody sees half of one. What was to be removed when its command was killed is swept by
the next that makes one. Runs as (mapped) root, for the files are of all ids; `rewrite` and
`ask_to_stop` anywhere.
"""

from __future__ import annotations

import _signal
import fcntl
import os

from rootless import leanjson, living, record_json
from rootless.container import events, records
from rootless.container.door import door
from rootless.container.spec import Container, ContainerSpec, Damaged
from rootless.container.state import ContainerState
from rootless.errors import NotFoundError, RootlessError
from rootless.sandbox import cgroup
from rootless.store import staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.container.health import Health
    from rootless.container.spec import Restart
    from rootless.store import Store

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_ID_BYTES = 32
_FOLDERS = ("diff", "work", "target", "etc")
_AGAIN = "again"  # a file: it is to be started once more
_GLANCE = 1.0  # seconds for those that only look at a directory to let go of it


class TakenError(RootlessError):
    """Another container has this name."""


class Home:
    """A container's directory, held by the process that runs the container."""

    def __init__(self, store: Store, spec: ContainerSpec, lock_fd: int) -> None:
        self.spec = spec
        self.path = store.path("containers", spec.id)
        self._store = store
        self._lock_fd = lock_fd
        self.before = ContainerState("created")  # how it fared when it was held

    def file(self, name: str) -> str:
        """A path inside the directory."""
        return f"{self.path}/{name}"

    def tell(self, state: ContainerState) -> bool:
        """How it fares from now on. Where that cannot be written, as of one that was removed by
        force meanwhile or on a full disk, nobody hears of it: it is no reason to end. Whether it
        was written.
        """
        try:
            _write(self.file("state.json"), record_json.encode(state, whole=True))
        except (OSError, RootlessError):
            return False
        return True

    def started(self, pid: int, last: int) -> None:
        """Its supervisor is there: others can now end it, by the signal `last`."""
        if process := living.identify(pid):
            _write(self.file("process.json"), {**process.replace(last=last).__dict__})

    def entered(self, first: int) -> None:
        """Its process 1 executes its command: others can now enter the container.

        An init never executes anything, and lets nobody look at it; its child does.
        """
        if process := living.identify(living.first_child(first) if self.spec.init else first):
            _write(self.file("inside.json"), {**process.__dict__})

    def ended(self) -> bool:
        """Its process 1 is gone, and the state says so; whether that was asked for."""
        _unlink(self.file(records.PAUSED))
        if not self.spec.remove:  # else a sweeper must see that it was not let go of
            _unlink(self.file("process.json"))
            _unlink(self.file("inside.json"))
        return _unlink(self.file("stopping"))

    def begins_again(self) -> bool:
        """Whether somebody has asked that it be started once more, whatever its policy says."""
        return _unlink(self.file(_AGAIN))

    def rename(self, name: str) -> None:
        """Give it another name. TakenError where another has it."""
        rewrite(self._store, Container(self.spec, self.before), lambda now: now.replace(name=name))
        self.spec = self.spec.replace(name=name)

    def policy(self) -> Restart:
        """When it is to be started again, as it was updated last."""
        return self.newest().restart

    def newest(self) -> ContainerSpec:
        """What it is, as it was renamed or updated last."""
        found = records.load(self._store, self.spec.id)
        return (found if isinstance(found, Container) else self).spec

    def is_to_stop(self) -> bool:
        """Whether somebody has asked that, or has removed it."""
        return os.path.exists(self.file("stopping")) or not os.path.exists(self.path)

    def release(self) -> None:
        """Run it no longer. It stays, unless it is to be removed."""
        if self.spec.remove:
            self.discard()
        else:
            self.let_go()

    def let_go(self) -> None:
        """Run it no longer, or leave that to the process that has been forked meanwhile."""
        os.close(self._lock_fd)

    def discard(self) -> None:
        """Nothing of the container stays, nor of its anonymous volumes."""
        is_ours = _take_away(self._store, self.path)
        os.close(self._lock_fd)
        if is_ours:
            events.tell(self._store, "destroy", self.spec)
        if any(one.kind == "volume" for one in self.spec.mounts):
            from rootless.container import volumes

            volumes.remove_anonymous(self._store, volumes.names(self.spec))


def tell_health(store: Store, container: Container, found: Health) -> None:
    """How healthy it is from now on. Where that cannot be written, as of one that was removed
    meanwhile or on a full disk, nobody hears of it: the checks go on.
    """
    try:
        path = store.path("containers", container.id, "health.json")
        _write(path, record_json.encode(found, whole=True))
    except (FileNotFoundError, RootlessError):
        pass


def new_id() -> str:
    """64 random hex digits."""
    return os.urandom(_ID_BYTES).hex()


def create(
    store: Store,
    spec: ContainerSpec,
    settle: Callable[[ContainerSpec], ContainerSpec] = lambda spec: spec,
) -> Home:
    """Make and lock the container's directory. RootlessError when its name is taken.

    `settle` gives the spec as it is recorded, and makes what that names, behind the door. One
    without a name is given one; that of one which is gone with its command is in its id.
    """
    store.create()
    with door(store):
        _sweep(store)
        if spec.name:
            check_name(store, spec.name)
        elif spec.detached or not spec.remove:
            spec = spec.replace(name=_free_name(store))
        if spec.confinement.userns.startswith("auto"):
            from rootless.container import identity

            spec = identity.with_slice(store, spec)
        with store.writing():
            return _make(store, settle(spec))


def _make(store: Store, spec: ContainerSpec) -> Home:
    path = store.path("containers", spec.id)
    os.mkdir(path, 0o700)
    home = Home(store, spec, _lock(path))
    staging.make_folders(path, _FOLDERS)
    _write(home.file("container.json"), record_json.encode(spec))
    events.tell(store, "create", spec)
    return home


def hold(store: Store, container: Container) -> Home | None:
    """The directory of one that does not run, to run it; None where somebody does by now.

    NotFoundError when it was removed meanwhile. Those that only look hold it for a moment.
    """
    from time import monotonic, sleep

    path = store.path("containers", container.id)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFoundError(f"No such container: {container.name}") from None
    until = monotonic() + _GLANCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > until:
                os.close(fd)
                return None
            sleep(0.005)
        else:
            break
    if not _is_still(fd, path):
        os.close(fd)
        raise NotFoundError(f"No such container: {container.name}")
    for mark in ("stopping", _AGAIN, records.PAUSED):
        _unlink(f"{path}/{mark}")
    home = Home(store, container.spec, fd)
    home.before = container.state
    return home


def _is_still(fd: int, path: str) -> bool:
    """Whether the directory that has been held at last is still the container's."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def rewrite(
    store: Store, container: Container, change: Callable[[ContainerSpec], ContainerSpec]
) -> None:
    """Change what a container is: its name, its limits, its policy; who runs it may read it anew.

    `change` is given what it is now, behind the door, for others may have changed it since it was
    read. RootlessError where a new name is another's; NotFoundError when it was removed meanwhile.
    """
    with door(store):
        old = records.load(store, container.id)
        if not isinstance(old, Container):
            raise NotFoundError(f"No such container: {container.name}")
        spec = change(old.spec)
        if old.spec.name != spec.name:
            check_name(store, spec.name)
            events.tell(store, "rename", spec, oldName=f"/{old.name}")
        _write(store.path("containers", spec.id, "container.json"), record_json.encode(spec))


def ask_to_stop(store: Store, container: Container) -> None:
    """Whoever runs it is not to start it again when it ends."""
    _mark(store, container, "stopping")


def ask_to_begin_again(store: Store, container: Container) -> None:
    """Whoever runs it is to start it once more when it ends."""
    _mark(store, container, _AGAIN)


def _mark(store: Store, container: Container, name: str) -> None:
    try:
        path = store.path("containers", container.id, name)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:  # removed meanwhile
        pass


def await_release(store: Store, container: Container) -> None:
    """Return when nobody runs it any more."""
    path = store.path("containers", container.id)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def end(store: Store, container: Container | Damaged) -> None:
    """Kill a running container for good and wait until all of it is gone, and who ran it has told.

    RootlessError when that fails.
    """
    if isinstance(container, Container):
        ask_to_stop(store, container)
    process = records.process_of(store, container)
    if process is None:
        if not records.is_running(store.path("containers", container.id)):
            return
        raise RootlessError(
            f"which process container {container.id[:12]} runs in is not known here",
            hint="end its command where it was started",
        )
    if isinstance(container, Container) and living.is_alive(process):
        events.tell(store, "kill", container.spec, signal=str(int(_signal.SIGKILL)))
    try:
        gone = living.kill(process, records.PATIENCE)
    except PermissionError:
        gone = False
    if not gone:
        raise RootlessError(
            f"container {container.id[:12]} cannot be ended from here (process {process.pid})",
            hint="end its command where it was started",
        )
    _await_word(store.path("containers", container.id))


def _await_word(path: str) -> None:
    """Give who ran it the time to say how it ended; one that hangs is not waited for."""
    from time import monotonic, sleep

    until = monotonic() + records.PATIENCE
    while records.is_running(path) and monotonic() < until:
        sleep(0.005)


def remove(store: Store, container: Container | Damaged) -> None:
    """Delete a container that does not run, and its files, unless somebody else is faster."""
    is_ours = _take_away(store, store.path("containers", container.id))
    if is_ours and isinstance(container, Container):
        events.tell(store, "destroy", container.spec)


def prune(
    store: Store, wanted: Callable[[Container], bool] = lambda _: True
) -> tuple[tuple[Container, ...], int]:
    """Remove every stopped container that is `wanted`; which they were, and the bytes of the files
    in them.
    """
    from rootless.store import layers

    try:
        with door(store):
            _sweep(store)
    except FileNotFoundError:
        return (), 0
    stopped = tuple(one for one in records.listing(store) if not one.is_running and wanted(one))
    size = 0
    for container in stopped:
        size += layers.weigh(store.path("containers", container.id, "diff"))
        remove(store, container)
    return stopped, size


def _sweep(store: Store) -> None:
    """Clean up after processes that were killed: remove what was to be removed, mark the rest.

    Behind the door. What is damaged stays: `rm` removes it when its owner says so.
    """
    for name in records.names(store):
        path = store.path("containers", name)
        if _is_at_rest(path) or records.is_running(path):
            continue
        try:
            _sweep_one(store, records.load(store, name), path)
        except (OSError, RootlessError):  # rubbish must not keep anybody from their work
            continue


def _is_at_rest(path: str) -> bool:
    """Whether it was let go of in good order: quickly said, for there may be many."""
    return os.path.exists(f"{path}/state.json") and not os.path.exists(f"{path}/process.json")


def _sweep_one(store: Store, container: Container | Damaged | None, path: str) -> None:
    if container is None:
        _take_away(store, path)
    elif isinstance(container, Container) and not container.is_running:
        cgroup.sweep(container.id)
        if container.spec.remove:
            from rootless.container import volumes

            _take_away(store, path)
            volumes.drop_anonymous(store, volumes.names(container.spec))
            return
        _write(f"{path}/state.json", record_json.encode(container.state, whole=True))
        _unlink(f"{path}/process.json")


def _take_away(store: Store, path: str) -> bool:
    """Delete a container's directory, or whatever is there: out of sight by one rename first.
    Whether it was there.

    Locked, so that a sweeper of tmp/ leaves it to us; where its owner is only about to let go of
    it, that lock does the same. What cannot be deleted now is left to a later sweep.
    """
    grave = store.new_path()
    fd = _try_lock(path)
    try:
        os.rename(path, grave)
    except FileNotFoundError:  # somebody else was faster
        return False
    except OSError as error:
        raise RootlessError(f"{path} cannot be removed: {error.strerror}") from None
    else:
        _bury(grave)
        return True
    finally:
        if fd >= 0:
            os.close(fd)


def _bury(grave: str) -> None:
    from rootless import deletion

    try:
        deletion.remove(grave)
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


def _free_name(store: Store) -> str:
    from rootless.container import names

    taken = {name for _, name in records.called(store)}
    return next(name for name in names.random_names() if name not in taken)


def check_spelling(name: str) -> None:
    """RootlessError where nothing can have this name."""
    if len(name) < 2 or not _NAME.issuperset(name) or not name[0].isalnum():
        raise RootlessError(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="use at least two letters, digits, '_', '.' or '-'; begin with a letter or digit",
        )


def check_name(store: Store, name: str) -> None:
    """RootlessError where a container cannot have this name, or another has it."""
    check_spelling(name)
    for other, its_name in tuple(records.called(store)):
        if its_name == name and records.search(store, other):
            raise TakenError(
                f'Conflict. The container name "/{name}" is already in use by container '
                f'"{other}". You have to remove (or rename) that container to be able to '
                "reuse that name.",
                hint=f"remove that one first with: rootless rm {name}, or use --replace",
            )


def _lock(path: str) -> int:
    """Hold a new container's directory; somebody who looks at it may have it for a moment."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def _unlink(path: str) -> bool:
    """Whether there was such a file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def _write(path: str, value: dict[str, object]) -> None:
    """Wholly or not at all; a power cut may lose it, and the container with it.

    FileNotFoundError when that is being removed; RootlessError for a full disk and the like.
    """
    unfinished = f"{path}.new"
    try:
        with open(unfinished, "wb", buffering=0) as file:
            rest = memoryview(leanjson.dumps(value) + b"\n")
            while rest:  # of a disk that is almost full a part may be taken
                rest = rest[file.write(rest) :]
        os.rename(unfinished, path)
    except FileNotFoundError:
        raise
    except OSError as error:
        from rootless import complaints

        _unlink(unfinished)
        raise complaints.explain_storage(error, path) or error from error
