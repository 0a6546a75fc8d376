"""Which containers use which volumes, and what of that goes with a container.

Reads records only; what takes a volume away runs as (mapped) root, behind the door of containers:
nobody makes one meanwhile that would use it.
"""

from __future__ import annotations

from rootless.container import records
from rootless.container.door import door
from rootless.errors import IntegrityError, RootlessError
from rootless.store import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.container.spec import ContainerSpec
    from rootless.store import Store
    from rootless.store.volumes import Volume


def names(spec: ContainerSpec) -> tuple[str, ...]:
    """The volumes that a container uses."""
    return tuple(one.name for one in spec.mounts if one.kind == "volume")


def users(store: Store) -> dict[str, list[str]]:
    """Volume → the ids of the containers that use it."""
    found: dict[str, list[str]] = {}
    for container in records.listing(store):
        for name in dict.fromkeys(names(container.spec)):
            found.setdefault(name, []).append(container.id)
    return found


def remove(store: Store, name: str, *, force: bool = False) -> None:
    """Delete a volume that no container uses, as far as it is there; RootlessError says who does.

    With `force` one that is damaged goes, too, and one that is not there is no error.
    """
    store.create()
    with door(store):
        if not force:
            volumes.find(store, name)
        if users_of := users(store).get(name):
            raise RootlessError(
                f"remove {name}: volume is in use - [{', '.join(users_of)}]",
                hint="remove those containers first with: rootless rm",
            )
        grave = volumes.bury(store, name)
    volumes.delete([grave])


def prune(store: Store, wanted: Callable[[Volume], bool]) -> tuple[tuple[Volume, ...], int]:
    """Delete every volume that is `wanted` and no container uses; which, and the bytes in them."""
    from rootless.store import layers

    store.create()
    with door(store):
        used = users(store)
        going = [one for one in volumes.listing(store) if one.name not in used and wanted(one)]
        size = sum(layers.weigh(one.data) for one in going)
        graves = [volumes.bury(store, one.name) for one in going]
    volumes.delete(graves)
    return tuple(going), size


def remove_anonymous(store: Store, wanted: Iterable[str]) -> None:
    """Delete those of these volumes that nobody has named and nobody uses any more."""
    going = tuple(wanted)
    if going:
        with door(store):
            drop_anonymous(store, going)


def drop_anonymous(store: Store, wanted: Iterable[str]) -> None:
    """The same for who has come through the door."""
    going = tuple(wanted)
    if not going:
        return
    used = users(store)
    graves = []
    for name in going:
        try:
            found = None if name in used else volumes.search(store, name)
        except IntegrityError:  # its owner has to say so
            continue
        if found and found.is_anonymous:
            graves.append(volumes.bury(store, name))
    volumes.delete(graves)
