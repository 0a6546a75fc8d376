"""Registry to store: `pull`.

Layers are downloaded by a few threads of the calling process, each with an unpacker of its own: a
process forked before the first thread starts (store.unpackers), which reads the file that its
thread is still writing. The caller has entered its user namespace.

A blob gets its name when its size and digest are right, a layer when its diff_id is what the
config says, the image when all of it is there. Two pulls of one blob take turns and the second
finds it done. A crash leaves unfinished files in tmp/: a blob's is resumed by the next pull.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from time import monotonic

from rootless import complaints
from rootless.errors import IntegrityError
from rootless.leanjson import MAX_BYTES
from rootless.oci import manifest as manifests
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.registry.client import Client
from rootless.store import Store, blobs, images, layers
from rootless.store.images import Image
from rootless.store.staging import Staging
from rootless.store.unpackers import Unpacker, at_once, verified

_ENDING = 5.0  # seconds that threads have to delete what they made, when a pull fails


class Event(Record):
    """Where a layer is: `state` is waiting, downloading, unpacking, done or exists.

    `layer` is its short digest, `current` and `total` count bytes of the download. Before anything
    else each layer is reported once, as waiting or exists: the totals of those that wait are all
    there is to do. The first `downloading` of a layer has what an earlier pull left, which is no
    measure of speed; should the sender begin again, `current` falls to 0.
    """

    layer: str
    state: str
    current: int = 0
    total: int = 0


Report = Callable[[Event], None]


def pull(
    store: Store, reference: Reference, *, platform: Platform, client: Client, report: Report
) -> Image:
    """Bring an image for `platform` into the store and name it `reference`.

    `report` is called in this thread. RegistryError, IntegrityError or NotFoundError, and then
    nothing has the name that had not before.
    """
    repository = reference.repository
    wanted = reference.digest or reference.tag or "latest"
    content, media_type, source = client.manifest(repository, wanted)
    manifest = manifests.decode(content, media_type)
    if isinstance(manifest, Index):
        chosen = manifest.choose(platform)
        content, media_type, _ = client.manifest(repository, chosen.digest)
        manifest = manifests.decode(content, media_type or chosen.media_type)
    if isinstance(manifest, Index):
        raise IntegrityError(f"{reference.familiar} is a list of lists of images")
    config = ImageConfig.decode(_small_blob(store, client, repository, manifest.config))
    _check(reference, manifest, config, platform)
    pairs = {(pair[0].digest, pair[1]): pair for pair in manifest.pair(config.diff_ids)}
    store.hold([digest for pair in pairs for digest in pair])
    _fetch_layers(store, client, repository, list(pairs.values()), report)
    return images.add(store, content, manifest.media_type, (reference,), source)


def _check(
    reference: Reference, manifest: Manifest, config: ImageConfig, platform: Platform
) -> None:
    """Refuse, before a layer is asked for, what could not become an image for `platform`."""
    name = reference.familiar
    for layer in manifest.layers:
        if layer.media_type not in media_types.LAYERS:
            raise IntegrityError(f"{name} has a layer of the unknown kind {layer.media_type!r}")
    if config.platform.architecture:  # whatever an index said about it
        is_for = manifest.config.replace(platform=config.platform)
        Index(media_types.OCI_INDEX, (is_for,)).choose(platform)


def _small_blob(store: Store, client: Client, repository: str, descriptor: Descriptor) -> bytes:
    """A config's bytes, now in the store."""
    if descriptor.size > MAX_BYTES:
        raise IntegrityError("the image config is larger than 4 MiB")
    with blobs.Writer(store, descriptor) as writer:
        if not writer.present:
            for chunk in client.blob(repository, descriptor, writer.size):
                writer.write(chunk)
            writer.publish()
    return blobs.read(store, descriptor.digest)


