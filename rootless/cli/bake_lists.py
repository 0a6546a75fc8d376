"""`bake --list`: targets or variables, as a table or as JSON."""

from __future__ import annotations

from rootless import nearest
from rootless.cli import words
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.bake.definition import Definition, Variable

_KINDS = ("targets", "variables")


def table(definition: Definition, wanted: str) -> str:
    """The text that `--list WANTED` prints: a kind, or `type=KIND,format=json`."""
    kind, form = _parsed(wanted)
    rows = _targets(definition) if kind == "targets" else _variables(definition)
    if form == "json":
        from rootless.bake.printing import indented

        return (
            indented(
                [
                    {
                        key: one
                        for key, one in row.items()
                        if one or (key == "value" and one is not None)
                    }
                    for row in rows
                ]
            )
            + "\n"
        )
    if kind == "targets":
        shown = [(row["name"], row.get("description", "")) for row in rows]
        return _aligned([("TARGET", "DESCRIPTION"), *shown])
    cells = [_variable_cells(one) for one in _sorted(definition)]
    return _aligned([("VARIABLE", "TYPE", "VALUE", "DESCRIPTION"), *cells])


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


def _targets(definition: Definition) -> list[dict[str, Any]]:
    found = []
    for name in sorted(definition.names):
        row: dict[str, Any] = {"name": name}
        if group := definition.groups.get(name):
            inside = ", ".join(sorted(group.targets))
            described = f"{group.description} ({inside})" if group.description else inside
            row.update(description=described, group=True)
        else:
            row["description"] = definition.targets[name].get("description", "")
        found.append(row)
    return found


def _sorted(definition: Definition) -> list[Variable]:
    return sorted(definition.variables, key=lambda one: one.name)


def _variables(definition: Definition) -> list[dict[str, Any]]:
    found = []
    for one in _sorted(definition):
        row = {"name": one.name, "type": one.type, "description": one.description}
        found.append({**row, "value": one.value})
    return found


def _variable_cells(one: Variable) -> tuple[str, ...]:
    value = "<null>" if one.value is None else one.value
    return (one.name, one.type, value, one.description)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns by tabs, as Go's tabwriter sets them for docker."""
    safe = [[words.escape(cell) for cell in row] for row in rows]
    stops = [max(len(row[at]) for row in safe) // 8 + 1 for at in range(len(rows[0]))]
    lines = []
    for row in safe:
        cells = [
            cell + "\t" * (stop - len(cell) // 8) for cell, stop in zip(row, stops, strict=True)
        ]
        lines.append("".join(cells[:-1]) + row[-1] + "\n")
    return "".join(lines)
