"""Rows for `images`, `history` and their like: docker's table, a template, JSON lines or ids."""

from __future__ import annotations

from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.store.images import Image, Listed

    Row = Mapping[str, str]


def show(rows: Sequence[Row], headers: Row, columns: Sequence[str], form: str) -> None:
    """Print `rows`. `columns` are the table's keys into a row; `headers` has every key's header.

    `form` is docker's --format: empty or `table`, `table TEMPLATE`, `json` or a template.
    """
    if form in ("", "table"):
        _table([[row[key] for key in columns] for row in [headers, *rows]])
        return
    from rootless.cli import template

    if form.startswith("table "):
        cells = form.removeprefix("table ").strip().replace("\\t", "\t").split("\t")
        every = [headers, *rows]
        _table([[template.render(cell, dict(row)) for cell in cells] for row in every])
        return
    if not rows and form != "json":
        template.render(form, dict(headers))  # a wrong field is one also where nothing is listed
    for row in rows:
        said = template.compact(dict(row)) if form == "json" else template.render(form, dict(row))
        print(words.escape(said, lines=True))


def shown_id(image: Image | Listed, *, full: bool) -> str:
    """An image's id as `images` and `history` show it."""
    return str(image.id) if full else image.id.short


def _table(lines: Sequence[Sequence[str]]) -> None:
    for line in words.columns([[words.escape(cell) for cell in cells] for cells in lines]):
        print(line)
