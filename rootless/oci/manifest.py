"""Image manifests and indexes, OCI image-spec and Docker schema 2.

The bytes are the truth: a decoded manifest remembers none of them, so whoever stores or forwards
one keeps the bytes it came as.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.errors import IntegrityError, NotFoundError
from rootless.oci import media_types
from rootless.oci.descriptor import Descriptor, others, text, text_map
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.oci.digest import Digest
    from rootless.oci.platform import Platform


_KNOWN = ("schemaVersion", "mediaType", "config", "layers", "manifests", "annotations")


class Manifest(Record):
    """One image for one platform: `layers` base first; `rest` has the members that are no field."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = {}
    rest: Mapping[str, Any] = {}

    def pair(self, diff_ids: tuple[Digest, ...]) -> tuple[tuple[Descriptor, Digest], ...]:
        """Each layer with its diff_id from the config; IntegrityError when they do not match."""
        if len(diff_ids) != len(self.layers):
            raise IntegrityError(
                f"the image {self.config.digest.short} has {len(self.layers)} layers, "
                f"but its config lists {len(diff_ids)}"
            )
        return tuple(zip(self.layers, diff_ids, strict=True))

    def encode(self) -> bytes:
        """New bytes, for an image of our own making."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "config": self.config.encode(),
            "layers": [layer.encode() for layer in self.layers],
        }
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return leanjson.dumps({**value, **self.rest})


class Index(Record):
    """A list of manifests, one a platform (a "manifest list" in Docker's words).

    `rest` has the members that are none of these.
    """

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = {}
    rest: Mapping[str, Any] = {}

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """The manifests that are images, not what is attested about them."""
        return tuple(entry for entry in self.manifests if not _is_attestation(entry))

    def choose(self, platform: Platform) -> Descriptor:
        """The manifest for `platform`; NotFoundError lists what there is."""
        images = self.images
        for entry in images:
            if entry.platform == platform:
                return entry
        fitting = [one for one in images if one.platform and one.platform.runs_on(platform)]
        if fitting:
            return max(fitting, key=_variant) if platform.architecture == "arm" else fitting[0]
        if len(images) == 1 and images[0].platform is None:
            return images[0]
        offered = ", ".join(sorted({str(entry.platform) for entry in images if entry.platform}))
        raise NotFoundError(
            f"there is no image for {platform}",
            hint=f"choose with --platform one of: {offered}" if offered else None,
        )

    def encode(self) -> bytes:
        """New bytes."""
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": self.media_type,
            "manifests": [entry.encode() for entry in self.manifests],
        }
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return leanjson.dumps({**value, **self.rest})


def in_words(found: Manifest | Index, twins: Mapping[str, str]) -> Manifest | Index:
    """The same in the other kind's media types; docker's have no annotations and no subject."""

    def twin(blob: Descriptor) -> Descriptor:
        return blob.replace(media_type=twins.get(blob.media_type, blob.media_type))

    kind = twins.get(found.media_type)
    if kind is None:
        return found
    if kind in media_types.OCI_TWINS:
        found = found.replace(annotations={}, rest={})
    if isinstance(found, Index):
        entries = tuple(map(twin, found.manifests))
        return found.replace(media_type=kind, manifests=entries)
    listed = tuple(map(twin, found.layers))
    return found.replace(media_type=kind, config=twin(found.config), layers=listed)


def decode(content: bytes, media_type: str = "") -> Manifest | Index:
    """Parse a manifest or an index; `media_type` is what the sender said it is, if anything.

    IntegrityError when the body is ambiguous (CVE-2021-41190), contradicts the sender or is of an
    old form that cannot be verified.
    """
    if len(content) > leanjson.MAX_BYTES:
        raise IntegrityError("the manifest is larger than 4 MiB")
    value = leanjson.loads(content, "the manifest")
    if not isinstance(value, dict):
        raise IntegrityError("the manifest is not a JSON object")
    kind = _kind(value, media_type)
    annotations = text_map(value.get("annotations"), "annotations")
    rest = others(value, _KNOWN)
    if kind in media_types.INDEXES:
        return Index(kind, _descriptors(value, "manifests"), annotations, rest)
    config = Descriptor.decode(value.get("config"))
    return Manifest(kind, config, _descriptors(value, "layers"), annotations, rest)


def _kind(value: dict[str, Any], announced: str) -> str:
    """The media type of a body, agreed between its own words, the sender's and its shape."""
    if value.get("schemaVersion") != 2 or "fsLayers" in value:
        raise IntegrityError(
            "the manifest has the old schema 1 form, which cannot be verified",
            hint="ask the image's publisher to push it again with a current tool",
        )
    own = text(value.get("mediaType"), "mediaType")
    known = media_types.INDEXES | media_types.MANIFESTS
    announced = announced.partition(";")[0].strip()
    if own and announced in known and own != announced:
        raise IntegrityError(f"the manifest says it is {own}, its sender says {announced}")
    shape = _shape(value)
    kind = own or (announced if announced in known else shape)
    if kind not in known:
        raise IntegrityError(f"{kind!r} is not the media type of an image")
    if (kind in media_types.INDEXES) != (shape in media_types.INDEXES):
        raise IntegrityError(f"the manifest says it is {kind}, but does not look like one")
    return kind


def _shape(value: dict[str, Any]) -> str:
    is_index = "manifests" in value
    if is_index and ("config" in value or "layers" in value):
        raise IntegrityError("the manifest could be read as an image and as an index")
    return media_types.OCI_INDEX if is_index else media_types.OCI_MANIFEST


def _descriptors(value: dict[str, Any], key: str) -> tuple[Descriptor, ...]:
    entries = value.get(key, False)
    if entries is None:  # as Go writes a list without entries
        return ()
    if not isinstance(entries, list):
        raise IntegrityError(f"the manifest has no list of {key}")
    return tuple(Descriptor.decode(entry) for entry in entries)


def _is_attestation(entry: Descriptor) -> bool:
    return "vnd.docker.reference.type" in entry.annotations or (
        entry.platform is not None and entry.platform.os == "unknown"
    )


def _variant(entry: Descriptor) -> str:
    return entry.platform.variant if entry.platform else ""
