"""Collecting garbage beside everything else: what nothing in `roots` names goes.

First is listed what there is: what comes later is no garbage yet. Then the records are read, which
takes its time, with no lock held. Under `lock.doom`, in milliseconds, what is new in them is read,
and what is left over is moved out of sight into tmp/ by one rename each; there it is deleted, with
no lock held again. Runs as (mapped) root. A crash leaves things without an owner in tmp/, which
the next writer sweeps.
"""

from __future__ import annotations

import os

from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import blobs, layers, lock, stacks, staging
from rootless.store.roots import Used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.store import Store


class Reclaimed(Record):
    """What a collection deleted; `size` in bytes of blobs and of the files of layers."""

    layers: tuple[Digest, ...] = ()
    size: int = 0


def collect(store: Store) -> Reclaimed:
    """Delete what nobody uses, while others pull, build and run."""
    store.create()
    with store.writing():
        blobs_there = list(stored_blobs(store))
        folders_there = os.listdir(store.path("layers"))
        used = Used(store)
        used.look()
        with lock.doom(store):
            used.look()
            in_use = used.folders()
            buried_blobs = [
                staging.bury(store, blobs.path(store, digest))
                for digest in blobs_there
                if digest not in used
            ]
            buried_layers = [
                staging.bury(store, store.path("layers", name))
                for name in folders_there
                if name not in in_use
            ]
        stacks.forget(store, used.hexes())
        return _delete(buried_blobs, buried_layers)


def stored_blobs(store: Store) -> Iterator[Digest]:
    """The digest of every blob file; files that others put there are left alone."""
    try:
        algorithms = os.listdir(store.path("blobs"))
    except FileNotFoundError:  # no store yet
        return
    for algorithm in algorithms:
        for name in os.listdir(store.path("blobs", algorithm)):
            try:
                yield Digest.parse(f"{algorithm}:{name}")
            except IntegrityError:
                continue


def _delete(files: list[str | None], folders: list[str | None]) -> Reclaimed:
    """Delete what was buried; None is what another collector was faster with."""
    size = 0
    deleted = []
    for path in filter(None, files):
        try:
            size += os.lstat(path).st_size
        except FileNotFoundError:  # a sweeper was faster
            continue
        staging.delete(path)
    for path in filter(None, folders):
        try:
            layer = layers.read(path)
        except (IntegrityError, OSError):  # damaged, or a sweeper is at it
            pass
        else:
            size += layer.contents
            deleted.append(layer.diff_id)
        staging.delete(path)
    return Reclaimed(tuple(deleted), size)
