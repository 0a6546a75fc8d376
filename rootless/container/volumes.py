"""Which containers use which volumes, and what of that goes with a container.

Reads records only; what takes a volume away runs as (mapped) root.
"""

from __future__ import annotations

from rootless.container import records
from rootless.errors import RootlessError
from rootless.store import volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.container.spec import Container
    from rootless.store import Store
    from rootless.store.volumes import Volume


def names(container: Container) -> tuple[str, ...]:
    """The volumes that a container uses."""
    return tuple(one.name for one in container.spec.mounts if one.kind == "volume")


def users(store: Store) -> dict[str, list[str]]:
    """Volume → the ids of the containers that use it."""
    found: dict[str, list[str]] = {}
    for container in records.listing(store):
        for name in dict.fromkeys(names(container)):
            found.setdefault(name, []).append(container.id)
    return found


def remove(store: Store, name: str, *, force: bool = False) -> None:
    """Delete a volume that no container uses, as far as it is there; RootlessError says who does.

    With `force` one that is damaged goes, too, and one that is not there is no error.
    """
    with volumes.taking(store):
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

    with volumes.taking(store):
        used = users(store)
        going = [one for one in volumes.listing(store) if one.name not in used and wanted(one)]
        size = sum(layers.weigh(one.data) for one in going)
        graves = [volumes.bury(store, one.name) for one in going]
    volumes.delete(graves)
    return tuple(going), size


def remove_anonymous(store: Store, wanted: Iterable[str]) -> None:
    """Delete those of these volumes that nobody has named and nobody uses any more."""
    going: Sequence[str] = tuple(wanted)
    if not going:
        return
    with volumes.taking(store):
        used = users(store)
        found = [volumes.search(store, name) for name in going if name not in used]
        graves = [volumes.bury(store, one.name) for one in found if one and one.is_anonymous]
    volumes.delete(graves)
