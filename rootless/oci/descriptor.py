"""Content descriptors, image-spec descriptor.md: what a blob is, its digest and its size."""

from __future__ import annotations

from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

REF_NAME = "org.opencontainers.image.ref.name"
MAX_SIZE = 1 << 50


class Descriptor(Record):
    """`size` is in bytes, of the blob as stored or sent."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = {}

    @classmethod
    def decode(cls, value: object) -> Descriptor:
        """From its JSON object; `urls` of foreign layers are dropped: we never follow them."""
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
        )

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
            value["platform"] = names
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


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


def _platform(value: object) -> Platform | None:
    if not isinstance(value, dict):
        return None
    names = [text(value.get(key), f"platform.{key}") for key in ("os", "architecture", "variant")]
    return Platform.make(*names)
