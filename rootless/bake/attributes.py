"""What a target can say: every attribute with its kind, and how two of it become one. Pure.

A target is a dict of these: strings, bools, lists of strings, dicts of strings, lists of entries
(rootless.bake.entries). What is not said is not in it.
"""

from __future__ import annotations

from rootless import nearest
from rootless.bake import entries
from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from rootless.bake.hcl.values import Value

    Target = dict[str, Any]


class Attribute(Record):
    """`kind`: text, bool, list, map, or a kind of entries; `adds`: a later one is added."""

    kind: str
    adds: bool = False

    @property
    def has_entries(self) -> bool:
        """Whether it is a list of entries."""
        return self.kind not in ("text", "bool", "list", "map")


ATTRIBUTES = {
    "description": Attribute("text"),
    "inherits": Attribute("list", adds=True),
    "annotations": Attribute("list", adds=True),
    "attest": Attribute("attest", adds=True),
    "context": Attribute("text"),
    "contexts": Attribute("map", adds=True),
    "dockerfile": Attribute("text"),
    "dockerfile-inline": Attribute("text"),
    "args": Attribute("map", adds=True),
    "labels": Attribute("map", adds=True),
    "tags": Attribute("list"),
    "cache-from": Attribute("cache", adds=True),
    "cache-to": Attribute("cache"),
    "target": Attribute("text"),
    "secret": Attribute("secret", adds=True),
    "ssh": Attribute("ssh", adds=True),
    "platforms": Attribute("list"),
    "output": Attribute("output"),
    "pull": Attribute("bool"),
    "no-cache": Attribute("bool"),
    "network": Attribute("text"),
    "no-cache-filter": Attribute("list", adds=True),
    "shm-size": Attribute("text"),
    "ulimits": Attribute("list", adds=True),
    "call": Attribute("text"),
    "entitlements": Attribute("list", adds=True),
    "extra-hosts": Attribute("map", adds=True),
}
"""In the order in which docker prints them."""

_ONCE = ("annotations", "tags", "platforms", "no-cache-filter", "ulimits", "entitlements")


def unknown(name: str, known: Iterable[str] = ATTRIBUTES) -> BakeError:
    """The error for an attribute that there is not."""
    return BakeError(f"there is no attribute {name!r}", hint=nearest.hint(name, known))


def decoded(name: str, value: Value) -> Any:
    """What a target has for an HCL value; None when it says nothing."""
    attribute = ATTRIBUTES[name]
    if value is None:
        return None
    try:
        return _decoded(attribute, value)
    except BakeError as error:
        raise BakeError(f"{name}: {error.plain}", error.place, hint=error.hint) from None


def _decoded(attribute: Attribute, value: Value) -> Any:
    kind = attribute.kind
    if kind == "text":
        return values.text(value)
    if kind == "bool":
        return values.boolean(value)
    if kind == "map":
        given = values.mapping(value).items()
        return {key: values.text(one) for key, one in given if one is not None}
    if kind == "list":
        return [values.text(one) for one in values.elements(value)]
    return [entries.of_value(kind, one) for one in values.elements(value) if one not in (None, "")]


def merge(target: Target, other: Mapping[str, Any]) -> None:
    """Let `target` say what `other` says, too or instead."""
    for name, value in other.items():
        attribute = ATTRIBUTES[name]
        before = target.get(name)
        if before is None or not attribute.adds:
            after = value
        elif attribute.kind == "map":
            after = {**before, **value}
        else:
            after = [*before, *value]
        if attribute.has_entries and attribute.adds:
            after = entries.without_twins(after, attribute.kind)
        target[name] = after


def normalize(target: Target) -> None:
    """Take doubles, and what is empty, away."""
    for name in _ONCE:
        if name in target:
            target[name] = [one for one in dict.fromkeys(target[name]) if one]
    for name in target:
        if ATTRIBUTES[name].has_entries:
            target[name] = entries.without_twins(target[name], ATTRIBUTES[name].kind)
    if target.get("network") == "host":
        allowed = target.get("entitlements", [])
        target["entitlements"] = list(dict.fromkeys([*allowed, "network.host"]))
    if "contexts" in target:
        target["contexts"] = {key: one for key, one in target["contexts"].items() if one}
