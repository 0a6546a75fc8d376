"""Dockerfile text to logical lines: the rules that hold before any instruction's own grammar.

Owns directives, comments, continuations, heredoc bodies, flags, and the lexical forms of operands
(blank-separated words, quoted words, JSON arrays). Knows no instruction but the three that may
have heredocs. Pure: text in, values out. The grammar is that of BuildKit's frontend/dockerfile.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.dockerfile.errors import DockerfileError, Location
from rootless.errors import IntegrityError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DIRECTIVES = ("syntax", "escape", "check")
TAKES_HEREDOCS = ("RUN", "COPY", "ADD")
BLANKS = " \t\v\f\r"
MAX_LINE = 0xFFFF  # bytes of one physical line less its newline, as in other builders

_BLANKS_TO_SPACE = dict.fromkeys(map(ord, BLANKS), " ")


class Heredoc(Record):
    """`[fd]<<[-]name`: `body` is as written, each line with its newline.

    `expands` unless a part of the name is quoted; `strips_tabs` for `<<-`.
    """

    name: str
    body: str = ""
    expands: bool = True
    strips_tabs: bool = False
    fd: int = 0

    @property
    def content(self) -> str:
        """The body without leading tabs if it was asked for so."""
        if not self.strips_tabs:
            return self.body
        return "".join(line.lstrip("\t") for line in _lines(self.body))


class LogicalLine(Record):
    """One instruction, split into keyword, flags and operands.

    `original` is the line without comments and continuations, then its heredoc bodies with their
    terminators; `lex_original` makes the same line of it.
    """

    keyword: str
    flags: tuple[str, ...]
    operands: str
    heredocs: tuple[Heredoc, ...]
    original: str
    location: Location


class Lexed(Record):
    """All logical lines of a text, and what its leading directives say."""

    lines: tuple[LogicalLine, ...]
    directives: Mapping[str, str]
    escape: str


def lex(content: bytes) -> Lexed:
    """The logical lines of a Dockerfile; DockerfileError with a location but no source."""
    lines = _PhysicalLines(content)
    directives = _directives(lines)
    escape = directives.get("escape", "\\")
    return Lexed(tuple(_logical_lines(lines, escape)), directives, escape)


def lex_original(text: str) -> LogicalLine:
    """The logical line whose `original` is `text`: an ONBUILD trigger is stored so."""
    lines = _PhysicalLines(text.encode("utf-8", "surrogateescape"))
    line = _logical_line((lines.take() or "").rstrip("\r\n"), 1, lines)
    if lines.peek() is not None:
        raise DockerfileError(f"the text has more than one instruction: {text!r}")
    return line


class _PhysicalLines:
    """The lines still to be read; `number` is that of the last one taken, from 1."""

    def __init__(self, content: bytes) -> None:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        self._lines = _lines(text)
        self.number = 0

    def peek(self) -> str | None:
        """The next line as it is, with its newline; None after the last."""
        return self._lines[self.number] if self.number < len(self._lines) else None

    def take(self) -> str | None:
        line = self.peek()
        if line is None:
            return None
        self.number += 1
        if len(line) > MAX_LINE // 4 and _size(line) > MAX_LINE:
            raise DockerfileError(
                f"the line is longer than {MAX_LINE} bytes",
                location=Location(self.number, self.number),
            )
        return line


def _size(line: str) -> int:
    return len(line.removesuffix("\n").encode("utf-8", "surrogateescape"))


def _lines(text: str) -> list[str]:
    """Split after each newline, and nowhere else (`splitlines` knows ten more separators)."""
    *whole, last = text.split("\n")
    return [line + "\n" for line in whole] + ([last] if last else [])


def _directives(lines: _PhysicalLines) -> dict[str, str]:
    """Read the leading `# name=value` lines; the first line that is none of them stays."""
    found: dict[str, str] = {}
    while (directive := _directive(lines.peek() or "")) is not None:
        lines.take()
        name, value = directive
        place = Location(lines.number, lines.number)
        if name in found:
            raise DockerfileError(f"the directive {name} is given twice", location=place)
        if name == "escape" and value not in ("\\", "`"):
            raise DockerfileError(
                f"the escape character can be \\ or `, not {value!r}", near=value, location=place
            )
        found[name] = value
    return found


def _directive(line: str) -> tuple[str, str] | None:
    comment = line.strip()
    name, equals, value = comment[1:].partition("=")
    name, value = name.strip().lower(), value.strip()
    if comment[:1] != "#" or not equals or not value or name not in DIRECTIVES:
        return None
    return name, value


def _logical_lines(lines: _PhysicalLines, escape: str) -> Iterator[LogicalLine]:
    while (line := lines.take()) is not None:
        first = line.strip()
        if not first or first[0] == "#":
            continue
        start = lines.number
        joined = _join(line.lstrip(), lines, escape)
        try:
            yield _logical_line(joined, start, lines)
        except DockerfileError as error:
            location = error.location or Location(start, lines.number)
            raise DockerfileError(
                error.problem, near=error.near, hint=error.hint, location=location
            ) from None


def _join(line: str, lines: _PhysicalLines, escape: str) -> str:
    """The whole instruction; comments and empty lines between continuations do not end it."""
    parts = []
    following: str | None = line
    while following is not None:
        part, continues = _continuation(following.rstrip("\r\n"), escape)
        parts.append(part)
        if not continues:
            break
        following = lines.take()
        while following is not None and following.lstrip()[:1] in ("", "#"):
            following = lines.take()
    return "".join(parts)


def continues(line: str, escape: str) -> bool:
    """Whether an instruction goes on after this physical line, given without its end."""
    bare = line.rstrip(" \t")
    return bare.endswith(escape) and not bare.endswith(escape * 2)


def _continuation(line: str, escape: str) -> tuple[str, bool]:
    return (line.rstrip(" \t")[:-1], True) if continues(line, escape) else (line, False)


def _logical_line(joined: str, start: int, lines: _PhysicalLines) -> LogicalLine:
    keyword, rest = split_keyword(joined)
    flags, operands = _split_flags(rest)
    heredocs = tuple(_read_body(heredoc, lines) for heredoc in _announced(keyword, joined, rest))
    original = "\n".join([joined.strip(), *(one.body + one.name for one in heredocs)])
    _check_text(original)
    location = Location(start, lines.number)
    return LogicalLine(keyword, flags, operands, heredocs, original, location)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise DockerfileError("the instruction contains a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DockerfileError(
            "the instruction is not UTF-8 text", hint="save the file in UTF-8"
        ) from None


def split_keyword(text: str) -> tuple[str, str]:
    """The first word, in capitals, and what follows it."""
    spaced = text.strip().translate(_BLANKS_TO_SPACE)
    length = len(spaced.partition(" ")[0])
    return spaced[:length].upper(), text.strip()[length:].strip()


def split_blanks(text: str) -> tuple[str, ...]:
    """Words between blanks; quotes mean nothing."""
    return tuple(filter(None, text.translate(_BLANKS_TO_SPACE).split(" ")))


def split_quoted(text: str, escape: str) -> tuple[str, ...]:
    """Words between blanks outside of quotes; quotes and escapes stay for `expand`."""
    words: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        one = text[position]
        if one == escape and quote != "'":
            # an escape as the very last character is dropped
            one = text[position : position + 2] if position + 1 < len(text) else ""
            position += 1
        elif quote:
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
        elif one.isspace():
            words.append(word)
            word = one = ""
        word += one
        position += 1
    return tuple(filter(None, [*words, word]))


def json_array(text: str) -> tuple[str, ...] | None:
    """The exec form's strings; None when it is no JSON array, which makes it the shell form."""
    if text.lstrip()[:1] != "[":
        return None
    try:
        value = leanjson.loads(text)
    except IntegrityError:
        return None
    if not all(isinstance(item, str) for item in value):
        raise DockerfileError("the JSON form takes strings only", near="[")
    return tuple(map(_paired, value))


