"""Entries of index.json held against the images that they are of: for `check` and `repair`.

Pure reading, in any process. An entry keeps its names and the digest that a registry answered; all
else it says can be read from the image.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.oci import manifest as manifests
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import REF_NAME, Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.oci.reference import Reference
from rootless.store import blobs, gc, images, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.store import Store

_SOME = 4096  # bytes of a blob that tell whether it can be a manifest


def misfit(store: Store, entry: Descriptor) -> str:
    """How an entry differs from its image; nothing where it does not, or the image is damaged."""
    names = _names(entry)
    if any(entry.annotations.get(key) != names.get(key) for key in (REF_NAME, index.SOURCE_DIGEST)):
        return "has an impossible name or source"
    if not blobs.has(store, entry.digest):
        return "is of no image" if orphan(store, entry) else ""
    try:
        right = mended(store, entry)
    except (NotFoundError, IntegrityError):
        return ""
    if (entry.media_type, entry.size) != (right.media_type, right.size):
        return "tells another kind or size of image"
    told = [key for key in entry.annotations if key in index.FACTS]
    wrong = [key for key in told if entry.annotations[key] != right.annotations[key]]
    return "tells another id, time or size" if wrong else ""


def mended(store: Store, entry: Descriptor) -> Descriptor:
    """An entry, told anew from what the store has; what names are possible are taken over.

    NotFoundError or IntegrityError where the image itself is damaged.
    """
    content = blobs.read(store, entry.digest)
    media_type = manifests.decode(content).media_type
    plain = entry.replace(media_type=media_type, size=len(content), annotations={})
    facts = images.facts(store, plain)
    told = entry.annotations.get(index.IMAGE_SIZE, "")
    if told.isdecimal():  # it counts a layer that was not unpacked then as it was stored
        facts[index.IMAGE_SIZE] = told
    ours = {*index.FACTS, *index.NAMES, index.SOURCE_DIGEST}
    rest = {key: text for key, text in entry.annotations.items() if key not in ours}
    return plain.replace(annotations={**_names(entry), **rest, **facts})


def _names(entry: Descriptor) -> dict[str, str]:
    """Its name, in both spellings, and its source, where they are possible.

    A name that is lost in one spelling is taken from the other.
    """
    kept = {}
    told = entry.annotations
    for key, other in ((REF_NAME, index.CONTAINERD_NAME), (index.CONTAINERD_NAME, REF_NAME)):
        for text in (told.get(key), told.get(other)):
            if key not in kept and text and _is_reference(text):
                kept[key] = text
    if index.CONTAINERD_NAME not in told and told.get(REF_NAME) == kept.get(REF_NAME):
        kept.pop(index.CONTAINERD_NAME, None)  # another tool's entry
    source = told.get(index.SOURCE_DIGEST)
    return {**kept, **({index.SOURCE_DIGEST: source} if source and _is_digest(source) else {})}


def _is_reference(text: str) -> bool:
    try:
        Reference.parse(text)
    except UsageError:
        return False
    return True


def _is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except IntegrityError:
        return False
    return True


def orphan(store: Store, entry: Descriptor) -> Descriptor | None:
    """The entry with the digest of a manifest that has its image id; where a registry can be asked
    for its own, only of one that no other entry is of.
    """
    told = entry.annotations.get(index.IMAGE_ID)
    is_served = index.SOURCE_DIGEST in entry.annotations
    known = {one.digest for one in index.read(store)} if is_served else ()
    for digest, value in documents(store).items():
        is_its = not isinstance(value, Index) and str(value.config.digest) == told
        if is_its and digest not in known:
            return entry.replace(digest=digest)
    return None


def documents(store: Store) -> Mapping[Digest, manifests.Manifest | Index]:
    """Every manifest and index that is a blob here."""
    found = {}
    for digest in gc.stored_blobs(store):
        try:
            with blobs.open_file(store, digest) as file:
                start = file.read(_SOME)
            if start.lstrip()[:1] == b"{" and b"schemaVersion" in start:
                found[digest] = manifests.decode(blobs.read(store, digest))
        except (OSError, RootlessError):
            continue
    return found


def pairs(store: Store) -> Iterator[tuple[Descriptor, Digest]]:
    """Each layer of each image that is here, with its diff_id; IntegrityError without an index."""
    pending = [*index.read(store)]
    while pending:
        entry = pending.pop()
        try:
            value = manifests.decode(blobs.read(store, entry.digest))
            if isinstance(value, Index):
                pending += value.images
                continue
            config = ImageConfig.decode(blobs.read(store, value.config.digest))
            found = value.pair(config.diff_ids)
        except (OSError, NotFoundError, IntegrityError):
            continue
        yield from found
