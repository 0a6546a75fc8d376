"""A container as a value, and as the object in its container.json. Pure."""

from __future__ import annotations

from rootless.errors import IntegrityError
from rootless.oci.descriptor import text, text_list
from rootless.oci.digest import Digest
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_LATEST = 253_402_300_800.0  # the end of the year 9999: later times cannot be shown


class Container(Record):
    """What is known of one container; `exit_code` is None while it runs.

    `command` is all of what is executed. `config` is how it runs as an image's config says it,
    in JSON: what the image says and the user did not change, but for SHELL and ONBUILD. `mounts`
    are the directories that are shown in it, `mount_points` all places where something is.
    `asked` is what the user asked for, in docker's words: see `asked`.
    """

    id: str
    name: str
    image: str
    image_id: Digest
    command: tuple[str, ...]
    created: float
    ports: tuple[str, ...] = ()
    network: str = ""
    mounts: tuple[str, ...] = ()
    mount_points: tuple[str, ...] = ()
    config: Mapping[str, Any] = {}
    asked: Mapping[str, Any] = {}
    remove: bool = False
    exit_code: int | None = None
    finished: float = 0

    @property
    def short(self) -> str:
        """The first 12 digits of the id."""
        return self.id[:12]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.exit_code is None

    @property
    def labels(self) -> dict[str, str]:
        """What it is labelled with: by its image."""
        found = self.config.get("Labels")
        return found if isinstance(found, dict) else {}


class Damaged(Record):
    """A container whose record cannot be read, and why; it can only be removed.

    `is_running` says that its directory is held, whatever is written there.
    """

    id: str
    why: str
    is_running: bool


def decode(record: Mapping[str, Any]) -> Container:
    """From container.json's object; IntegrityError names the field that is wrong."""
    return Container(
        id=text(record.get("id"), "id"),
        name=text(record.get("name"), "name"),
        image=text(record.get("image"), "image"),
        image_id=Digest.parse(text(record.get("image_id"), "image_id")),
        command=text_list(record.get("command"), "command"),
        created=moment(record, "created"),
        ports=text_list(record.get("ports"), "ports"),
        network=text(record.get("network"), "network"),
        mounts=text_list(record.get("mounts"), "mounts"),
        mount_points=text_list(record.get("mount_points"), "mount_points"),
        config=_object(record.get("config"), "config"),
        asked=_asked(record.get("asked")),
        remove=record.get("remove") is True,
    )


def moment(record: Mapping[str, Any], name: str) -> float:
    """The time, in seconds, in a field of an object."""
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise IntegrityError(f"{name} is not a time")
    return float(value)


def encode(container: Container) -> dict[str, object]:
    """The object in container.json."""
    return {
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "image_id": str(container.image_id),
        "command": list(container.command),
        "created": container.created,
        "ports": list(container.ports),
        "network": container.network,
        "mounts": list(container.mounts),
        "mount_points": list(container.mount_points),
        "config": container.config,
        "asked": container.asked,
        "remove": container.remove,
    }


def _asked(value: object) -> dict[str, Any]:
    """What the user asked for, where what others rely on has its shape: see `asked`."""
    asked = _object(value, "asked")
    for part in ("Config", "HostConfig"):
        _object(asked.get(part), f"asked.{part}")
    for mount in _list(asked.get("Mounts"), "asked.Mounts"):
        _object(mount, "asked.Mounts")
    bindings = (asked.get("HostConfig") or {}).get("PortBindings")
    for places in _object(bindings, "PortBindings").values():
        for place in _list(places, "PortBindings"):
            if not isinstance(_object(place, "PortBindings").get("HostIp"), str):
                raise IntegrityError("HostIp is not a text")
    return asked


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise IntegrityError(f"{what} is not a list")
    return value


def _object(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is not an object")
    return value
