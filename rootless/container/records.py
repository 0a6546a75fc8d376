"""containers/<id>/: one directory a container, and who is in there.

    container.json   what it is, a ContainerSpec; written before the first start, and by update
    state.json       how it fares, a ContainerState; written by who runs it
    process.json     its supervisor and when that started, while there is one
    health.json      what its health checks have found, where it has any
    inside.json      the first process inside, once it executes the command
    stopping         somebody has asked it to end: it is not to be restarted
    paused           its processes are stopped, and which; see `paused`
    diff/ work/      the writable layer and overlayfs's scratch
    target/          where its root is mounted, in its own mount namespace only
    etc/             its hosts, hostname and resolv.conf
    log.jsonl        what it wrote, where that is kept
    attach           the socket of its monitor, where it has one

Here they are read, by any process of the user's; `homes` makes, holds and removes them. Whether one
runs is a question to `living`, so `kill -9` of what runs it makes it a stopped one with no further
ado.
"""

from __future__ import annotations

import os
import stat

from rootless import leanjson, living
from rootless.container import health, spec, state
from rootless.container.spec import Container, ContainerSpec, Damaged
from rootless.container.state import ContainerState
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from rootless.container.health import Health
    from rootless.oci.digest import Digest
    from rootless.store import Store

KILLED = 137
PAUSED = "paused"
_HEX = frozenset("0123456789abcdef")
_ID_LENGTH = 64
_MAX_BYTES = 16 << 20  # a command and its environment may have 2 MiB, before JSON
_LISTED = "list them with: rootless ps -a"
PATIENCE = 10.0  # seconds for a killed container to be gone, or a new one to have a process


def listing(
    store: Store, left_out: Callable[[Damaged], object] | None = None
) -> tuple[Container, ...]:
    """All containers, the newest first; those that are to be removed only while they run.

    A damaged one is left out: `left_out` is called with it.
    """
    found = []
    for name in names(store):
        one = load(store, name)
        if isinstance(one, Damaged):
            if left_out:
                left_out(one)
        elif one and _is_listed(one):
            found.append(one)
    return tuple(sorted(found, key=lambda one: (one.created, one.id), reverse=True))


def _is_listed(one: Container) -> bool:
    return not (one.spec.remove and one.state.status == "exited")


def find(store: Store, wanted: str) -> Container | Damaged:
    """The container with this name, id or unique beginning of an id."""
    if not wanted:
        raise UsageError("container name cannot be empty", hint=_LISTED)
    found = search(store, wanted)
    if found is None:
        raise NotFoundError(
            f"No such container: {wanted}",
            hint=_meant(wanted, listing(store)) or _LISTED,
        )
    return found


def search(store: Store, wanted: str) -> Container | Damaged | None:
    """The same, or None: for who looks elsewhere then, and needs no advice.

    Only those are read that may be it: of many containers most are not.
    """
    ids = tuple(names(store))
    likely = [one for one in ids if one.startswith(wanted)] if wanted else []
    if wanted not in likely:
        likely += (one for one, name in called(store) if name == wanted.removeprefix("/"))
    found = [load(store, one) for one in dict.fromkeys(likely)]
    listed = [one for one in found if one and (isinstance(one, Damaged) or _is_listed(one))]
    return match(tuple(listed), wanted)


def called(store: Store) -> Iterator[tuple[str, str]]:
    """The id and the name of every container, also of one that is about to go: little is read."""
    for one in names(store):
        try:
            record = read(store.path("containers", one, "container.json"))
        except (OSError, IntegrityError):
            continue
        if record:
            name = record.get("name")
            yield one, name if name and isinstance(name, str) else spec.name_of(one)


def everything(store: Store) -> tuple[Container | Damaged, ...]:
    """All containers, the newest first, and those that are damaged."""
    damaged: list[Damaged] = []
    return (*listing(store, damaged.append), *damaged)


def match(every: tuple[Container | Damaged, ...], wanted: str) -> Container | Damaged | None:
    """The one of `every` with this name, id or unique beginning of an id, if there is one.

    UsageError for no word at all, as of a variable that is not set: every id begins with that.
    """
    if not wanted:
        raise UsageError("container name cannot be empty", hint=_LISTED)
    name = wanted.removeprefix("/")
    matches = [one for one in every if one.id == wanted]
    matches = matches or [one for one in every if isinstance(one, Container) and one.name == name]
    matches = matches or [one for one in every if one.id.startswith(wanted)]
    if len(matches) > 1:
        raise RootlessError(
            f"multiple IDs found with provided prefix: {wanted}", hint="write more of the id"
        )
    return matches[0] if matches else None


def _meant(wanted: str, every: tuple[Container, ...]) -> str | None:
    from rootless import nearest

    return nearest.hint(wanted, [one.name for one in every])


