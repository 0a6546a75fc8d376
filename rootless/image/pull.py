"""Registry to store: a copy whose layers are unpacked while they arrive.

Layers are downloaded by a few threads of the calling process, each with an unpacker of its own: a
process forked before the first thread starts (store.unpackers), which reads the file that its
thread is still writing. The caller has entered its user namespace.

A blob gets its name when its size and digest are right, a layer when its diff_id is what the
config says, the image when all of it is there. Two pulls of one blob take turns and the second
finds it done. A crash leaves unfinished files in tmp/: a blob's is resumed by the next pull. One
that found the disk full leaves none.
"""

from __future__ import annotations

import os
from _queue import SimpleQueue

from rootless import process
from rootless.errors import IntegrityError, NoRoomError
from rootless.image import copy, registry
from rootless.image import store as ends
from rootless.image.transport import Event
from rootless.leanjson import MAX_BYTES
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.store import Store, blobs, layers
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rootless.image.transport import Document, Read, Report, Source, Tell
    from rootless.oci.descriptor import Descriptor
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client
    from rootless.store.images import Image
    from rootless.store.unpackers import Unpacker


def pull(
    store: Store,
    reference: Reference,
    *,
    platform: Platform,
    client: Client,
    report: Report,
    strict: bool = True,
) -> Image:
    """Bring an image for `platform` into the store and name it `reference`.

    Unless that is `strict`, an image that is for one platform only may be for another.
    `report` is called in this thread. RegistryError, IntegrityError or NotFoundError, and then
    nothing has the name that had not before.
    """
    source = registry.Source(client, reference)
    top = source.manifest()
    document, manifest = copy.choose(source, top, platform)
    sink = ends.Sink(store, (reference,), top.digest)
    copy.persist(source, lambda: copy.config(source, sink, manifest))
    config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
    _check(reference, manifest, config, platform if strict else None)
    pairs = manifest.pair(config.diff_ids)
    origin = f"{reference.registry}/{reference.repository}"
    copy.persist(source, lambda: bring(store, source, pairs, origin, report))
    sink.put_manifest(document, top=True)
    return sink.image


def bring(
    store: Store,
    source: Source,
    pairs: tuple[tuple[Descriptor, Digest], ...],
    origin: str,
    report: Report,
) -> None:
    """Bring some layers of an image, each with its diff_id, into the store, without the image.

    They are held. `origin` is the repository they come from, registry and all, or nothing.
    """
    with _Unpacking(store, pairs, origin) as unpacking:
        copy.blobs(source, unpacking, [blob for blob, _ in pairs], report)


def peek(
    reference: Reference, *, platform: Platform, client: Client, strict: bool = True
) -> tuple[Document, Manifest, ImageConfig]:
    """What the name stands for at the registry, and its manifest and config for `platform`.

    Nothing is kept. `strict` is as for `pull`. RegistryError, IntegrityError or NotFoundError.
    """
    source = registry.Source(client, reference)
    top = source.manifest()
    _, manifest = copy.choose(source, top, platform)
    if manifest.config.size > MAX_BYTES:
        raise IntegrityError("the image config is larger than 4 MiB")
    content = b"".join(source.blob(manifest.config))
    if Digest.of(content) != manifest.config.digest:
        raise IntegrityError(f"the config {manifest.config.digest} has other contents")
    config = ImageConfig.decode(content)
    _check(reference, manifest, config, platform if strict else None)
    return top, manifest, config


def preview(
    store: Store, reference: Reference, *, platform: Platform, client: Client
) -> tuple[Document, list[Event]]:
    """What `pull` would do: asks for manifests and the config, and writes nothing anywhere.

    What the name stands for at the registry, and for each layer the state that comes next: exists
    or downloading.
    """
    top, manifest, config = peek(reference, platform=platform, client=client)
    pairs = {blob.digest: (blob, diff_id) for blob, diff_id in manifest.pair(config.diff_ids)}
    events = []
    for blob, diff_id in pairs.values():
        is_here = blobs.has(store, blob.digest) and _is_unpacked(store, blob, diff_id)
        state = "exists" if is_here else "downloading"
        events.append(Event(blob.digest.short, state, 0, blob.size))
    return top, events


def _check(
    reference: Reference, manifest: Manifest, config: ImageConfig, platform: Platform | None
) -> None:
    """Refuse, before a layer is asked for, what could not become an image (for `platform`)."""
    name = reference.familiar
    for layer in manifest.layers:
        if layer.media_type not in media_types.LAYERS:
            raise IntegrityError(f"{name} has a layer of the unknown kind {layer.media_type!r}")
    if platform and config.platform.architecture:  # whatever an index said about it
        is_for = manifest.config.replace(platform=config.platform)
        Index(media_types.OCI_INDEX, (is_for,)).choose(platform)