def _fetch_layers(
    store: Store,
    client: Client,
    repository: str,
    pairs: list[tuple[Descriptor, Digest]],
    report: Report,
) -> None:
    """Download and unpack what is not there yet, the biggest first."""
    missing = []
    for descriptor, diff_id in pairs:
        is_here = _is_here(store, descriptor, diff_id)
        report(_event(descriptor, "exists" if is_here else "waiting"))
        if not is_here:
            missing.append((descriptor, diff_id))
    missing.sort(key=lambda pair: -pair[0].size)
    fetches = _Fetches(store, client, repository, missing)
    unpackers: list[Unpacker] = []
    try:
        for _ in range(min(at_once(), len(missing))):
            unpackers.append(Unpacker())
        fetches.run(unpackers, report)
    finally:
        fetches.stop(unpackers)


class _Fetches:
    """Layers on their way: threads, each of which feeds an unpacker and takes layer after layer."""

    def __init__(
        self,
        store: Store,
        client: Client,
        repository: str,
        missing: list[tuple[Descriptor, Digest]],
    ) -> None:
        self._store = store
        self._client = client
        self._repository = repository
        self._left = len(missing)
        self._waiting = iter(missing)
        self._messages: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopped = False

    def run(self, unpackers: list[Unpacker], report: Report) -> None:
        """Fetch all of them; the first failure is raised."""
        for unpacker in unpackers:
            thread = threading.Thread(target=self._work, args=(unpacker,), daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # those that there are do the work
                if not self._threads:
                    raise complaints.explain_processes() from error
                break
            self._threads.append(thread)
        while self._left:
            message = self._messages.get()
            if isinstance(message, Event):
                report(message)
            elif message is not None:
                raise message
            else:
                self._left -= 1

    def stop(self, unpackers: list[Unpacker]) -> None:
        """End what still runs; each thread deletes what it has not published.

        A thread that waits for another process's download of the same blob is left to its wait.
        """
        self._stopped = True
        if self._left:
            self._client.stop()
        for unpacker in unpackers:
            unpacker.stop()
        deadline = monotonic() + _ENDING
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _work(self, unpacker: Unpacker) -> None:
        """A thread's whole life."""
        try:
            for descriptor, diff_id in self._waiting:
                if not self._stopped:
                    self._fetch(unpacker, descriptor, diff_id)
                    self._messages.put(None)
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            self._messages.put(error)

    def _fetch(self, unpacker: Unpacker, descriptor: Descriptor, diff_id: Digest) -> None:
        """Download, unpack, publish. Waits while another process downloads the same blob."""
        post = self._messages.put
        with Staging(self._store, ("diff",)) as staged:
            with blobs.Writer(self._store, descriptor) as writer:
                if writer.present and _is_unpacked(self._store, descriptor, diff_id):
                    post(_event(descriptor, "exists"))
                    return
                final = blobs.path(self._store, descriptor.digest)
                source = final if writer.present else writer.path
                directory = os.path.join(staged.path, "diff")
                unpacker.begin(source, final, descriptor.size, directory, diff_id.algorithm)
                if not writer.present:
                    self._download(writer, descriptor, unpacker)
                unpacker.feed(descriptor.size)
                post(_event(descriptor, "unpacking", descriptor.size))
                if not writer.present:
                    writer.publish()
            measure = verified(unpacker.result(), descriptor, diff_id)
            layers.publish(self._store, staged, measure, descriptor)
        post(_event(descriptor, "done", descriptor.size))

    def _download(self, writer: blobs.Writer, descriptor: Descriptor, unpacker: Unpacker) -> None:
        self._messages.put(_event(descriptor, "downloading", writer.size))
        for chunk in self._client.blob(self._repository, descriptor, writer.size):
            writer.write(chunk)
            unpacker.feed(writer.size)
            self._messages.put(_event(descriptor, "downloading", writer.size))


def _is_unpacked(store: Store, descriptor: Descriptor, diff_id: Digest) -> bool:
    """Whether another process has done all of it meanwhile."""
    layer = layers.find(store, diff_id)
    return layer is not None and layer.is_made_of(descriptor.digest)


def _is_here(store: Store, descriptor: Descriptor, diff_id: Digest) -> bool:
    """Whether blob and layer are there, and the one is known, or seen now, to be the other."""
    if not blobs.has(store, descriptor.digest):
        return False
    return layers.find_made_of(store, diff_id, descriptor) is not None


def _event(descriptor: Descriptor, state: str, current: int = 0) -> Event:
    return Event(descriptor.digest.short, state, current, descriptor.size)
