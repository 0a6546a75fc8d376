"""Registry to store: `pull`.

Layers are downloaded by a few threads of the calling process, and each is unpacked by a worker
forked for it before the first thread starts. A worker reads the file that its thread is still
writing; a pipe tells it how far. The caller has entered its user namespace; workers chroot into
their layer's staging directory and hold no socket and no login that matters: whatever an image
does to its unpacker, it does there.

A blob gets its name when its size and digest are right, a layer when its diff_id is what the
config says, the image when all of it is there. Two pulls of one blob take turns and the second
finds it done. A crash leaves unfinished files in tmp/: a blob's is resumed by the next pull.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from rootless import process
from rootless.archive import unpacking
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
from rootless.store import Store, blobs, images, index, layers
from rootless.store.images import Image
from rootless.store.staging import Staging


class Event(Record):
    """Where a layer is: `state` is waiting, downloading, unpacking, done or exists.

    `layer` is its short digest, `current` and `total` count bytes of the download.
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
    pairs = {pair[0].digest: pair for pair in manifest.pair(config.diff_ids)}
    _fetch_layers(store, client, repository, list(pairs.values()), report)
    annotations = {index.SOURCE_DIGEST: str(source)}
    return images.add(store, content, manifest.media_type, (reference,), annotations)


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
    fetches: list[_Fetch] = []
    try:
        for descriptor, diff_id in missing:
            fetches.append(_Fetch(store, descriptor, diff_id))
        _run(fetches, client, repository, report)
    finally:
        for fetch in fetches:
            fetch.stop()


def _run(fetches: list[_Fetch], client: Client, repository: str, report: Report) -> None:
    """Carry out all fetches in a few threads; the first failure is raised and ends the rest."""
    messages: SimpleQueue[Event | BaseException | None] = SimpleQueue()
    waiting = iter(fetches)

    def work() -> None:
        for fetch in waiting:
            try:
                fetch.carry_out(client, repository, messages.put)
                messages.put(None)
            except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                messages.put(error)
                return

    at_once = max(2, min(len(os.sched_getaffinity(0)), 4))
    for _ in range(min(at_once, len(fetches))):
        threading.Thread(target=work, daemon=True).start()
    for _ in fetches:
        while isinstance(message := messages.get(), Event):
            report(message)
        if message is not None:
            raise message


class _Fetch:
    """One layer on its way: a worker that unpacks, and the thread that feeds it."""

    def __init__(self, store: Store, descriptor: Descriptor, diff_id: Digest) -> None:
        """Forks the worker; no thread runs yet."""
        self._store = store
        self._descriptor = descriptor
        self._diff_id = diff_id
        self._lock = threading.Lock()
        self._stopped = False
        self._staged = Staging(store, ("diff",))
        progress_fd, self._feed_fd = process.pipe()
        try:
            self._worker = process.fork(lambda _: self._unpack(progress_fd))
        finally:
            os.close(progress_fd)

    def carry_out(self, client: Client, repository: str, post: Report) -> None:
        """Download, unpack, publish. Waits while another process downloads the same blob."""
        with blobs.Writer(self._store, self._descriptor) as writer:
            if writer.present and layers.find(self._store, self._diff_id):
                post(_event(self._descriptor, "exists"))
                return
            if writer.present:
                self._feed(blobs.path(self._store, self._descriptor.digest))
            else:
                self._feed(writer.path)
                self._download(writer, client, repository, post)
            self._feed(self._descriptor.size)
            post(_event(self._descriptor, "unpacking", self._descriptor.size))
            if not writer.present:
                writer.publish()
        self._publish(self._worker.result())
        post(_event(self._descriptor, "done", self._descriptor.size))

    def stop(self) -> None:
        """End the worker and delete what was not published; the thread soon ends by itself."""
        self._worker.kill()
        with self._lock:
            self._stopped = True
            os.close(self._feed_fd)
            self._staged.discard()

    def _download(
        self, writer: blobs.Writer, client: Client, repository: str, post: Report
    ) -> None:
        for chunk in client.blob(repository, self._descriptor, writer.size):
            if self._stopped:
                return
            writer.write(chunk)
            self._feed(writer.size)
            post(_event(self._descriptor, "downloading", writer.size))

    def _feed(self, news: str | int) -> None:
        """Tell the worker where the blob is or how far. One that failed says so in its result."""
        with suppress(BrokenPipeError), self._lock:
            if not self._stopped:
                os.write(self._feed_fd, f"{news}\n".encode())

    def _publish(self, found: dict[str, Any]) -> None:
        if found["diff_id"] != str(self._diff_id):
            raise IntegrityError(
                f"the layer {self._descriptor.digest} has other contents than the image's "
                f"config says: {found['diff_id']}, not {self._diff_id}"
            )
        with self._lock:
            if not self._stopped:
                layers.publish(self._store, self._staged, self._diff_id, found["size"])

    def _unpack(self, progress_fd: int) -> dict[str, Any]:
        """The worker's task. Chroots."""
        published = blobs.path(self._store, self._descriptor.digest)
        read = _Follower(progress_fd, self._descriptor.size, published).read
        directory = os.path.join(self._staged.path, "diff")
        return unpacking.unpack_layer(read, directory, self._diff_id.algorithm)


class _Follower:
    """Reads a blob while another process writes it.

    The pipe brings lines: the file's path, then again and again how many bytes it has. The
    writer's death is the reader's, so the pipe need not end.
    """

    def __init__(self, progress_fd: int, size: int, published: str) -> None:
        """`published` is what the file is called once it is whole, which may come first."""
        self._progress = open(progress_fd, "rb")  # noqa: SIM115 - open as long as the worker lives
        self._published = published
        self._fd = -1
        self._size = size
        self._available = 0
        self._at = 0

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, as soon as there are any; b"" at the end of the blob."""
        if self._fd < 0:
            self._fd = self._open(self._progress.readline().rstrip(b"\n"))
        while self._at >= self._available and self._at < self._size:
            self._available = int(self._progress.readline())
        chunk = os.pread(self._fd, min(count, self._available - self._at), self._at)
        self._at += len(chunk)
        return chunk

    def _open(self, path: bytes) -> int:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return os.open(self._published, os.O_RDONLY | os.O_CLOEXEC)


def _is_here(store: Store, descriptor: Descriptor, diff_id: Digest) -> bool:
    return blobs.has(store, descriptor.digest) and layers.find(store, diff_id) is not None


def _event(descriptor: Descriptor, state: str, current: int = 0) -> Event:
    return Event(descriptor.digest.short, state, current, descriptor.size)
