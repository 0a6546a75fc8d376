"""Images as single tar files: `save` and `load`.

What we save is an OCI image layout in a tar (image-spec image-layout.md) with docker's
manifest.json beside it, as docker itself writes since version 25, so readers of either form take
it. What we load is either form, compressed in whatever way: every member becomes a blob under the
digest it really has, and nothing is ever written under a name from the archive. Runs as (mapped)
root. A crash leaves blobs without a name, which the collector takes.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.archive import codecs, tar
from rootless.errors import IntegrityError, UsageError
from rootless.oci import manifest as manifests
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import REF_NAME, Descriptor, text_list
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import blobs, gc, images, index, layers, unpackers
from rootless.store.intake import Intake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rootless.archive import Put, Read
    from rootless.store import Store
    from rootless.store.images import Image

DOCKER_ARCHIVE, OCI_ARCHIVE = "docker-archive", "oci-archive"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_DEEPEST_INDEX = 4
_MOST_LINKS = 8
_KEPT_FILE = 0o644
_OLD_FORM = {"json", "VERSION"}  # beside each layer, for docker before 1.10
_COMPRESSED = {"gzip": media_types.OCI_LAYER_GZIP, "zstd": media_types.OCI_LAYER_ZSTD}


def save(store: Store, names: Sequence[str], put: Put, form: str = DOCKER_ARCHIVE) -> None:
    """Call `put` with the archive of the images called `names`, chunk by chunk.

    An image named by an id is saved without a name. The archive is unfinished, and worthless, when
    an error is raised.
    """
    chosen = [_choose(store, name) for name in names]
    writer = tar.Writer(put)
    _add_file(writer, "oci-layout", _LAYOUT)
    _add_file(writer, "index.json", _saved_index(chosen))
    if form == DOCKER_ARCHIVE:
        _add_file(writer, "manifest.json", _docker_manifest(chosen))
    for folder in ("blobs", "blobs/sha256"):  # other readers give implied folders to real root
        writer.add(tar.Entry(folder.encode(), tar.DIRECTORY, 0o755))
    every = {digest: blob for one in chosen for digest, blob in one.blobs.items()}
    for digest, blob in every.items():
        _add_blob(store, writer, digest, blob)
    writer.close()


def load(store: Store, read: Read) -> tuple[Image, ...]:
    """Take in all images of an archive, each with the names it has there; which may be none.

    A name that stands for an index there does so here, with those of its images that the archive
    has; the one for this machine is unpacked now, the others when they are used. IntegrityError
    when anything in it is not what it says; then nothing has changed.
    """
    try:
        return _load(store, read)
    finally:
        store.let_go()  # of the archive's own files too, which nothing names
        gc.collect(store)


def _load(store: Store, read: Read) -> tuple[Image, ...]:
    members = _take_in(store, codecs.decompress(read))
    if not members.files:
        raise IntegrityError(
            "the archive is empty", hint="did the command that was to write it succeed?"
        )
    found = list(_oci_images(store, members)) or list(_docker_images(store, members))
    if not found:
        raise IntegrityError(
            "the archive holds no image",
            hint="for a plain root filesystem, use: rootless import",
        )
    unique = {one.content: one for one in found}  # many entries may be one image
    _unpack_layers(store, [one.manifest for one in unique.values()])
    names = {reference: one.content for one in found for reference in one.references}
    named: dict[bytes, list[Reference]] = {}
    for reference, content in names.items():
        named.setdefault(content, []).append(reference)
    added = images.add_all(
        store,
        [
            images.Addition(one.content, one.media_type, tuple(named.get(one.content, ())))
            for one in unique.values()
        ],
    )
    by_content = dict(zip(unique, added, strict=True))
    return tuple(by_content[one.content].replace(references=one.references) for one in found)


class _Chosen(Record):
    """An image to save, under the one name it was asked for by.

    `blobs` are all that belong to it, in order; with `image.descriptor` an index, to all images
    of it that are in the store.
    """

    image: images.Image
    reference: Reference | None
    blobs: Mapping[Digest, _Saved]


def _choose(store: Store, name: str) -> _Chosen:
    image = images.resolve(store, name)
    images.hold(store, image)
    saved = _saved_blobs(store, image)
    try:
        reference = Reference.parse(name)
    except UsageError:
        return _Chosen(image, None, saved)
    return _Chosen(image, reference if reference in image.references else None, saved)


def _saved_index(chosen: Sequence[_Chosen]) -> bytes:
    entries = []
    for one in chosen:
        descriptor = one.image.descriptor
        if one.reference:
            (descriptor,) = index.name((), str(one.reference), descriptor)
        entries.append(descriptor)
    return Index(media_types.OCI_INDEX, tuple(entries)).encode()


def _docker_manifest(chosen: Sequence[_Chosen]) -> bytes:
    """Docker's list of images: paths of config and layers in the archive, base first."""
    tags: dict[Digest, list[str]] = {}
    for one in chosen:
        names = tags.setdefault(one.image.descriptor.digest, [])
        names += [one.reference.familiar] if one.reference else []
    by_digest = {one.image.descriptor.digest: one.image.manifest for one in chosen}
    return leanjson.dumps(
        [
            {
                "Config": _blob_name(manifest.config.digest),
                "RepoTags": tags[digest] or None,
                "Layers": [_blob_name(layer.digest) for layer in manifest.layers],
            }
            for digest, manifest in by_digest.items()
        ]
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
    _add_header(writer, _blob_name(digest), blob.size)
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


def _add_file(writer: tar.Writer, name: str, content: bytes) -> None:
    _add_header(writer, name, len(content))
    writer.content(content)
    writer.pad(len(content))


def _add_header(writer: tar.Writer, name: str, size: int) -> None:
    writer.add(tar.Entry(name.encode(), tar.FILE, _KEPT_FILE, size=size))


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


class _Members:
    """The files of an archive, each a blob by now; links are followed in words only."""

    def __init__(self) -> None:
        self.files: dict[str, Digest] = {}
        self.links: dict[str, str] = {}

    def find(self, name: str) -> Digest | None:
        for _ in range(_MOST_LINKS):
            name = os.path.normpath(name)
            if name not in self.links:
                return self.files.get(name)
            name = self.links[name]
        raise IntegrityError(f"{name!r} in the archive is a link to a link without end")

    def get(self, name: str) -> Digest:
        digest = self.find(name)
        if digest is None:
            raise IntegrityError(f"the archive refers to {name[:200]!r}, but does not contain it")
        return digest


class _Found(Record):
    """An image of an archive, its blobs in the store, nothing unpacked or named yet.

    `content` is the manifest's, or that of an index of which `manifest` is the fitting one.
    """

    content: bytes
    media_type: str
    manifest: Manifest
    references: tuple[Reference, ...] = ()


def _take_in(store: Store, read: Read) -> _Members:
    """Store every file of the archive as a blob."""
    members = _Members()
    reader = tar.Reader(read)
    with Intake(store) as intake:
        for entry in reader:
            name = os.fsdecode(entry.name)
            if entry.kind == tar.FILE and os.path.basename(name) not in _OLD_FORM:
                members.links.pop(name, None)
                members.files[name] = intake.take(reader.chunk, _expected(name))
            elif entry.kind == tar.SYMLINK:
                members.links[name] = os.path.join(os.path.dirname(name), os.fsdecode(entry.link))
            elif entry.kind == tar.LINK:
                members.links[name] = os.fsdecode(entry.link)
        intake.publish()
    return members


def _expected(name: str) -> Digest | None:
    """The digest that a member's name says it has."""
    folder, _, value = name.rpartition("/")
    if folder not in {"blobs/sha256", "blobs/sha512"}:
        return None
    return Digest.parse(f"{folder.removeprefix('blobs/')}:{value}")


def _oci_images(store: Store, members: _Members) -> Iterator[_Found]:
    """Images that the archive's index.json lists."""
    if (digest := members.find("index.json")) is None:
        return
    value = leanjson.loads(blobs.read(store, digest), "index.json")
    entries = value.get("manifests") if isinstance(value, dict) else None
    documents = _Documents(store, members)
    known: dict[Digest, _Found] = {}  # thousands of entries may be one big index
    for entry in entries or ():
        descriptor = Descriptor.decode(entry)
        if descriptor.digest not in known:
            known[descriptor.digest] = documents.image(descriptor)
        _check_blob(store, members, descriptor)
        yield known[descriptor.digest].replace(references=_references(descriptor))


class _Documents:
    """The manifests and indexes of an archive, each decoded and checked once."""

    def __init__(self, store: Store, members: _Members) -> None:
        self._store = store
        self._members = members
        self._known: dict[Digest, Manifest | Index | IntegrityError] = {}

    def image(self, top: Descriptor) -> _Found:
        """The image that an entry of index.json stands for."""
        descriptor = top
        for _ in range(_DEEPEST_INDEX):
            value = self._open(descriptor)
            if isinstance(value, Manifest):
                content = blobs.read(self._store, descriptor.digest)
                return _Found(content, value.media_type, value)
            chosen = self._choose(value)
            fitting = self._open(chosen)
            if isinstance(fitting, Manifest) and self._is_whole(value):
                content = blobs.read(self._store, descriptor.digest)
                return _Found(content, value.media_type, fitting)
            descriptor = chosen
        raise IntegrityError("the archive's index is nested too deep")

    def _choose(self, found: Index) -> Descriptor:
        """The image for this machine, or the only one, of those that the archive has."""
        here = [one for one in found.images if self._members.find(_blob_name(one.digest))]
        return here[0] if len(here) == 1 else found.choose(Platform.host())

    def _is_whole(self, found: Index) -> bool:
        """Whether all of an index may be kept: what the archive has of it is complete, and what it
        has not, it does not claim of this store's.
        """
        for one in {image.digest: image for image in found.images}.values():
            if not self._members.find(_blob_name(one.digest)):
                if blobs.has(self._store, one.digest):
                    return False
                continue
            try:
                if isinstance(self._open(one), Index):
                    return False
            except IntegrityError:
                return False
        return True

    def _open(self, descriptor: Descriptor) -> Manifest | Index:
        """IntegrityError when it, or what it needs, is not in the archive as it should be."""
        _check_blob(self._store, self._members, descriptor)
        found = self._known.get(descriptor.digest)
        if found is None:
            try:
                found = self._decode(descriptor)
            except IntegrityError as error:
                found = error
            self._known[descriptor.digest] = found
        if isinstance(found, IntegrityError):
            raise found
        return found

    def _decode(self, descriptor: Descriptor) -> Manifest | Index:
        content = blobs.read(self._store, descriptor.digest)
        found = manifests.decode(content, descriptor.media_type)
        if isinstance(found, Manifest):
            for blob in (found.config, *found.layers):
                _check_blob(self._store, self._members, blob)
        return found


def _check_blob(store: Store, members: _Members, descriptor: Descriptor) -> None:
    """The archive must bring each blob itself: a store's secrets cannot be claimed by digest."""
    digest = members.get(_blob_name(descriptor.digest))
    size = os.path.getsize(blobs.path(store, digest))
    if (digest, size) != (descriptor.digest, descriptor.size):
        raise IntegrityError(
            f"the archive's {descriptor.digest} has {size} bytes instead of {descriptor.size}"
        )


def _references(descriptor: Descriptor) -> tuple[Reference, ...]:
    """The name of an OCI archive's image; none where it is a bare word like `latest`."""
    name = descriptor.annotations.get(index.CONTAINERD_NAME) or descriptor.annotations.get(REF_NAME)
    if not name or not set(name) & set(":/"):
        return ()
    return _tags([name])


def _tags(names: Sequence[str]) -> tuple[Reference, ...]:
    """Names from archives are tags. One with a digest would claim what only a registry can say."""
    return tuple(one for one in map(Reference.parse, names) if one.digest is None)


def _docker_images(store: Store, members: _Members) -> Iterator[_Found]:
    """Images that docker's manifest.json lists, with a manifest of our own making."""
    if (digest := members.find("manifest.json")) is None:
        return
    entries = leanjson.loads(blobs.read(store, digest), "manifest.json")
    if not isinstance(entries, list):
        raise IntegrityError("the archive's manifest.json is not a list of images")
    for entry in entries:
        yield _docker_image(store, members, entry)


def _docker_image(store: Store, members: _Members, entry: Any) -> _Found:
    if not isinstance(entry, dict) or not isinstance(entry.get("Config"), str):
        raise IntegrityError("the archive's manifest.json names an image without a config")
    config = members.get(entry["Config"])
    names = text_list(entry.get("Layers"), "Layers")
    manifest = Manifest(
        media_types.OCI_MANIFEST,
        _descriptor(store, config, media_types.OCI_CONFIG),
        tuple(_layer_descriptor(store, members.get(name)) for name in names),
    )
    tags = _tags(text_list(entry.get("RepoTags"), "RepoTags"))
    return _Found(manifest.encode(), manifest.media_type, manifest, tags)


def _layer_descriptor(store: Store, digest: Digest) -> Descriptor:
    with blobs.open_file(store, digest) as file:
        compression = codecs.recognise(file.read(codecs.ENOUGH))
    return _descriptor(store, digest, _COMPRESSED.get(compression, media_types.OCI_LAYER))


def _descriptor(store: Store, digest: Digest, media_type: str) -> Descriptor:
    return Descriptor(media_type, digest, os.path.getsize(blobs.path(store, digest)))


def _unpack_layers(store: Store, found: Sequence[Manifest]) -> None:
    """Unpack what is not unpacked yet; every layer must be what the config says it is."""
    pairs = {}
    for manifest in found:
        config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
        for blob, diff_id in manifest.pair(config.diff_ids):
            pairs[blob.digest, diff_id] = (blob, diff_id)
    store.hold([diff_id for _, diff_id in pairs])
    missing = [
        (blob, diff_id)
        for blob, diff_id in pairs.values()
        if not layers.find_made_of(store, diff_id, blob)
    ]
    unpackers.unpack(store, missing)
