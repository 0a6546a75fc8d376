"""Rows for `images`, `ps` and their like: docker's table, a template or JSON lines."""

from __future__ import annotations

from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from rootless.cli.template.values import Struct
    from rootless.store.images import Image, Listed

    T = TypeVar("T")
    Row = Mapping[str, str | Callable[[], str]]
    Methods = Mapping[str, Callable[[str], str]]

_TABLE = "table"


def show(
    rows: Sequence[Row],
    headers: Mapping[str, str],
    columns: Sequence[str],
    form: str,
    methods: Sequence[Methods] = (),
    *,
    headings: bool = True,
) -> None:
    """Print `rows`. `columns` are the table's keys into a row; `headers` has every key's header.

    `form` is docker's --format: empty or `table`, `table TEMPLATE`, `json` or a template. A field
    that is a function is called where it is shown. `methods` are those of each row that take a
    text, such as {{.Label "x"}}.
    """
    if form in ("", _TABLE):
        lines = [headers, *rows] if headings else rows
        _table([[words.escape(_text(line[key])) for key in columns] for line in lines])
        return
    if form == "json":
        _json(rows)
        return
    from rootless.cli.template import Template, values

    is_table = form.startswith(_TABLE)
    template = Template(_unescaped(form, is_table=is_table))
    kinds = methods or [{}] * len(rows)
    made = [
        template.render(values.Row("row", row, methods=called))
        for row, called in zip(rows, kinds, strict=True)
    ]
    if is_table:
        heading = [template.header(_header(headers, kinds))] if headings else []
        made = heading + made
        lines_made = words.escape("\n".join(made), lines=True).split("\n")
        _table([line.split("\t") for line in lines_made])
        return
    if not rows:  # a wrong field is one also where nothing is listed
        template.check_fields(values.Row("row", headers))
    for line in made:
        print(words.escape(line, lines=True))


def _json(rows: Sequence[Row]) -> None:
    """A line for each: what {{json .}} makes of it, without a template's price."""
    from rootless.cli import jsontext

    for row in rows:
        print(jsontext.compact({key: _text(row[key]) for key in sorted(row)}, html=True))


def show_value(value: Mapping[str, object], form: str, name: str = "") -> None:
    """Print one thing by a --format, `json` or a template; complaints call the template `name`."""
    if form == "json":
        from rootless.cli import jsontext

        print(jsontext.compact(value))
        return
    from rootless.cli.template import BAD_TEMPLATE, Template, values

    template = Template(form, name, exit_code=BAD_TEMPLATE)
    print(words.escape(template.render(values.of(dict(value), name)), lines=True))


def later(tell: Callable[[T], str], what: T) -> Callable[[], str]:
    """A field that is asked for only where it is shown."""
    return lambda: tell(what)


def shown_id(image: Image | Listed, *, full: bool) -> str:
    """An image's id as `images` and `history` show it."""
    return str(image.id) if full else image.id.short


def _header(names: Mapping[str, str], methods: Sequence[Methods]) -> Struct:
    """The row above the others: a method's is what it is called with."""
    from rootless.cli.template.values import Struct

    called = {name: str for one in methods[:1] for name in one}
    return Struct("row", names, methods=called)


def _unescaped(form: str, *, is_table: bool) -> str:
    """The template in a --format: the shell leaves it \\t and \\n as they are typed."""
    template = form[len(_TABLE) :] if is_table else form
    return template.strip(" ").replace("\\t", "\t").replace("\\n", "\n")


def _text(cell: str | Callable[[], str]) -> str:
    return cell if isinstance(cell, str) else cell()


def _table(lines: Sequence[Sequence[str]]) -> None:
    if not lines:
        return
    print("\n".join(words.columns(lines)))  # one write, however many they are