def process_of(store: Store, container: Container | Damaged) -> living.Process | None:
    """Its process 1, the supervisor; one that is just being started is waited for."""
    from time import monotonic, sleep

    path = store.path("containers", container.id)
    until = monotonic() + PATIENCE
    while True:
        process = _read_process(path)
        if process or monotonic() > until or not _is_held(path):
            return process
        sleep(0.01)


def pid(store: Store, container: Container) -> int:
    """The number of its process 1, as it is seen from here; 0 when there is none any more."""
    process = _read_process(store.path("containers", container.id))
    return process.pid if process and living.is_alive(process) else 0


def inside(store: Store, container: Container) -> living.Process | None:
    """The first process inside, whose namespaces are the container's; None before it executes the
    command, and when it has ended.
    """
    process = _read_process(store.path("containers", container.id), "inside.json")
    return process if living.is_alive(process) else None


def load(store: Store, name: str) -> Container | Damaged | None:
    """The container in containers/`name`; None when it is being made or removed this moment."""
    path = store.path("containers", name)
    try:
        found = _recorded(path)
        if found is None:
            return _without_record(path, name)
        if found.id != name:
            raise IntegrityError(f"container.json is damaged: it is about {found.id}")
        return _with_state(path, found)
    except (OSError, IntegrityError) as error:
        why = error.message if isinstance(error, IntegrityError) else str(error.strerror)
        return Damaged(name, why, is_running=is_running(path))


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
    for name in names(store):
        try:
            container = _recorded(store.path("containers", name))
        except (OSError, IntegrityError):
            continue
        if container:
            used[container.image_id] = name
            used.update(dict.fromkeys(mounted_images(container), name))
    return used


def mounted_images(spec: ContainerSpec) -> list[Digest]:
    """The ids of the images that a container shows."""
    ids = [one.name for one in spec.mounts if one.kind == "image"]
    if not ids:
        return []
    from rootless.oci.digest import Digest

    return [Digest.parse(one) for one in ids]


def _with_state(path: str, spec: ContainerSpec) -> Container | None:
    """Who runs it writes the state before letting go, so what is asked last settles it."""
    found = _state(path)
    if found.is_running and not is_running(path):
        found = _state(path)
        if found.is_running:
            if not os.path.exists(path):
                return None
            found = found.replace(
                status="exited", exit_code=KILLED, finished=found.started or spec.created
            )
    elif found.status == "running" and os.path.exists(f"{path}/{PAUSED}"):
        found = found.replace(status="paused")
    elif found.status == "created" and not os.path.exists(f"{path}/state.json"):
        found = found.replace(status="running") if is_running(path) else found
    return Container(spec, found.replace(health=_health(path, spec, is_running=found.is_running)))


def _health(path: str, spec: ContainerSpec, *, is_running: bool) -> Health | None:
    """As docker says, what does not run any more is not healthy."""
    if not health.rule(spec.run.healthcheck if "Healthcheck" in spec.config else None):
        return None
    value = read(f"{path}/health.json")
    found = health.decode(value) if value else health.Health()
    return found if is_running or value is None else found.replace(status=health.UNHEALTHY)


def _state(path: str) -> ContainerState:
    value = read(f"{path}/state.json")
    return ContainerState("created") if value is None else state.decode(value)


def _without_record(path: str, name: str) -> Damaged | None:
    """A container in the making has no files yet; anything else has lost its record."""
    try:
        if not living.is_held(path) and os.listdir(f"{path}/diff"):
            return Damaged(name, "container.json is missing", is_running=False)
    except FileNotFoundError:
        pass
    return None


def is_running(path: str) -> bool:
    """Whether somebody holds the directory, or its process 1 still is."""
    return _is_held(path) or living.is_alive(_read_process(path))


def _is_held(path: str) -> bool:
    """Whether somebody runs it; a directory that cannot be opened is nobody's home."""
    try:
        return living.is_held(path)
    except OSError:
        return False


def _read_process(path: str, name: str = "process.json") -> living.Process | None:
    try:
        value = read(f"{path}/{name}")
        return living.Process(**value) if value else None
    except (OSError, IntegrityError, TypeError):
        return None


def names(store: Store) -> Iterator[str]:
    """The ids in containers/; what has no id for a name is not ours."""
    try:
        names = os.listdir(store.path("containers"))
    except FileNotFoundError:
        return
    except OSError as error:
        raise RootlessError(f"{error.filename}: {error.strerror}") from None
    yield from (name for name in names if len(name) == _ID_LENGTH and _HEX.issuperset(name))


def _recorded(path: str) -> ContainerSpec | None:
    """What container.json says; None where there is none."""
    record = read(f"{path}/container.json")
    return None if record is None else spec.decode(record)


def read(path: str) -> Any:
    """The object in the file at `path`; None when there is none. OSError or IntegrityError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        name = os.path.basename(path)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise IntegrityError(f"{name} is not a file")
        value = leanjson.loads(file.read(min(status.st_size, _MAX_BYTES)), name)
    if not isinstance(value, dict):
        raise IntegrityError(f"{name} is damaged: it is not an object")
    return value
