"""The store's ends of a copy.

What comes in is held, and named when all of it is there. A layer that an image lists uncompressed
may be no blob: it is written from its directory, as (mapped) root, while it is sent.
"""

from __future__ import annotations

import threading
from queue import Queue

from rootless.errors import IntegrityError
from rootless.image.transport import Document
from rootless.oci.digest import Digest
from rootless.store import blobs, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.transport import Read, Tell
    from rootless.oci.descriptor import Descriptor
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image
    from rootless.store.layers import Layer

_CHUNK = 256 << 10
_AHEAD = 8  # pieces of a tar that wait for who sends them


class Source:
    """An image of the store: the manifest or index that its names stand for."""

    def __init__(self, store: Store, image: Image) -> None:
        images.hold(store, image)
        self._store = store
        self._top = image.descriptor

    def manifest(self, digest: Digest | None = None) -> Document:
        """As `transport.Source`; NotFoundError where an index lists what is not here."""
        content = blobs.read(self._store, digest or self._top.digest)
        media_type = "" if digest else self._top.media_type
        return Document(content, media_type, digest or self._top.digest)

    def blob(self, blob: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """As `transport.Source`; NotFoundError."""
        layer = layers.find(self._store, blob.digest)
        if layer is None or blobs.has(self._store, blob.digest):
            return read_blob(self._store, blob.digest, offset)
        return _from(offset, _tar(self._store, layer))

    def doubt(self) -> bool:
        """As `transport.Source`: there is this store only."""
        return False

    def stop(self) -> None:
        """Nothing here waits for others."""


def read_blob(store: Store, digest: Digest, offset: int) -> Iterator[bytes]:
    """A blob's bytes from `offset` on; NotFoundError."""
    with blobs.open_file(store, digest) as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK):
            yield chunk


def _from(offset: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What comes after `offset` bytes."""
    for chunk in chunks:
        if offset < len(chunk):
            yield chunk[offset:]
        offset = max(0, offset - len(chunk))


class _EndedError(Exception):
    """Nobody wants the rest of a tar."""


def _tar(store: Store, layer: Layer) -> Iterator[bytes]:
    """The layer's tar, which a thread writes a few pieces ahead of who reads."""
    pieces: Queue[bytes | BaseException | None] = Queue(_AHEAD)
    ended = False

    def put(piece: bytes) -> None:
        if ended:
            raise _EndedError
        pieces.put(bytes(piece))

    def write() -> None:
        try:
            layers.write_tar(store, layer, put)
            pieces.put(None)
        except _EndedError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the reading thread
            pieces.put(error)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        ended = True
        while thread.is_alive():
            while not pieces.empty():
                pieces.get()
            thread.join(0.01)


class Sink:
    """An image on its way into the store, where it gets `references`.

    `source` is the digest under which a registry serves it. `image` is what came of it.
    """

    image: Image

    def __init__(
        self, store: Store, references: tuple[Reference, ...] = (), source: Digest | None = None
    ) -> None:
        self.store = store
        self._references = references
        self._source = source

    def has(self, blob: Descriptor) -> bool:
        """As `transport.Sink`; the blob is held."""
        self.store.hold([blob.digest])
        return blobs.has(self.store, blob.digest)

    def mount(self, blob: Descriptor) -> str | None:  # noqa: ARG002 - there is one place only
        """Never: what the store has, it has."""
        return None

    def put_blob(self, blob: Descriptor, read: Read, tell: Tell) -> None:
        """As `transport.Sink`; waits while another process writes the same blob."""
        with blobs.Writer(self.store, blob) as writer:
            if writer.present:
                tell("exists", blob.size)
                return
            tell("downloading", writer.size)
            for chunk in read(writer.size):
                writer.write(chunk)
                tell("downloading", writer.size)
            writer.publish()
        tell("done", blob.size)

    def put_manifest(self, document: Document, *, top: bool) -> None:
        """As `transport.Sink`; NotFoundError when a layer is missing."""
        if not top:
            blobs.put(self.store, document.content)
            return
        media_type = document.decode().media_type
        self.image = images.add(
            self.store, document.content, media_type, self._references, self._source
        )

    def stop(self) -> None:
        """Nothing here waits for others."""


class Taking(Sink):
    """The same for what somebody brings who must have it: a digest alone claims nothing."""

    def has(self, blob: Descriptor) -> bool:
        """Never: what is here already is compared."""
        self.store.hold([blob.digest])
        return False

    def put_blob(self, blob: Descriptor, read: Read, tell: Tell) -> None:
        """As `transport.Sink`; IntegrityError when it is not what its digest says."""
        if not blobs.has(self.store, blob.digest):
            super().put_blob(blob, read, tell)
            return
        import hashlib

        hashed = hashlib.new(blob.digest.algorithm)
        for chunk in read(0):
            hashed.update(chunk)
        if hashed.hexdigest() != blob.digest.hex:
            raise IntegrityError(f"the blob {blob.digest} has other contents")
        tell("exists", blob.size)
