"""Checking containers: their records, the layers that they run on, their volumes. Only reads."""

from __future__ import annotations

from rootless.container import records
from rootless.container.spec import Damaged
from rootless.errors import IntegrityError, NotFoundError
from rootless.oci.config import ImageConfig
from rootless.store import blobs, layers, volumes
from rootless.store.check import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.container.spec import Container
    from rootless.oci.digest import Digest
    from rootless.store import Store


def check(store: Store) -> tuple[Fault, ...]:
    """What is wrong with containers. One that runs is told, but not to be moved: `running`."""
    damaged: list[Damaged] = []
    found = records.listing(store, damaged.append)
    lost = (fault for one in found for fault in _lacks(store, one))
    return (*(_damaged(store, one) for one in damaged), *lost, *_volumes(store))


def _volumes(store: Store) -> list[Fault]:
    """Volumes whose record is damaged; what is in them nobody but their owner may judge."""
    found: list[Fault] = []
    volumes.listing(
        store, lambda name, error: found.append(Fault("volume", name, f"the {error.message}"))
    )
    return found


def _damaged(store: Store, one: Damaged) -> Fault:
    said = f"the container {one.id[:12]} is damaged: {one.why}"
    if one.is_running:
        return Fault("running", one.id, said)
    if records.is_recorded(store, one.id):
        return Fault("state", f"containers/{one.id}/state.json", said)
    return Fault("container", f"containers/{one.id}", said)


def _lacks(store: Store, container: Container) -> Iterator[Fault]:
    """What a container's root was made of, and is no more."""
    name = container.name
    try:
        config = ImageConfig.decode(blobs.read(store, container.image_id))
    except (NotFoundError, IntegrityError) as error:
        yield Fault("base", container.id, f"the container {name}: {error.message}")
        return
    for diff_id in config.diff_ids:
        if not _is_here(store, diff_id):
            yield Fault(
                "base", container.id, f"the container {name}: a layer is missing: {diff_id}"
            )


def _is_here(store: Store, diff_id: Digest) -> bool:
    try:
        return layers.find(store, diff_id) is not None
    except (OSError, IntegrityError):
        return False
