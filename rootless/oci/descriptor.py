"""Content descriptors, image-spec descriptor.md: what a blob is, its digest and its size."""

from __future__ import annotations

from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
MAX_SIZE = 1 << 50
_KNOWN = ("mediaType", "digest", "size", "platform", "annotations")
_KNOWN_OF_PLATFORM = ("os", "architecture", "variant")
_OF_THE_BYTES = ("data", "urls")


class Descriptor(Record):
    """`size` is in bytes, of the blob as stored or sent.

    `rest` has the members that are none of these, as they came, to be written again; so has its
    `platform` those of the platform. Nothing here follows `urls` or believes `data`.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = {}
    rest: Mapping[str, Any] = {}

    @classmethod
    def of(cls, content: bytes, media_type: str) -> Descriptor:
        """Of these bytes."""
        return cls(media_type, Digest.of(content), len(content))

    @classmethod
    def decode(cls, value: object) -> Descriptor:
        """From its JSON object; IntegrityError names the member that is wrong."""
        if not isinstance(value, dict):
            raise IntegrityError("a descriptor is not a JSON object")
        size = value.get("size")
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            raise IntegrityError(f"a descriptor has the impossible size {str(size)[:40]}")
        return cls(
            media_type=text(value.get("mediaType", ""), "mediaType"),
            digest=Digest.parse(value.get("digest")),
            size=size,
            platform=_platform(value.get("platform")),
            annotations=text_map(value.get("annotations"), "annotations"),
            rest=_rest(value),
        )

    def of_other(self, media_type: str, digest: Digest, size: int) -> Descriptor:
        """The same said of other bytes: where the old ones are to be had is forgotten."""
        rest = {key: item for key, item in self.rest.items() if key not in _OF_THE_BYTES}
        return self.replace(media_type=media_type, digest=digest, size=size, rest=rest)

    def encode(self) -> dict[str, Any]:
        """The JSON object, keys in the specification's order."""
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.platform:
            names = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                names["variant"] = self.platform.variant
            value["platform"] = {**names, **self.rest.get("platform", {})}
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return {**value, **others(self.rest, value)}


def others(value: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The members of a JSON object that are not `known`."""
    return {key: item for key, item in value.items() if key not in known}


def text(value: object, what: str) -> str:
    """`value` as a string, null as empty; IntegrityError naming the field otherwise."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise IntegrityError(f"{what} is not text")
    return value


def text_map(value: object, what: str) -> dict[str, str]:
    """`value` as a map of strings, null as empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is not a JSON object")
    return {key: text(item, f"{what}.{key}") for key, item in value.items()}


def text_list(value: object, what: str) -> tuple[str, ...]:
    """`value` as a tuple of strings, null as empty."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise IntegrityError(f"{what} is not a list")
    return tuple(text(item, what) for item in value)


def _rest(value: Mapping[str, Any]) -> dict[str, Any]:
    rest = others(value, _KNOWN)
    platform = value.get("platform")
    if isinstance(platform, dict) and (more := others(platform, _KNOWN_OF_PLATFORM)):
        rest["platform"] = more
    return rest


def _platform(value: object) -> Platform | None:
    if not isinstance(value, dict):
        return None
    names = [text(value.get(key), f"platform.{key}") for key in ("os", "architecture", "variant")]
    return Platform.make(*names)
