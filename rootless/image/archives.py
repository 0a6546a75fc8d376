"""Images in single tar files: OCI image layouts and docker's archives, compressed in whatever way.

Every member becomes a blob of the store under the digest it really has, and nothing is ever
written under a name from the archive. Runs as (mapped) root. A crash leaves blobs without a name,
which the collector takes.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.archive import codecs, tar
from rootless.errors import IntegrityError, NotFoundError
from rootless.image import store as ends
from rootless.image.transport import Document
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
    from collections.abc import Iterator, Sequence
    from typing import Any

    from rootless.archive import Read
    from rootless.store import Store
    from rootless.store.images import Image

_DEEPEST_INDEX = 4
_MOST_LINKS = 8
_OLD_FORM = {"json", "VERSION"}  # beside each layer, for docker before 1.10
_COMPRESSED = {"gzip": media_types.OCI_LAYER_GZIP, "zstd": media_types.OCI_LAYER_ZSTD}


def load(store: Store, read: Read, platform: Platform | None = None) -> tuple[Image, ...]:
    """Take in all images of an archive, each with the names it has there; which may be none.

    A name that stands for an index there does so here, with those of its images that the archive
    has; the one for this machine is unpacked now, the others when they are used. With a `platform`
    only the images for it are taken, NotFoundError where there is none. IntegrityError
    when anything in it is not what it says; then nothing has changed.
    """
    try:
        return _load(store, read, platform)
    finally:
        store.let_go()  # of the archive's own files too, which nothing names
        gc.collect(store)


def _load(store: Store, read: Read, platform: Platform | None) -> tuple[Image, ...]:
    found = _find(store, _take_in(store, codecs.decompress(read)), platform)
    if platform:
        for one in found:
            _check_platform(store, one, platform)
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


def _check_platform(store: Store, found: _Found, platform: Platform) -> None:
    has = ImageConfig.decode(blobs.read(store, found.manifest.config.digest)).platform
    if not has.runs_on(platform):
        names = ", ".join(one.familiar for one in found.references) or found.label or "the image"
        raise NotFoundError(
            f"{names} was found but does not provide the specified platform ({platform})",
            hint=f"it is for {has}",
        )


class Source:
    """One image of an archive, to be copied: its files are blobs by now, held and without a name.

    `name` is that of the image there, "" for the only one.
    """

    def __init__(self, store: Store, read: Read, name: str = "") -> None:
        """NotFoundError, IntegrityError."""
        self._store = store
        members = _take_in(store, codecs.decompress(read))
        self._top = _called(_find(store, members), name)
        self._digests = set(members.files.values())

    def manifest(self, digest: Digest | None = None) -> Document:
        """As `transport.Source`; NotFoundError for what only the store has."""
        if digest is None:
            content = self._top.content
            return Document(content, self._top.media_type, Digest.of(content))
        self._check(digest)
        return Document(blobs.read(self._store, digest), "", digest)

    def blob(self, blob: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """As `transport.Source`; NotFoundError, IntegrityError."""
        self._check(blob.digest)
        _check_size(self._store, blob)
        return ends.read_blob(self._store, blob.digest, offset)

    def doubt(self) -> bool:
        """As `transport.Source`: there is this archive only."""
        return False

    def stop(self) -> None:
        """Nothing here waits for others."""

    def _check(self, digest: Digest) -> None:
        if digest not in self._digests:
            raise NotFoundError(f"the archive refers to {digest}, but does not contain it")


def _called(found: Sequence[_Found], name: str) -> _Found:
    """The image of that name, or the only one."""
    unique = {one.content: one for one in found if not name or one.is_called(name)}
    if len(unique) == 1:
        return next(iter(unique.values()))
    names = sorted({reference.familiar for one in found for reference in one.references})
    what = f"no image called {name}" if name and not unique else f"{len(unique)} images"
    hint = f"name one of: {', '.join(names[:20])}" if names else None
    raise NotFoundError(f"the archive has {what}", hint=hint)


def blob_name(digest: Digest) -> str:
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
    label: str = ""

    def is_called(self, name: str) -> bool:
        """Whether that is a name of it, or the bare word that an OCI layout has for it."""
        names = {name for one in self.references for name in (one.familiar, str(one))}
        return name in {self.label, *names}


def _find(store: Store, members: _Members, platform: Platform | None = None) -> list[_Found]:
    """All images of an archive, of indexes that for a `platform`; IntegrityError without any."""
    if not members.files:
        raise IntegrityError(
            "the archive is empty", hint="did the command that was to write it succeed?"
        )
    found = list(_oci_images(store, members, platform)) or list(_docker_images(store, members))
    if not found:
        raise IntegrityError(
            "the archive holds no image",
            hint="for a plain root filesystem, use: rootless import",
        )
    return found


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


def _oci_images(store: Store, members: _Members, platform: Platform | None) -> Iterator[_Found]:
    """Images that the archive's index.json lists."""
    if (digest := members.find("index.json")) is None:
        return
    value = leanjson.loads(blobs.read(store, digest), "index.json")
    entries = value.get("manifests") if isinstance(value, dict) else None
    documents = _Documents(store, members, platform)
    known: dict[Digest, _Found] = {}  # thousands of entries may be one big index
    for entry in entries or ():
        descriptor = Descriptor.decode(entry)
        if descriptor.digest not in known:
            known[descriptor.digest] = documents.image(descriptor)
        _check_blob(store, members, descriptor)
        label = descriptor.annotations.get(REF_NAME, "")
        references = _references(descriptor)
        yield known[descriptor.digest].replace(references=references, label=label)


class _Documents:
    """The manifests and indexes of an archive, each decoded and checked once.

    With a `platform` no index is kept, but the image for it.
    """

    def __init__(self, store: Store, members: _Members, platform: Platform | None) -> None:
        self._platform = platform
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
            alone = self._platform is not None
            if not alone and isinstance(fitting, Manifest) and self._is_whole(value):
                content = blobs.read(self._store, descriptor.digest)
                return _Found(content, value.media_type, fitting)
            descriptor = chosen
        raise IntegrityError("the archive's index is nested too deep")

    def _choose(self, found: Index) -> Descriptor:
        """The image for this machine, or the only one, of those that the archive has."""
        here = [one for one in found.images if self._members.find(blob_name(one.digest))]
        if self._platform:
            return found.replace(manifests=tuple(here)).choose(self._platform)
        return here[0] if len(here) == 1 else found.choose(Platform.host())

    def _is_whole(self, found: Index) -> bool:
        """Whether all of an index may be kept: what the archive has of it is complete, and what it
        has not, it does not claim of this store's.
        """
        for one in {image.digest: image for image in found.images}.values():
            if not self._members.find(blob_name(one.digest)):
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
    digest = members.get(blob_name(descriptor.digest))
    if digest != descriptor.digest:
        raise IntegrityError(f"the archive's {descriptor.digest} has other contents")
    _check_size(store, descriptor)


def _check_size(store: Store, descriptor: Descriptor) -> None:
    size = os.path.getsize(blobs.path(store, descriptor.digest))
    if size != descriptor.size:
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
