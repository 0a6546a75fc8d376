"""Strings of HCL with expressions in them: "…${a}…", %{ if }, %{ for }, <<HEREDOC. Pure."""

from __future__ import annotations

import re

from rootless.bake.errors import BakeError, Place
from rootless.bake.hcl.nodes import Conditional, Literal, Node, Repeat, Template
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.bake.hcl.parser import Parser

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_QUOTED = re.compile(r'[^"\\\n$%]+')
_RAW = re.compile(r"[^\n$%]+")
_BLANK = " \t\r\n\f\v\u0085\u00a0"


class _Part(Record):
    """A piece of a template. `word` says what: text, value, if, else, endif, for, endfor.

    `trims` are whether it takes the blanks before it and after it away.
    """

    place: Place
    word: str
    text: str = ""
    node: Node | None = None
    loop: tuple[str, str] = ("", "")
    trims: tuple[bool, bool] = (False, False)


def quoted(parser: Parser) -> Node:
    """The string that begins at the parser's `"`."""
    start = parser.at
    parser.at += 1
    parts = _parts(parser, quote=True)
    if parser.ended or parser.peek() != '"':
        raise parser.error("a string without its end", start)
    parser.at += 1
    return _assembled(parts, parser.place(start))


def whole(parser: Parser) -> Node:
    """All of the parser's text as one template: a string of HCL in JSON."""
    place = parser.place()
    return _assembled(_parts(parser, quote=False), place)


def heredoc(parser: Parser) -> Node:
    """The text between `<<WORD` and a line that is WORD; `<<-` takes the indentation away."""
    start = parser.at
    parser.at += 2
    flush = parser.peek() == "-"
    parser.at += int(flush)
    marker = parser.name_needed()
    if parser.text[parser.at : parser.at + 2].rstrip("\r\n") and parser.peek() != "\n":
        raise parser.error("a heredoc's text begins on the next line")
    parser.at = _after_line(parser, parser.at)
    first = at = parser.at
    while at < parser.end:
        after = _after_line(parser, at)
        if parser.text[at:after].strip() == marker:
            return _between(parser, first, at, flush=flush)
        at = after
    raise parser.error(f"a heredoc without its end: no line is {marker}", start)


def _after_line(parser: Parser, at: int) -> int:
    found = parser.text.find("\n", at, parser.end)
    return parser.end if found < 0 else found + 1


def _between(parser: Parser, first: int, last: int, *, flush: bool) -> Node:
    outer, parser.end = parser.end, last
    place = parser.place(first)
    parts = _parts(parser, quote=False)
    parser.end = outer
    line = parser.text[last : _after_line(parser, last)]
    parser.at = last + len(line.rstrip("\r\n"))
    return _assembled(_flushed(parts) if flush else parts, place)


def _parts(parser: Parser, *, quote: bool) -> list[_Part]:
    found: list[_Part] = []
    letters: list[str] = []
    start = parser.at

    def text() -> None:
        if letters:
            found.append(_Part(parser.place(start), "text", "".join(letters)))
            letters.clear()

    while not parser.ended and not (quote and parser.peek() == '"'):
        ahead = parser.peek(3)
        if ahead in ("$${", "%%{"):
            letters.append(ahead[1:])
            parser.at += 3
        elif ahead[:2] in ("${", "%{"):
            text()
            found.append(_inserted(parser))
            start = parser.at
        elif run := _plain(parser, quote=quote):
            letters.append(run)
            parser.at += len(run)
        else:
            letters.append(_letter(parser, quote=quote))
            if letters[-1] == "\n" and not quote:
                text()
                start = parser.at
    text()
    return found


def _plain(parser: Parser, *, quote: bool) -> str:
    """The letters that come next and mean themselves."""
    found = (_QUOTED if quote else _RAW).match(parser.text, parser.at, parser.end)
    return found[0] if found else ""


def _letter(parser: Parser, *, quote: bool) -> str:
    letter = parser.peek()
    parser.at += 1
    if not quote:
        return letter
    if letter == "\n":
        raise parser.error("a string ends on the line where it begins", parser.at - 1)
    if letter != "\\":
        return letter
    escaped = parser.peek()
    parser.at += 1
    if escaped in ("u", "U"):
        digits = parser.peek(4 if escaped == "u" else 8)
        parser.at += len(digits)
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            raise parser.error(f"\\{escaped}{digits} is no letter") from None
    if escaped not in _ESCAPES:
        raise parser.error(f"\\{escaped} is no escape", parser.at - 2)
    return _ESCAPES[escaped]


