"""pods/<name>.json: names that containers are grouped under, as podman's pods without an infra
container. A pod of ours shares nothing; containers name theirs in their records.

Runs in any process of the user's. A file appears by link(2), so of two who make one, one does.
"""

from __future__ import annotations

import os
import time

from rootless import leanjson, record_json
from rootless.container import homes, records
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.container.spec import Container
    from rootless.store import Store

_LONGEST = 1 << 20


class Pod(Record):
    """A pod: `created` in seconds."""

    id: str
    name: str
    created: float
    labels: Mapping[str, str] = {}


def create(store: Store, name: str, labels: Mapping[str, str]) -> Pod:
    """A new pod. RootlessError when its name is no name, or taken."""
    homes.check_spelling(name)
    pod = Pod(homes.new_id(), name, time.time(), labels)
    store.create()
    os.makedirs(store.path("pods"), mode=0o700, exist_ok=True)
    unfinished = store.path("pods", f".{pod.id}")
    with open(unfinished, "xb") as file:
        file.write(leanjson.dumps(record_json.encode(pod)) + b"\n")
    try:
        os.link(unfinished, _path(store, name))
    except FileExistsError:
        raise RootlessError(
            f'adding pod to state: name "{name}" is in use: pod already exists',
            hint=f"remove that one first with: rootless pod rm {name}",
        ) from None
    finally:
        os.unlink(unfinished)
    return pod


def find(store: Store, wanted: str) -> Pod:
    """The pod with this name, id or beginning of an id. NotFoundError."""
    every = listing(store)
    named = [one for one in every if one.name == wanted]
    found = named or [one for one in every if wanted and one.id.startswith(wanted)]
    if len(found) != 1:
        raise NotFoundError(
            f"no pod with name or ID {wanted} found: no such pod",
            hint="list them with: rootless pod ps",
        )
    return found[0]


def listing(store: Store) -> tuple[Pod, ...]:
    """All pods, the newest first; damaged ones are passed over."""
    try:
        names = os.listdir(store.path("pods"))
    except FileNotFoundError:
        return ()
    found = [pod for name in names if name[0] != "." and (pod := _read(store, name))]
    return tuple(sorted(found, key=lambda one: one.created, reverse=True))


def members(store: Store, pod: Pod) -> tuple[Container, ...]:
    """The containers in it."""
    return tuple(one for one in records.listing(store) if one.spec.pod == pod.name)


def remove(store: Store, pod: Pod) -> None:
    """Remove an empty pod. RootlessError when containers are in it."""
    if left := members(store, pod):
        raise RootlessError(
            f"pod {pod.name} contains containers and cannot be removed: "
            + ", ".join(one.short for one in left),
            hint=f"remove them with it: rootless pod rm -f {pod.name}",
        )
    try:
        os.unlink(_path(store, pod.name))
    except FileNotFoundError:  # somebody else was faster
        pass


def _path(store: Store, name: str) -> str:
    return store.path("pods", f"{name}.json")


def _read(store: Store, name: str) -> Pod | None:
    try:
        fd = os.open(store.path("pods", name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb", buffering=0) as file:
            return record_json.decode(Pod, leanjson.loads(file.read(_LONGEST)), name)
    except (OSError, IntegrityError):
        return None
