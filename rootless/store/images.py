"""Images: manifests with names. What `images`, `tag` and `inspect` are about.

An image's id is the digest of its config, as in docker; its manifest and config keep the bytes
they came as. A name may stand for an index, put here by another tool: then the image is that of
the platform asked for. Resolving a name is three small reads and works outside the namespace; so
does all here but `layers_of` when it must unpack again. A list is read from index.json alone.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.oci import manifest as manifests
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import blobs, index, layers, stacks, sync_directory
from rootless.store.catalog import Catalog, not_found

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rootless.store import Store
    from rootless.store.layers import Layer

_DEEPEST_INDEX = 4

_Entries = tuple[Descriptor, ...]


class Image(Record):
    """One image of the store with all its names.

    `descriptor` is what the names stand for: the manifest, or an index that lists it.
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


class Listed(Record):
    """What a list of images shows of one; `size` as `size` has it; `created` is RFC 3339 or empty:
    when it was built, if that was here, else what it says."""

    id: Digest
    descriptor: Descriptor
    created: str
    size: int
    references: tuple[Reference, ...] = ()
    repo_digests: tuple[Reference, ...] = ()

    @property
    def is_dangling(self) -> bool:
        """Whether no name leads to it."""
        return not self.references and not self.repo_digests


def resolve(store: Store, text: str, platform: Platform | None = None) -> Image:
    """The image called `text`: a name, name@digest, an id or a unique beginning of one.

    Of an index, the image for `platform`, or the only one there is; where no platform is asked for,
    this machine's or the first.
    NotFoundError, UsageError (not a name at all), or RootlessError when it is ambiguous.
    """
    while True:
        found = catalog(store)
        entry, _ = found.find(text)
        try:
            return _load(store, entry, found, platform)
        except NotFoundError:
            if entry in index.read(store):  # else somebody has just removed it
                raise


def catalog(store: Store, entries: tuple[Descriptor, ...] | None = None) -> Catalog:
    """All images, to be looked up; by default those of the index."""
    return Catalog(index.read(store) if entries is None else entries, lambda one: id_of(store, one))


def listing(
    store: Store, left_out: Callable[[str, RootlessError], object] | None = None
) -> tuple[Listed, ...]:
    """All images, dangling ones too, the last added first; one small read where we added them.

    The first damaged one is an error; with `left_out`, which is called with its name or short
    digest and that error, it is left out.
    """
    found = catalog(store)
    firsts = {entry.digest: entry for entry in reversed(found.entries)}
    listed = []
    for entry in firsts.values():
        try:
            listed.append(_listed(store, entry, found))
        except (NotFoundError, IntegrityError) as error:
            if entry not in index.read(store):
                continue
            if left_out is None:
                raise
            left_out(_called(entry), error)
    return tuple(listed)


def told(store: Store, entries: _Entries) -> tuple[Listed, ...]:
    """What can be told of the images of `entries`; of damaged ones nothing but id and names."""
    found = catalog(store, entries)
    images = []
    for entry in {entry.digest: entry for entry in reversed(entries)}.values():
        try:
            images.append(_listed(store, entry, found))
        except (NotFoundError, IntegrityError):
            images.append(Listed(id_of(store, entry), entry, "", 0, *_names(found, entry)))
    return tuple(images)


def _listed(store: Store, entry: Descriptor, found: Catalog) -> Listed:
    facts = entry.annotations
    if not facts.keys() >= index.FACTS or not facts[index.IMAGE_SIZE].isdecimal():
        facts = _remembered(store, _load(store, entry, found, None))  # another tool made it
    return Listed(
        Digest.parse(facts[index.IMAGE_ID]),
        entry.replace(annotations={}),
        entry.annotations.get(index.IMAGE_BUILT) or facts[index.IMAGE_CREATED],
        int(facts[index.IMAGE_SIZE]),
        *_names(found, entry),
    )


