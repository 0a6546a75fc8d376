"""Images: manifests with names. What `images`, `tag`, `rmi` and `inspect` are about.

An image's id is the digest of its config, as in docker; its manifest and config keep the bytes
they came as. Resolving a name is three small reads and works outside the namespace; so does all
here but `layers_of` when it must unpack again, and `remove`, which deletes layers.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.oci import manifest as manifests
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Manifest
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import blobs, index, layers, sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rootless.store import Store
    from rootless.store.layers import Layer

_HEX = frozenset("0123456789abcdef")


class Image(Record):
    """One image of the store with all its names.

    `repo_digests` are full `name@digest` references under which a registry serves it.
    """

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig
    references: tuple[Reference, ...] = ()
    repo_digests: tuple[Reference, ...] = ()

    @property
    def id(self) -> Digest:
        """The digest of the config."""
        return self.manifest.config.digest

    @property
    def created(self) -> str:
        """RFC 3339, or empty."""
        return self.config.created

    @property
    def layers(self) -> tuple[tuple[Descriptor, Digest], ...]:
        """Each layer as its manifest lists it, with its diff_id; base first."""
        return self.manifest.pair(self.config.diff_ids)


class Removal(Record):
    """What `remove` did: names taken away, then digests of image and layers deleted."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[Digest, ...] = ()


def resolve(store: Store, text: str) -> Image:
    """The image called `text`: a name, name@digest, an id or a unique beginning of one.

    NotFoundError, UsageError (not a name at all), or RootlessError when it is ambiguous.
    """
    entries = index.read(store)
    return load(store, _find(store, entries, text), entries)


def listing(
    store: Store, left_out: Callable[[str, RootlessError], object] | None = None
) -> tuple[Image, ...]:
    """All images, dangling ones too, the last added first.

    The first damaged one is an error; with `left_out`, which is called with its name or short
    digest and that error, it is left out.
    """
    entries = index.read(store)
    firsts = {entry.digest: entry for entry in reversed(entries)}
    found = []
    for entry in firsts.values():
        try:
            found.append(load(store, entry, entries))
        except (NotFoundError, IntegrityError) as error:
            if left_out is None:
                raise
            name = index.name_of(entry)
            left_out(_familiar([name])[0] if name else entry.digest.short, error)
    return tuple(found)


def layer_sizes(store: Store, image: Image) -> tuple[int, ...]:
    """Bytes of each layer's tar, base first; one that is not unpacked counts as stored."""
    known = ((blob, layers.find(store, diff_id)) for blob, diff_id in image.layers)
    return tuple(layer.size if layer else blob.size for blob, layer in known)


def size(store: Store, image: Image) -> int:
    """Bytes of all the image's layers, as `layer_sizes` counts them."""
    return sum(layer_sizes(store, image))


def tag(store: Store, reference: Reference, descriptor: Descriptor) -> None:
    """Give an image of the store a name, durably; whatever had the name loses it."""
    index.update(store, lambda entries: index.name(entries, str(reference), descriptor))


def commit(
    store: Store,
    config: ImageConfig,
    layer_descriptors: Iterable[Descriptor],
    references: Iterable[Reference] = (),
) -> Image:
    """Write an image's config and manifest, and name it; without names it is dangling.

    The layers must be in the store: as blobs or, uncompressed ones, as layer directories.
    """
    content = config.encode()
    config_descriptor = Descriptor(media_types.OCI_CONFIG, blobs.put(store, content), len(content))
    manifest = Manifest(media_types.OCI_MANIFEST, config_descriptor, tuple(layer_descriptors))
    return add(store, manifest.encode(), manifest.media_type, references)