class _Unpacking(ends.Sink):
    """The layers of one image: what comes is unpacked beside."""

    def __init__(
        self, store: Store, pairs: tuple[tuple[Descriptor, Digest], ...], origin: str
    ) -> None:
        """Forks: no thread may be running yet."""
        super().__init__(store)
        store.hold([digest for blob, diff_id in pairs for digest in (blob.digest, diff_id)])
        self._origin = origin
        self._diff_ids = _diff_ids(pairs)
        unique = {blob.digest: (blob, diff_id) for blob, diff_id in pairs}
        self._here = {digest for digest, pair in unique.items() if _is_here(store, *pair)}
        self._unpackers: list[Unpacker] = []
        self._idle: SimpleQueue[Unpacker] = SimpleQueue()
        missing = len(unique) - len(self._here)
        if missing == 0:
            return
        from rootless.store.unpackers import Unpacker  # most of what a pull imports

        try:
            for _ in range(min(process.at_once(), missing)):
                self._unpackers.append(Unpacker())
                self._idle.put(self._unpackers[-1])
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Where there is no room for it what has come is not kept for a later download."""
        self.stop()
        if isinstance(error, NoRoomError):
            for digest in self._diff_ids:
                blobs.forget(self.store, digest)

    def stop(self) -> None:
        """End the unpackers: who waits for one is told."""
        for unpacker in self._unpackers:
            unpacker.stop()

    def has(self, blob: Descriptor) -> bool:
        """Whether blob and layer are there."""
        return blob.digest in self._here

    def put_blob(self, blob: Descriptor, read: Read, tell: Tell) -> None:
        """Download, unpack, publish. Waits while another process downloads the same blob."""
        unpacker = self._idle.get()
        self._fetch(unpacker, blob, read, tell)
        self._idle.put(unpacker)

    def _fetch(self, unpacker: Unpacker, blob: Descriptor, read: Read, tell: Tell) -> None:
        with Staging(self.store, ("diff",)) as staged:
            try:
                self._fetch_into(staged, unpacker, blob, read, tell)
            except BaseException:
                unpacker.stop()  # before that in which it may still be writing is thrown away
                raise

    def _fetch_into(
        self, staged: Staging, unpacker: Unpacker, blob: Descriptor, read: Read, tell: Tell
    ) -> None:
        from rootless.store.unpackers import verified

        store, diff_id = self.store, self._diff_ids[blob.digest]
        with blobs.Writer(store, blob) as writer:
            if writer.present and _is_unpacked(store, blob, diff_id):
                tell("exists", blob.size)
                return
            final = blobs.path(store, blob.digest)
            growing = final if writer.present else writer.path
            directory = os.path.join(staged.path, "diff")
            unpacker.begin(growing, final, blob.size, directory, diff_id.algorithm)
            if not writer.present:
                _download(writer, unpacker, read, tell)
            unpacker.feed(blob.size)
            tell("unpacking", blob.size)
            if not writer.present:
                writer.publish()
        measure = verified(unpacker.result(), blob, diff_id)
        layers.publish(store, staged, measure, blob, self._origin)
        tell("done", blob.size)


def _download(writer: blobs.Writer, unpacker: Unpacker, read: Read, tell: Tell) -> None:
    tell("downloading", writer.size)
    for chunk in read(writer.size):
        writer.write(chunk)
        unpacker.feed(writer.size)
        tell("downloading", writer.size)


def _diff_ids(pairs: tuple[tuple[Descriptor, Digest], ...]) -> dict[Digest, Digest]:
    """The layer that each blob is; IntegrityError for one that would be two."""
    found: dict[Digest, Digest] = {}
    for blob, diff_id in pairs:
        if found.setdefault(blob.digest, diff_id) != diff_id:
            raise IntegrityError(
                f"the layer {blob.digest} has other contents than the image's config says: "
                f"it cannot be {found[blob.digest]} and {diff_id}"
            )
    return found


def _is_unpacked(store: Store, blob: Descriptor, diff_id: Digest) -> bool:
    """Whether another process has done all of it meanwhile."""
    layer = layers.find(store, diff_id)
    return layer is not None and layer.is_made_of(blob.digest)


def _is_here(store: Store, blob: Descriptor, diff_id: Digest) -> bool:
    """Whether blob and layer are there, and the one is known, or seen now, to be the other."""
    if not blobs.has(store, blob.digest):
        return False
    return layers.find_made_of(store, diff_id, blob) is not None