def _remembered(store: Store, image: Image) -> dict[str, str]:
    """The annotations of an image's index entries that make a list of images quick."""
    return {
        index.IMAGE_ID: str(image.id),
        index.IMAGE_CREATED: image.created,
        index.IMAGE_SIZE: str(size(store, image)),
    }


def facts(store: Store, entry: Descriptor) -> dict[str, str]:
    """What an entry of index.json tells of its image, read from the image."""
    return _remembered(store, load(store, entry))


def labels(store: Store, listed: Listed) -> Mapping[str, str]:
    """The labels of an image in a list; none where its config cannot be read."""
    try:
        return ImageConfig.decode(blobs.read(store, listed.id)).labels
    except (NotFoundError, IntegrityError):
        return {}


def layer_sizes(store: Store, image: Image) -> tuple[int, ...]:
    """Bytes of each layer's files, base first; one that is not unpacked counts as stored."""
    known = ((blob, layers.find(store, diff_id)) for blob, diff_id in image.layers)
    return tuple(layer.contents if layer else blob.size for blob, layer in known)


def size(store: Store, image: Image) -> int:
    """Bytes of all the image's layers, as `layer_sizes` counts them."""
    return sum(layer_sizes(store, image))


def tag(store: Store, reference: Reference, descriptor: Descriptor) -> None:
    """Give an image of the store a name, durably; whatever had the name loses it.

    NotFoundError when somebody has removed the image meanwhile.
    """
    tag_all(store, [reference], descriptor)


def tag_all(store: Store, references: Iterable[Reference], descriptor: Descriptor) -> None:
    """`tag` with all of these names or none."""
    names = []
    for reference in references:
        _check_tag(reference)
        names.append(str(reference))

    def change(entries: _Entries) -> _Entries:
        kept = {*index.FACTS, index.IMAGE_BUILT}
        for entry in entries:
            if entry.digest == descriptor.digest:
                facts = {key: text for key, text in entry.annotations.items() if key in kept}
                named = entry.replace(annotations=facts)
                return index.name_all(entries, dict.fromkeys(names, named))
        raise not_found(descriptor.digest.short)

    index.update(store, change)


def serve(store: Store, reference: Reference, descriptor: Descriptor, digest: Digest) -> None:
    """Note that a registry has the image called `reference` under `digest` now.

    Nothing happens when the name is another image's by now, or the store can only be read.
    """

    def change(entries: _Entries) -> _Entries:
        for entry in entries:
            if index.name_of(entry) == str(reference) and entry.digest == descriptor.digest:
                noted = {**entry.annotations, index.SOURCE_DIGEST: str(digest)}
                return tuple(
                    one.replace(annotations=noted) if one is entry else one for one in entries
                )
        return entries

    before = index.read(store)
    try:
        if change(before) != before:
            index.update(store, change)
    except RootlessError as error:
        if not isinstance(error.__cause__, OSError):
            raise


def _check_tag(reference: Reference) -> None:
    if reference.digest:
        raise UsageError("an image cannot be named by a digest", hint="write NAME[:TAG]")


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
    source: Digest | None = None,
) -> Image:
    """Store manifest bytes as they came and name the image, whose other blobs are there.

    `source` is the digest under which a registry serves it, its own or that of an index it comes
    from; without one, no reference may have a digest. NotFoundError when a layer is missing.
    """
    return add_all(store, [Addition(manifest, media_type, tuple(references), source)])[0]


class Addition(Record):
    """A manifest, or an index of manifests, to be added under new names: see `add`; `built` now."""

    content: bytes
    media_type: str
    references: tuple[Reference, ...] = ()
    source: Digest | None = None
    built: str = ""


def add_all(store: Store, additions: Iterable[Addition]) -> tuple[Image, ...]:
    """`add` all of them or none, in one change of index.json; a name twice is the last one's."""
    entries, named = [], {}
    for one in additions:
        entries.append(_entry(store, one))
        for reference in one.references:
            if one.source is None:
                _check_tag(reference)
            named[str(reference)] = entries[-1]
    with store.writing():
        sync_directory(store.path("layers"))
    index.update(store, lambda there: index.keep(index.name_all(there, named), entries))
    found = catalog(store)
    return tuple(_load(store, entry, found, None) for entry in entries)