def _inserted(parser: Parser) -> _Part:
    """What `${` or `%{` begins, up to its `}`."""
    place = parser.place()
    directive = parser.peek() == "%"
    parser.at += 2
    before = parser.peek() == "~"
    parser.at += int(before)
    part = _directive(parser, place) if directive else _value(parser, place)
    after = parser.text[parser.at - 2] == "~"
    return part.replace(trims=(before, after))


def _value(parser: Parser, place: Place) -> _Part:
    with _Lines(parser):
        found = parser.expression()
        _close(parser)
    return _Part(place, "value", node=found)


class _Lines:
    """Inside, line ends are spaces."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def __enter__(self) -> None:
        self._parser.open_lines()

    def __exit__(self, *_: object) -> None:
        self._parser.close_lines()


def _close(parser: Parser) -> None:
    parser.take("~")
    parser.need("}")


def _directive(parser: Parser, place: Place) -> _Part:
    with _Lines(parser):
        word = parser.word()
        if word == "if":
            part = _Part(place, "if", node=parser.expression())
        elif word == "for":
            key, name, of = parser.for_head()
            part = _Part(place, "for", node=of, loop=(key, name))
        elif word in ("else", "endif", "endfor"):
            part = _Part(place, word)
        else:
            raise BakeError(f"%{{ {word} }} is no directive: if, else, endif, for, endfor", place)
        _close(parser)
    return part


def _flushed(parts: list[_Part]) -> list[_Part]:
    """Without the indentation that all lines share; a blank line does not count."""
    starts = [at for at, part in enumerate(parts) if at == 0 or parts[at - 1].text.endswith("\n")]
    counted = [at for at in starts if parts[at].text.strip(_BLANK) or parts[at].text[-1:] != "\n"]
    widths = [
        len(parts[at].text) - len(parts[at].text.lstrip(_BLANK)) if parts[at].text else 0
        for at in counted
    ]
    width = min(widths, default=0)
    for at in counted:
        parts[at] = parts[at].replace(text=parts[at].text[width:])
    return parts


def _trimmed(parts: list[_Part]) -> list[_Part]:
    found = []
    for at, part in enumerate(parts):
        text = part.text
        if at and parts[at - 1].trims[1]:
            text = text.lstrip(_BLANK)
        if at + 1 < len(parts) and parts[at + 1].trims[0]:
            text = text.rstrip(_BLANK)
        found.append(part.replace(text=text))
    return found


def _assembled(parts: list[_Part], place: Place) -> Node:
    parts = _trimmed(parts)
    if len(parts) == 1 and parts[0].word == "value" and parts[0].node is not None:
        return parts[0].node
    if all(part.word == "text" for part in parts):
        return Literal(place, "".join(part.text for part in parts))
    nodes, rest = _sequence(parts, place, ())
    if rest:
        raise BakeError(f"%{{ {rest[0].word} }} closes nothing", rest[0].place)
    return nodes


def _sequence(
    parts: list[_Part], place: Place, closers: tuple[str, ...]
) -> tuple[Template, list[_Part]]:
    """The nodes up to one of `closers`, and the parts from there on."""
    nodes: list[Node] = []
    while parts:
        part, parts = parts[0], parts[1:]
        if part.word in ("else", "endif", "endfor"):
            if part.word not in closers:
                raise BakeError(f"%{{ {part.word} }} closes nothing", part.place)
            return Template(place, tuple(nodes)), [part, *parts]
        if part.word == "text":
            nodes.append(Literal(part.place, part.text))
        elif part.word == "value" and part.node is not None:
            nodes.append(part.node)
        else:
            node, parts = _nested(part, parts)
            nodes.append(node)
    if closers:
        raise BakeError(f"a %{{ directive }} without its %{{ {closers[-1]} }}", place)
    return Template(place, tuple(nodes)), parts


def _nested(part: _Part, parts: list[_Part]) -> tuple[Node, list[_Part]]:
    """The directive that `part` begins, and the parts after its end."""
    assert part.node is not None
    if part.word == "for":
        body, rest = _sequence(parts, part.place, ("endfor",))
        return Repeat(part.place, *part.loop, part.node, body), rest[1:]
    yes, rest = _sequence(parts, part.place, ("else", "endif"))
    no: Node = Literal(part.place, "")
    if rest[0].word == "else":
        no, rest = _sequence(rest[1:], part.place, ("endif",))
    return Conditional(part.place, part.node, yes, no), rest[1:]
