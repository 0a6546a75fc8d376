"""The store as a registry shows it: repositories, their tags, and what belongs to each.

A repository is the part of a name before the tag as people write it: `busybox`, `library/busybox`
and `docker.io/library/busybox` are one. Nothing is given out by a digest alone: a blob must belong
to an image of the repository that is asked, or have been brought to it. Threads may share a shelf.
Runs as (mapped) root. A crash leaves blobs without a name, which the collector takes.
"""

from __future__ import annotations

import os
import threading

from rootless.errors import IntegrityError, NotFoundError, UsageError
from rootless.image import store as ends
from rootless.image.transport import Document
from rootless.oci import manifest as manifests
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import Store, blobs, images, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_State = tuple[int, int, int]


class _Blob(Record):
    """A blob, and the image it is of where that is known: a layer may be no file."""

    descriptor: Descriptor
    image: images.Image | None = None


class _Repository(Record):
    """What one has: `tops` by tag; by digest `blobs`, and the media types of all `documents`."""

    tops: Mapping[str, Digest]
    documents: Mapping[Digest, str]
    blobs: Mapping[Digest, _Blob]


class Shelf:
    """What a store has for others."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._state: _State = (0, 0, 0)
        self._known: dict[tuple[str, str], _Repository] = {}
        self._brought: dict[tuple[str, str], dict[Digest, _Blob]] = {}

    def repositories(self) -> list[str]:
        """All of them, as people write them."""
        return sorted({reference.familiar_name for reference in self._names()})

    def tags(self, name: str) -> list[str]:
        """The tags of a repository; NotFoundError where there are none."""
        wanted = _parse(name)
        tags = {one.tag for one in self._names() if _key(one) == _key(wanted) and one.tag}
        if not tags:
            raise NotFoundError(f"there is no repository {wanted.familiar_name}")
        return sorted(tags)

    def document(self, name: str, reference: str) -> Document:
        """A manifest or an index of a repository, by tag or digest; NotFoundError."""
        repository = self._repository(_parse(name))
        digest = Digest.parse(reference) if ":" in reference else repository.tops.get(reference)
        if digest is None or digest not in repository.documents:
            raise NotFoundError(f"there is no {name}:{reference}")
        return Document(blobs.read(self.store, digest), repository.documents[digest], digest)

    def size(self, name: str, digest: Digest) -> int | None:
        """How large a blob of a repository is; None where it has no such blob."""
        found = self._find(name, digest)
        return found.descriptor.size if found else None

    def blob(self, name: str, digest: Digest, offset: int = 0) -> Iterator[bytes]:
        """Its bytes from `offset` on, held while they are read; NotFoundError."""
        found = self._find(name, digest)
        if found is None or found.image is None:
            yield from ends.read_blob(self.store, digest, offset)
            return
        reading = Store(self.store.root)
        try:
            yield from ends.Source(reading, found.image).blob(found.descriptor, offset)
        finally:
            reading.let_go()

    def mount(self, name: str, digest: Digest, origin: str) -> bool:
        """Give a repository what `origin` has; False where it has no such blob."""
        found = self._find(origin, digest)
        if found is None:
            return False
        if found.image:
            images.hold(self.store, found.image)
        self.store.hold([digest])
        if not found.image and not blobs.has(self.store, digest):
            return False
        self._take(name, found)
        return True

    def take(self, name: str, digest: Digest) -> None:
        """Note that somebody has brought the blob, which the store has now."""
        size = os.path.getsize(blobs.path(self.store, digest))
        self._take(name, _Blob(Descriptor("", digest, size)))

    def _take(self, name: str, blob: _Blob) -> None:
        self._brought.setdefault(_key(_parse(name)), {})[blob.descriptor.digest] = blob

    def _find(self, name: str, digest: Digest) -> _Blob | None:
        wanted = _parse(name)
        brought = self._brought.get(_key(wanted), {})
        return brought.get(digest) or self._repository(wanted).blobs.get(digest)

    def put(self, name: str, reference: str, content: bytes, media_type: str) -> Digest:
        """Take a manifest or an index, and give it the tag `reference` if that is none of its own.

        IntegrityError where it lists what nobody has brought.
        """
        found = manifests.decode(content, media_type)
        wanted = Digest.parse(reference) if ":" in reference else None
        digest = Digest.of(content, wanted.algorithm if wanted else "sha256")
        entries = found.images if isinstance(found, Index) else (found.config, *found.layers)
        for entry in entries:
            if self._size_of(name, entry.digest) != entry.size:
                raise IntegrityError(f"the repository has no {entry.digest} of {entry.size} bytes")
        if wanted is None:
            tag = Reference.parse(f"{name}:{reference}")
            images.add(self.store, content, found.media_type, (tag,))
        elif digest == wanted:
            blobs.put(self.store, content, digest.algorithm)
        else:
            raise IntegrityError(f"the manifest hashes to {digest}")
        self.take(name, digest)
        return digest

    def _size_of(self, name: str, digest: Digest) -> int | None:
        """Of a blob or a manifest of the repository."""
        if digest in self._repository(_parse(name)).documents:
            return len(blobs.read(self.store, digest))
        return self.size(name, digest)

    def _names(self) -> list[Reference]:
        names = (index.name_of(entry) for entry in index.read(self.store))
        return [Reference.parse(name) for name in names if name]

    def _repository(self, wanted: Reference) -> _Repository:
        """As index.json has it now; read once, until that changes."""
        with self._lock:
            state = _state_of(self.store.path("index.json"))
            if state != self._state:
                self._state, self._known = state, {}
            found = self._known.get(_key(wanted))
            if found is None:
                found = self._read(wanted)
                if found.tops:  # what anybody may ask for without end is not kept
                    self._known[_key(wanted)] = found
            return found

    def _read(self, wanted: Reference) -> _Repository:
        tops: dict[str, Digest] = {}
        documents: dict[Digest, str] = {}
        found: dict[Digest, _Blob] = {}
        for reference in self._names():
            if _key(reference) != _key(wanted) or not reference.tag:
                continue
            image = images.resolve(self.store, str(reference))
            tops[reference.tag] = image.descriptor.digest
            documents[image.descriptor.digest] = image.descriptor.media_type
            for descriptor, one in images.family(self.store, image):
                documents[descriptor.digest] = descriptor.media_type
                for blob in (one.manifest.config, *one.manifest.layers):
                    found[blob.digest] = _Blob(blob, one.replace(descriptor=descriptor))
        return _Repository(tops, documents, found)


def _parse(name: str) -> Reference:
    """A repository by its name; NotFoundError for what can be none."""
    try:
        return Reference.parse(f"{name}:latest")
    except UsageError as error:
        raise NotFoundError(error.message) from None


def _key(reference: Reference) -> tuple[str, str]:
    return reference.registry, reference.repository


def _state_of(path: str) -> _State:
    """What tells one index.json from the next, which is another file."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_mtime_ns, status.st_size
