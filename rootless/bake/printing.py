"""What is to be built, as JSON: the very text of `docker buildx bake --print`. Pure."""

from __future__ import annotations

from rootless.bake.attributes import ATTRIBUTES
from rootless.bake.hcl.functions.codes import go_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.bake.attributes import Target
    from rootless.bake.definition import Group, Resolved

_KEPT_EMPTY = (
    "context",
    "dockerfile",
    "dockerfile-inline",
    "target",
    "network",
    "shm-size",
    "call",
)
_ESCAPED = ("annotations", "dockerfile-inline", "labels", "args", "extra-hosts")


def text(resolved: Resolved) -> str:
    """The JSON text, which can be read as a bake file again."""
    groups = {name: _group(resolved.groups[name]) for name in sorted(resolved.groups)}
    targets = {name: _target(resolved.targets[name]) for name in sorted(resolved.targets)}
    document = {"group": groups, "target": targets} if groups else {"target": targets}
    return indented(document)


def _group(group: Group) -> dict[str, Any]:
    described = {"description": group.description} if group.description else {}
    return {**described, "targets": list(group.targets)}


def _target(target: Target) -> dict[str, Any]:
    found = {}
    for name in ATTRIBUTES:
        value = target.get(name)
        if value is None or (value in ("", [], {}) and name not in _KEPT_EMPTY):
            continue
        value = _escaped(value) if name in _ESCAPED else value
        found[name] = dict(sorted(value.items())) if isinstance(value, dict) else value
        if ATTRIBUTES[name].has_entries:
            found[name] = [_entry(one, ATTRIBUTES[name].kind) for one in value]
    return found


def _entry(entry: dict[str, Any], kind: str) -> dict[str, Any]:
    order = {"secret": ("id", "src", "env"), "ssh": ("id", "paths")}.get(kind, sorted(entry))
    return {
        key: entry[key]
        for key in order
        if entry.get(key) or key in ("type",) or _kept(kind, entry, key)
    }


def _kept(kind: str, entry: dict[str, Any], key: str) -> bool:
    """Whether an empty value is printed: of secrets and keys it is not."""
    return kind not in ("secret", "ssh") and key in entry and entry[key] is not False


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    return [_escaped(one) for one in value]


def indented(value: Any, indent: str = "") -> str:
    """JSON as Go indents it, two spaces a level."""
    if isinstance(value, str):
        return go_string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and value:
        deeper = indent + "  "
        lines = [f"{deeper}{go_string(key)}: {indented(one, deeper)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        deeper = indent + "  "
        lines = [deeper + indented(one, deeper) for one in value]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    return "[]" if isinstance(value, list) else "{}"
