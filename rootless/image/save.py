"""Images as single tar files: `save`, and a folder packed up.

What we write is an OCI image layout in a tar (image-spec image-layout.md) with docker's
manifest.json beside it, as docker itself writes since version 25, so readers of either form take
it. Runs as (mapped) root. A crash leaves what the caller has written.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.archive import tar
from rootless.errors import IntegrityError, UsageError
from rootless.image.archives import blob_name
from rootless.oci import media_types
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import blobs, images, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from rootless.archive import Put
    from rootless.image.folder import Folder
    from rootless.image.transport import Document
    from rootless.oci.platform import Platform
    from rootless.store import Store
    from rootless.store.images import Image

DOCKER_ARCHIVE, OCI_ARCHIVE = "docker-archive", "oci-archive"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_KEPT_FILE = 0o644
_CHUNK = 1 << 20


def save(
    store: Store,
    names: Sequence[str],
    put: Put,
    form: str = DOCKER_ARCHIVE,
    platform: Platform | None = None,
) -> None:
    """Call `put` with the archive of the images called `names`, chunk by chunk.

    Of an index all that is here, or the image for a `platform` alone. An image named by an id is
    saved without a name. The archive is unfinished, and worthless, when an error is raised.
    """
    write(store, [_choose(store, name, platform) for name in names], put, form)


def write(store: Store, chosen: Sequence[Chosen], put: Put, form: str) -> None:
    """The same of images that somebody has chosen, and holds."""
    writer = tar.Writer(put)
    _add_file(writer, "oci-layout", _LAYOUT)
    _add_file(writer, "index.json", _saved_index(chosen))
    if form == DOCKER_ARCHIVE:
        _add_file(writer, "manifest.json", _docker_manifest(chosen))
    _add_folders(writer, ["sha256"])
    every = {digest: blob for one in chosen for digest, blob in one.blobs.items()}
    for digest, blob in every.items():
        _add_blob(store, writer, digest, blob)
    writer.close()


def pack(folder: Folder, document: Document, name: str, put: Put, form: str) -> None:
    """Call `put` with the archive of an OCI image layout that is about `document` alone.

    UsageError when a docker archive is to hold an index.
    """
    writer = tar.Writer(put)
    for file in ("oci-layout", "index.json"):
        _add_file(writer, file, folder.read(file))
    if form == DOCKER_ARCHIVE:
        _add_file(writer, "manifest.json", _docker_list(document, name))
    algorithms = folder.names("blobs")
    _add_folders(writer, algorithms)
    for member in (f"blobs/{one}/{blob}" for one in algorithms for blob in _blobs(folder, one)):
        with open(folder.open(member), "rb", buffering=0) as content:
            size = os.fstat(content.fileno()).st_size
            _add_header(writer, member, size)
            while chunk := content.read(_CHUNK):
                writer.content(chunk)
            writer.pad(size)
    writer.close()


def _blobs(folder: Folder, algorithm: str) -> list[str]:
    return folder.names(f"blobs/{algorithm}")


def _docker_list(document: Document, name: str) -> bytes:
    manifest = document.decode()
    if isinstance(manifest, Index):
        raise UsageError(
            "a docker archive cannot hold an index", hint="copy to oci-archive:FILE, or one image"
        )
    tags = [Reference.parse(name).familiar] if name else []
    return leanjson.dumps([_docker_entry(manifest, tags)])


def _docker_entry(manifest: Manifest, tags: Sequence[str]) -> dict[str, Any]:
    """Paths of config and layers in the archive, base first."""
    return {
        "Config": blob_name(manifest.config.digest),
        "RepoTags": list(tags) or None,
        "Layers": [blob_name(layer.digest) for layer in manifest.layers],
    }


class Chosen(Record):
    """An image to save, under the one name it was asked for by.

    `blobs` are all that belong to it, in order; with `image.descriptor` an index, to all images
    of it that are in the store.
    """

    image: images.Image
    reference: Reference | None
    blobs: Mapping[Digest, _Saved]

    @classmethod
    def of(cls, store: Store, image: Image, reference: Reference | None) -> Chosen:
        """An image that is held, be it named in the store or not."""
        return cls(image, reference, _saved_blobs(store, image))


def _choose(store: Store, name: str, platform: Platform | None) -> Chosen:
    image = images.resolve(store, name, platform)
    images.hold(store, image)
    if platform:
        family = images.family(store, image)
        alone = next(top for top, one in family if one.manifest == image.manifest)
        image = image.replace(descriptor=alone)
    try:
        reference = Reference.parse(name)
    except UsageError:
        return Chosen.of(store, image, None)
    return Chosen.of(store, image, reference if reference in image.references else None)


def _saved_index(chosen: Sequence[Chosen]) -> bytes:
    entries = []
    for one in chosen:
        descriptor = one.image.descriptor
        if one.reference:
            (descriptor,) = index.name((), str(one.reference), descriptor)
        entries.append(descriptor)
    return Index(media_types.OCI_INDEX, tuple(entries)).encode()


def _docker_manifest(chosen: Sequence[Chosen]) -> bytes:
    """Docker's list of images."""
    tags: dict[Digest, list[str]] = {}
    for one in chosen:
        names = tags.setdefault(one.image.descriptor.digest, [])
        names += [one.reference.familiar] if one.reference else []
    by_digest = {one.image.descriptor.digest: one.image.manifest for one in chosen}
    return leanjson.dumps(
        [_docker_entry(manifest, tags[digest]) for digest, manifest in by_digest.items()]
    )


class _Saved(Record):
    """A blob to save: its size, and the layer it is the tar of where it is one."""

    size: int
    diff_id: Digest | None = None


def _saved_blobs(store: Store, image: Image) -> dict[Digest, _Saved]:
    """Every blob of an image once, in a fixed order."""
    found = {image.descriptor.digest: _Saved(image.descriptor.size)}
    for descriptor, one in images.family(store, image):
        found[descriptor.digest] = _Saved(descriptor.size)
        found[one.manifest.config.digest] = _Saved(one.manifest.config.size)
        found.update({blob.digest: _Saved(blob.size, diff_id) for blob, diff_id in one.layers})
    return found


def _add_blob(store: Store, writer: tar.Writer, digest: Digest, blob: _Saved) -> None:
    _add_header(writer, blob_name(digest), blob.size)
    written = 0

    def put(chunk: bytes) -> None:
        nonlocal written
        written += len(chunk)
        writer.content(chunk)

    layer = layers.find(store, blob.diff_id) if digest == blob.diff_id else None
    if layer:
        layers.write_tar(store, layer, put)
    else:
        blobs.copy(store, digest, put)
    if written != blob.size:
        raise IntegrityError(f"{digest} has {written} bytes in the store instead of {blob.size}")
    writer.pad(written)


def _add_folders(writer: tar.Writer, algorithms: Iterable[str]) -> None:
    """Other readers give folders that are only implied to real root."""
    for folder in ("blobs", *(f"blobs/{one}" for one in algorithms)):
        writer.add(tar.Entry(folder.encode(), tar.DIRECTORY, 0o755))


def _add_file(writer: tar.Writer, name: str, content: bytes) -> None:
    _add_header(writer, name, len(content))
    writer.content(content)
    writer.pad(len(content))


def _add_header(writer: tar.Writer, name: str, size: int) -> None:
    writer.add(tar.Entry(name.encode(), tar.FILE, _KEPT_FILE, size=size))