def add(
    store: Store,
    manifest: bytes,
    media_type: str,
    references: Iterable[Reference] = (),
    annotations: Mapping[str, str] = {},
) -> Image:
    """Store manifest bytes as they came and name the image, whose other blobs are there.

    `annotations` go into its index entries, see `index.SOURCE_DIGEST`.
    """
    descriptor = Descriptor(media_type, blobs.put(store, manifest), len(manifest))
    config = load(store, descriptor, ()).config
    descriptor = descriptor.replace(platform=config.platform, annotations=annotations)

    def change(entries: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        for reference in references:
            entries = index.name(entries, str(reference), descriptor)
        return index.keep(entries, descriptor)

    with store.writing():
        sync_directory(store.path("layers"))
    index.update(store, change)
    return load(store, descriptor)


def layer_descriptor(layer: Layer) -> Descriptor:
    """How an image of our own lists a layer: its tar, uncompressed."""
    return Descriptor(media_types.OCI_LAYER, layer.diff_id, layer.size)


def layers_of(store: Store, image: Image) -> tuple[Layer, ...]:
    """The image's layers, base first; one that is only a blob is unpacked again."""
    return tuple(
        layers.find(store, diff_id) or _unpack_again(store, blob, diff_id)
        for blob, diff_id in image.layers
    )


def remove(
    store: Store, text: str, *, force: bool = False, users: Mapping[Digest, str] = {}
) -> Removal:
    """Take the name `text` away; the image goes with its last name. An id takes all names.

    `users` are image id → id of a container that uses it. RootlessError in docker's words when
    the image has more names or is used; with `force` a used one stays, dangling.
    """
    from rootless.store import gc

    removals: list[Removal] = []

    def change(entries: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        entry = _find(store, entries, text)
        names = tuple(name for one in _same(entries, entry) if (name := index.name_of(one)))
        own = index.name_of(entry)
        taken = (own,) if own and _is_name(text, entry) else names
        image_id = id_of(store, entry)
        is_last = len(taken) == len(names)
        if not force:
            _check_unused(image_id, text, len(taken), users if is_last else {})
        for name in taken:
            entries = index.unname(entries, name)
        is_gone = is_last and image_id not in users
        removals.append(Removal(_familiar(taken), (image_id,) if is_gone else ()))
        return index.forget(entries, entry.digest) if is_gone else entries

    index.update(store, change)
    removal = removals[-1]
    freed = gc.collect_if_idle(store).layers if removal.deleted else ()
    return removal.replace(deleted=(*removal.deleted, *freed))


def _familiar(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(Reference.parse(name).familiar for name in names)


def _check_unused(image_id: Digest, text: str, taken: int, users: Mapping[Digest, str]) -> None:
    """Refuse, in docker's words, to delete an image by id from under its names or containers."""
    if image_id in users:
        raise RootlessError(
            f"conflict: unable to delete {text} (must be forced) - "
            f"container {users[image_id][:12]} is using its referenced image {image_id.short}",
            hint="remove the container first, or use --force",
        )
    if taken > 1:
        raise RootlessError(
            f"conflict: unable to delete {image_id.short} (must be forced) - "
            "image is referenced in multiple repositories",
            hint="remove its names one by one, or use --force",
        )


def _find(store: Store, entries: tuple[Descriptor, ...], text: str) -> Descriptor:
    """The entry for what a person typed: a name goes before an id."""
    beginning = text.removeprefix("sha256:")
    is_id = bool(beginning) and len(beginning) <= 64 and _HEX.issuperset(beginning)
    try:
        reference = Reference.parse(text)
    except UsageError:
        if not is_id:
            raise
    else:
        for entry in entries:
            if _is_called(entry, reference):
                return entry
    matches = _find_ids(store, entries, beginning) if is_id else {}
    if len(matches) > 1:
        raise RootlessError(
            f"{text} is the beginning of {len(matches)} image ids", hint="write more of the id"
        )
    for entry in matches.values():
        return entry
    raise NotFoundError(
        f"no such image: {text}", hint="list images with: rootless images, or pull it first"
    )


def _find_ids(
    store: Store, entries: tuple[Descriptor, ...], beginning: str
) -> dict[Digest, Descriptor]:
    """Images whose id (or manifest's digest) begins so; one image may have several manifests."""
    ids = ((id_of(store, entry), entry) for entry in entries)
    return {
        image_id: entry
        for image_id, entry in ids
        if image_id.hex.startswith(beginning) or entry.digest.hex.startswith(beginning)
    }


def _is_called(entry: Descriptor, wanted: Reference) -> bool:
    name = index.name_of(entry)
    if name == str(wanted):
        return True
    if name is None or wanted.digest is None or wanted.digest not in _digests(entry):
        return False
    own = Reference.parse(name)
    return (own.registry, own.repository) == (wanted.registry, wanted.repository)


def _is_name(text: str, entry: Descriptor) -> bool:
    """Whether `text` found the entry by its name, not by an id."""
    try:
        return _is_called(entry, Reference.parse(text))
    except UsageError:
        return False


def _digests(entry: Descriptor) -> tuple[Digest, Digest]:
    return entry.digest, index.source_of(entry)


def _same(entries: tuple[Descriptor, ...], entry: Descriptor) -> list[Descriptor]:
    return [one for one in entries if one.digest == entry.digest]


def id_of(store: Store, entry: Descriptor) -> Digest:
    """The image id; the manifest's digest where the manifest cannot be read any more."""
    try:
        return manifest_of(store, entry).config.digest
    except (NotFoundError, IntegrityError):
        return entry.digest


def manifest_of(store: Store, entry: Descriptor) -> Manifest:
    manifest = manifests.decode(blobs.read(store, entry.digest), entry.media_type)
    if not isinstance(manifest, Manifest):
        raise IntegrityError(f"{entry.digest} is a list of images, not an image")
    return manifest


def load(store: Store, entry: Descriptor, entries: tuple[Descriptor, ...] | None = None) -> Image:
    """The image of an index entry, its names taken from `entries` (by default the index)."""
    try:
        manifest = manifest_of(store, entry)
        config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
        manifest.pair(config.diff_ids)
    except IntegrityError as error:
        name = index.name_of(entry) or entry.digest.short
        raise IntegrityError(
            f"{name}: {error.message}",
            hint=f"remove it with: rootless rmi {name}; then pull or build it again",
        ) from None
    references, repo_digests = _names(index.read(store) if entries is None else entries, entry)
    descriptor = entry.replace(annotations={})
    return Image(descriptor, manifest, config, references, repo_digests)


def _names(
    entries: tuple[Descriptor, ...], entry: Descriptor
) -> tuple[tuple[Reference, ...], tuple[Reference, ...]]:
    """An image's tags, and the names with digest under which a registry has it."""
    references, repo_digests = [], []
    for one in _same(entries, entry):
        if name := index.name_of(one):
            reference = Reference.parse(name)
            if reference.digest is None:
                references.append(reference)
            if reference.digest or index.SOURCE_DIGEST in one.annotations:
                repo_digests.append(reference.replace(tag=None, digest=index.source_of(one)))
    return tuple(references), tuple(dict.fromkeys(repo_digests))


def _unpack_again(store: Store, blob: Descriptor, diff_id: Digest) -> Layer:
    with blobs.open_file(store, blob.digest) as file:
        return layers.unpack(store, file.read, diff_id)