def _entry(store: Store, new: Addition) -> Descriptor:
    """The index entry, but for its name, of a manifest whose bytes are now in the store."""
    descriptor = Descriptor(new.media_type, blobs.put(store, new.content), len(new.content))
    image = load(store, descriptor)
    hold(store, image)
    _check_whole(store, image)
    annotations = _remembered(store, image)
    annotations |= {index.SOURCE_DIGEST: str(new.source)} if new.source else {}
    annotations |= {index.IMAGE_BUILT: new.built} if new.built else {}
    platform = None if new.media_type in media_types.INDEXES else image.config.platform
    return descriptor.replace(platform=platform, annotations=annotations)


def _check_whole(store: Store, image: Image) -> None:
    for blob, diff_id in image.layers:
        made_again = blob.digest == diff_id and layers.find(store, diff_id)
        if not made_again and not blobs.has(store, blob.digest):
            raise NotFoundError(f"the layer {blob.digest} is missing from the store {store.root}")


def hold(store: Store, image: Image) -> None:
    """Nothing of the image is deleted while this process lives; NotFoundError if it was before."""
    store.hold([image.descriptor.digest])
    if not blobs.has(store, image.descriptor.digest):
        raise not_found(str(image.references[0]) if image.references else image.id.short)


def layer_descriptor(layer: Layer) -> Descriptor:
    """How an image of our own lists a layer: its tar, uncompressed."""
    return Descriptor(media_types.OCI_LAYER, layer.diff_id, layer.size)


def as_oci(blob: Descriptor) -> Descriptor:
    """How an image of our own lists a base's layer: docker's media types have OCI twins."""
    return blob.replace(media_type=media_types.OCI_TWINS.get(blob.media_type, blob.media_type))


def layers_of(store: Store, image: Image) -> tuple[Layer, ...]:
    """The image's layers, base first, held; one that is only a blob is unpacked again."""
    found = layers_here(store, image)
    if None in found:
        from rootless.store import unpackers

        pairs = zip(found, image.layers, strict=True)
        missing = {(pair[0].digest, pair[1]): pair for layer, pair in pairs if not layer}
        unpackers.unpack(store, tuple(missing.values()))
        found = layers_here(store, image)
    return tuple(layer for layer in found if layer)


def layers_here(store: Store, image: Image) -> tuple[Layer | None, ...]:
    """Those of an image's layers that are unpacked, held, base first; None for the others.

    A layer counts only where it is known, or found out now, that its blob unpacks to it: else a
    manifest could claim the files of a layer that it has no blob of.
    """
    hold(store, image)
    known = stacks.recall(store, image.descriptor.digest)
    if known and known.is_here(store):
        return known.layers(store, image)
    found = tuple(layers.find_made_of(store, diff_id, blob) for blob, diff_id in image.layers)
    if all(found):
        stacks.remember(store, image, tuple(one for one in found if one))
    return found


def family(store: Store, image: Image) -> list[tuple[Descriptor, Image]]:
    """The image's manifest and, where its names stand for an index, those beside it that are here.

    Each with its image. What lacks a layer is not here, unless it is the image itself.
    """
    found = []
    for descriptor, manifest in _members(store, image.descriptor):
        try:
            one = Image(descriptor, manifest, _config(store, manifest))
            if manifest != image.manifest:
                _check_whole(store, one)
        except NotFoundError:
            if manifest == image.manifest:
                raise
        else:
            found.append((descriptor, one))
    return found


def documents_of(store: Store, entry: Descriptor) -> frozenset[Digest]:
    """The manifests that are here of what an entry stands for; none where that is damaged."""
    try:
        return frozenset(one.digest for one, _ in _members(store, entry))
    except (NotFoundError, IntegrityError):
        return frozenset()


