"""`bake --list`: targets or variables, as a table or as JSON."""

from __future__ import annotations

from rootless import nearest
from rootless.cli import words
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.bake.definition import Definition

_KINDS = ("targets", "variables")


def table(definition: Definition, wanted: str) -> str:
    """The text that `--list WANTED` prints: a kind, or `type=KIND,format=json`."""
    kind, form = _parsed(wanted)
    rows = _targets(definition) if kind == "targets" else _variables(definition)
    if form == "json":
        from rootless.bake.printing import indented

        kept = [{key: value for key, value in row.items() if value} for row in rows]
        return indented(kept) + "\n"
    return _aligned(
        [tuple(rows[0] if rows else _headings(kind)), *[tuple(row.values()) for row in rows]]
    )


def _parsed(wanted: str) -> tuple[str, str]:
    if "=" not in wanted:
        given = {"type": wanted}
    else:
        given = dict(field.split("=", 1) for field in wanted.split(",") if "=" in field)
    kind, form = given.get("type", ""), given.get("format", "table")
    if kind not in _KINDS or form not in ("table", "json"):
        hint = nearest.hint(kind, _KINDS) or "write targets or variables"
        raise UsageError(f"--list {wanted!r}: there is nothing like that to list", hint=hint)
    return kind, form


def _headings(kind: str) -> tuple[str, ...]:
    return (
        ("name", "description") if kind == "targets" else ("name", "type", "value", "description")
    )


def _targets(definition: Definition) -> list[dict[str, str]]:
    found = []
    for name in sorted(definition.names):
        target = definition.targets.get(name, {})
        group = definition.groups.get(name)
        text = target.get("description", "") if group is None else group.description
        if group is not None and not text:
            text = ", ".join(group.targets)
        found.append({"name": name, "description": text})
    return found


def _variables(definition: Definition) -> list[dict[str, str]]:
    return [
        {
            "name": one.name,
            "type": one.type,
            "value": "<null>" if one.value is None else one.value,
            "description": one.description,
        }
        for one in sorted(definition.variables, key=lambda one: one.name)
    ]


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            words.escape(cell).ljust(width + 3) for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("".join(cells).rstrip() + "\n")
    return "".join(lines)
