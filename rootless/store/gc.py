"""Collecting garbage: what no image, no build step and no container needs any more.

Runs as (mapped) root, with the store's lock held exclusively. Order makes a crash harmless: names
go first, then what only they needed; a layer directory leaves its name by one rename.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.oci.config import ImageConfig
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import blobs, images, index, layers, lock, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from rootless.oci.descriptor import Descriptor
    from rootless.store import Store
    from rootless.store.layers import Layer


class Reclaimed(Record):
    """What a collection deleted; `size` in bytes of blobs and of layers' tars."""

    images: tuple[Digest, ...] = ()
    layers: tuple[Digest, ...] = ()
    steps: int = 0
    size: int = 0


def prune(
    store: Store,
    *,
    everything: bool = False,
    steps: bool = False,
    used: Callable[[], Collection[Digest]] = tuple,
) -> Reclaimed:
    """Delete dangling images, with `everything` all, but none whose id is in `used()`, asked
    for when nobody else can begin to use one.

    With `steps` the build cache goes too. BusyError when another process uses the store.
    """
    store.create()
    with store.writing(), lock.collect(store):
        dropped: set[Digest] = set()

        def change(entries: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
            ids = [images.id_of(store, entry) for entry in entries]
            named = {one for one, entry in zip(ids, entries, strict=True) if index.name_of(entry)}
            dropped.update(set(ids) - set(used()) - (set() if everything else named))
            return tuple(
                entry for one, entry in zip(ids, entries, strict=True) if one not in dropped
            )

        index.update(store, change)
        forgotten = _forget_steps(store) if steps else 0
        staging.sweep(store, file_seconds=0)
        freed = _collect(store)
    return freed.replace(images=tuple(dropped), steps=forgotten)


def collect_if_idle(store: Store) -> Reclaimed:
    """Delete what nobody needs, unless others use the store: then a later collection will."""
    try:
        with store.writing(), lock.collect(store):
            return _collect(store)
    except lock.BusyError:
        return Reclaimed()


def check(store: Store) -> tuple[str, ...]:
    """Hash every blob and look for every layer; one sentence for each thing that is wrong."""
    wrong = [
        f"the blob {digest} has other contents"
        for digest in _stored_blobs(store)
        if not _is_whole(store, digest)
    ]
    for entry in index.read(store):
        name = index.name_of(entry) or entry.digest.short
        try:
            image = images.load(store, entry)
        except RootlessError as error:
            wrong.append(f"{name}: {error.message}")
            continue
        wrong += [
            f"{name}: the layer {diff_id} is missing"
            for blob, diff_id in image.layers
            if not layers.find(store, diff_id) and not blobs.has(store, blob.digest)
        ]
    return tuple(wrong)


def _collect(store: Store) -> Reclaimed:
    needed = _needed(store)
    size = 0
    for digest in _stored_blobs(store):
        if digest not in needed:
            path = blobs.path(store, digest)
            size += os.path.getsize(path)
            os.unlink(path)
    folders = {digest.short for digest in needed}
    deleted = []
    for name in os.listdir(store.path("layers")):
        if name not in folders:
            layer = _layer_in(store, name)
            layers.remove(store, name)
            if layer:
                size += layer.size
                deleted.append(layer.diff_id)
    return Reclaimed(layers=tuple(deleted), size=size)


def _layer_in(store: Store, name: str) -> Layer | None:
    """What a layer folder says it is; None where its record is damaged."""
    try:
        return layers.open_folder(store, name)
    except (IntegrityError, FileNotFoundError):
        return None


def _needed(store: Store) -> set[Digest]:
    """Digests and diff_ids that an image or a build step refers to."""
    needed: set[Digest] = set()
    for entry in index.read(store):
        needed.add(entry.digest)
        try:
            manifest = images.manifest_of(store, entry)
            needed.update((manifest.config.digest, *(layer.digest for layer in manifest.layers)))
            config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
            needed.update(config.diff_ids)
        except (NotFoundError, IntegrityError):
            continue  # damaged: what can still be found of it stays
    for name in os.listdir(store.path("cache/steps")):
        with open(store.path("cache/steps", name), "rb") as file:
            needed.update(_digests_in(file.read()))
    return needed


def _digests_in(record: bytes) -> Iterator[Digest]:
    """Every digest that is a value somewhere in a JSON record; none in a damaged one."""
    try:
        pending = [leanjson.loads(record)]
    except IntegrityError:
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and value.startswith(("sha256:", "sha512:")):
            try:
                yield Digest.parse(value)
            except IntegrityError:
                continue


def _stored_blobs(store: Store) -> Iterator[Digest]:
    """The digest of every blob file; files that others put there are left alone."""
    for algorithm in os.listdir(store.path("blobs")):
        for name in os.listdir(store.path("blobs", algorithm)):
            try:
                yield Digest.parse(f"{algorithm}:{name}")
            except IntegrityError:
                continue


def _is_whole(store: Store, digest: Digest) -> bool:
    import hashlib

    actual = hashlib.new(digest.algorithm)
    blobs.copy(store, digest, actual.update)
    return actual.hexdigest() == digest.hex


def _forget_steps(store: Store) -> int:
    names = os.listdir(store.path("cache/steps"))
    for name in names:
        os.unlink(store.path("cache/steps", name))
    return len(names)