def _members(store: Store, top: Descriptor) -> list[tuple[Descriptor, Manifest]]:
    """All manifests that are here of an index, or the one that `top` is."""
    found = []
    pending = [top]
    while pending:
        descriptor = pending.pop()
        value = manifests.decode(blobs.read(store, descriptor.digest), descriptor.media_type)
        if isinstance(value, Manifest):
            found.append((descriptor, value))
        else:
            pending += [one for one in value.images if blobs.has(store, one.digest)]
    return found


def id_of(store: Store, entry: Descriptor) -> Digest:
    """The image id; what the entry names itself where that cannot be read any more."""
    if known := entry.annotations.get(index.IMAGE_ID):
        return Digest.parse(known)
    try:
        return _choose(store, entry, None)[1].config.digest
    except (NotFoundError, IntegrityError):
        return entry.digest


def load(store: Store, entry: Descriptor) -> Image:
    """The image of a manifest or an index whose bytes are in the store, without any names."""
    return _load(store, entry, catalog(store, ()), None)


def _load(store: Store, entry: Descriptor, found: Catalog, platform: Platform | None) -> Image:
    """The image of an index entry, its names taken from `found`."""
    try:
        _, manifest = _choose(store, entry, platform)
        config = _config(store, manifest)
    except IntegrityError as error:
        name = index.name_of(entry) or entry.digest.short
        raise IntegrityError(
            f"{name}: {error.message}",
            hint=f"remove it with: rootless rmi {name}; then pull or build it again; "
            "all that is damaged is told by: rootless system check",
        ) from None
    return Image(entry.replace(annotations={}), manifest, config, *_names(found, entry))


def _config(store: Store, manifest: Manifest) -> ImageConfig:
    """The config, which fits the manifest."""
    config = ImageConfig.decode(blobs.read(store, manifest.config.digest))
    manifest.pair(config.diff_ids)
    return config


def _choose(
    store: Store, entry: Descriptor, platform: Platform | None
) -> tuple[Descriptor, Manifest]:
    """The manifest that an entry stands for: itself, or the fitting one of an index."""
    chosen = entry
    for _ in range(_DEEPEST_INDEX):
        found = manifests.decode(blobs.read(store, chosen.digest), chosen.media_type)
        if isinstance(found, Manifest):
            return chosen, found
        chosen = _choose_here(store, found, platform, _called(entry))
    raise IntegrityError(f"{entry.digest} is a list of lists of images")


def _choose_here(store: Store, found: Index, platform: Platform | None, name: str) -> Descriptor:
    """The image for a platform of those that are in the store, or the only one.

    Where none is asked for, this machine's, or the first: a list for others is a list, too.
    """
    here = tuple(one for one in found.images if blobs.has(store, one.digest))
    if not found.manifests:
        raise NotFoundError(
            f"{name} is an empty list of images",
            hint=f"add to it with: rootless manifest add {name} IMAGE",
        )
    if not here:
        raise NotFoundError(
            f"{name} is a list of images, none of which is in the store",
            hint=f"get one with: rootless pull {name}",
        )
    if len(here) == 1:
        return here[0]
    try:
        return found.replace(manifests=here).choose(platform or Platform.host())
    except NotFoundError as error:
        if platform is None:
            return here[0]
        raise NotFoundError(f"{name}: {error.message}", hint=error.hint) from None


def _called(entry: Descriptor) -> str:
    """A person's name for an entry."""
    name = index.name_of(entry)
    return Reference.parse(name).familiar if name else entry.digest.short


def _names(
    found: Catalog, entry: Descriptor
) -> tuple[tuple[Reference, ...], tuple[Reference, ...]]:
    """An image's tags, and the names with digest under which a registry has it."""
    same = found.same(entry)
    references = [Reference.parse(name) for one in same if (name := index.name_of(one))]
    return tuple(one for one in references if one.digest is None), index.served_as(same)