def _paired(text: str) -> str:
    """Halves of surrogate pairs are no characters: Go reads U+FFFD for them."""
    if text.isascii():
        return text
    return "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in text)


def _split_flags(text: str) -> tuple[tuple[str, ...], str]:
    """Leading `--name[=value]` words, unquoted, and the rest; `--` ends them."""
    flags = []
    while text.startswith("--"):
        word, length = _flag_word(text)
        text = text[length:].lstrip()
        if word == "--":
            break
        flags.append(word)
    return tuple(flags), text


def _flag_word(text: str) -> tuple[str, int]:
    """The first word of `text` without its quotes and backslashes, and its length in `text`."""
    word, quote, position = "", "", 0
    while position < len(text):
        one = text[position]
        if one == "\\":
            position += 1
            word += text[position : position + 1]
        elif quote and one == quote:
            quote = ""
        elif quote:
            word += one
        elif one in "'\"":
            quote = one
        elif one.isspace():
            break
        else:
            word += one
        position += 1
    return word, position


def _announced(keyword: str, line: str, rest: str) -> Iterator[Heredoc]:
    """The heredocs whose bodies follow the line, in order."""
    if keyword == "ONBUILD":
        keyword, rest = split_keyword(rest)
    if keyword not in TAKES_HEREDOCS or "<<" not in line:
        return
    if json_array(_split_flags(rest)[1]) is not None:
        return
    for word in _shell_words(line):
        heredoc = heredoc_of(word)
        if heredoc:
            yield heredoc


def _shell_words(line: str) -> tuple[str, ...]:
    """None of it when a quote stays open: then the shell decides what `<<` means."""
    words = split_quoted(line, "\\")
    return words if all(map(_closed, words[-1:])) else ()


def _closed(word: str) -> bool:
    quote, escaped = "", False
    for one in word:
        if escaped:
            escaped = False
        elif one == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
    return not quote


def heredoc_of(word: str) -> Heredoc | None:
    """What `3<<-"EOF"` announces, still without its body; None for any other word."""
    fd, arrows, rest = word.partition("<<")
    if not arrows or not (not fd or (fd.isascii() and fd.isdigit() and len(fd) < 10)):
        return None
    strips_tabs = rest.startswith("-")
    rest = rest[strips_tabs:]
    name, end = _flag_word(rest)
    is_name = name and end == len(rest) and not any(one.isspace() for one in name)
    if not is_name or "<" in rest or not _closed(rest):
        return None
    return Heredoc(
        name=name, expands=name == rest, strips_tabs=strips_tabs, fd=int(fd) if fd else 0
    )


def _read_body(heredoc: Heredoc, lines: _PhysicalLines) -> Heredoc:
    body: list[str] = []
    while (line := lines.take()) is not None:
        terminator = line.rstrip("\r\n")
        if heredoc.strips_tabs:
            terminator = terminator.lstrip("\t")
        if terminator == heredoc.name:
            return heredoc.replace(body="".join(body))
        body.append(line)
    raise DockerfileError(
        f"the heredoc <<{heredoc.name} does not end",
        near="<<",
        hint=f"write {heredoc.name} alone on the line after its text",
    )
