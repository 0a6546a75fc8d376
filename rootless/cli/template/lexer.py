"""A template's text → tokens, by the rules of Go's text/template/parse, one at a time.

What is wrong becomes an `error` token, which the parser meets in its turn. Pure.
"""

from __future__ import annotations

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KEYWORDS = frozenset(
    ("block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template")
) | {"with"}
_SPACES = " \t\r\n"
_SINGLE = {"=": "assign", "|": "pipe"}
_ENDS = frozenset(" \t\r\n.,|:)(")
_HEX = "0123456789abcdefABCDEF_"
_BASES = {"x": _HEX, "X": _HEX, "o": "01234567_", "O": "01234567_", "b": "01_", "B": "01_"}
_DECIMAL = "0123456789_"


class Token(Record):
    """A piece of the text. `kind` is a keyword itself, or text, field, number, error, eof, …"""

    kind: str
    position: int
    text: str
    line: int

    def __str__(self) -> str:
        """As Go's complaints show it."""
        from rootless.cli.template.literals import quote

        if self.kind == "eof":
            return "EOF"
        if self.kind == "error":
            return self.text
        if self.kind in KEYWORDS or self.kind == "dot":
            return f"<{self.text}>"
        return f"{quote(self.text[:10])}..." if len(self.text) > 10 else quote(self.text)


class _LexError(Exception):
    """What is wrong, in Go's words; the token that is wrong begins at the reader's start."""


def tokens(text: str) -> Iterator[Token]:
    """All of them; the last one is of kind eof or error."""
    reader = _Reader(text)
    try:
        yield from reader.read()
    except _LexError as error:
        yield Token("error", reader.start, str(error), reader.start_line)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.start = 0
        self.start_line = 1
        self.depth = 0

    def read(self) -> Iterator[Token]:
        while True:
            opening = self.text.find("{{", self.at)
            if opening < 0:
                break
            token = self._text(opening)
            if token.text:
                yield token
            if self._comment():
                continue
            yield self._opening()
            yield from self._action()
        self.at = len(self.text)
        if self.at > self.start:
            yield self._token("text")
        yield self._token("eof")

    def _token(self, kind: str) -> Token:
        token = Token(kind, self.start, self.text[self.start : self.at], self.start_line)
        self._skip()
        return token

    def _skip(self) -> None:
        """What is before here is done with."""
        self.start_line += self.text.count("\n", self.start, self.at)
        self.start = self.at

    def _text(self, opening: int) -> Token:
        """The text before an action, trimmed where the action wants it."""
        self.at = opening
        if _trims_left(self.text, opening + 2):
            self.at = self.start + len(self.text[self.start : opening].rstrip(_SPACES))
        token = self._token("text")
        self.at = opening
        self._skip()
        return token

    def _comment(self) -> bool:
        """Go past a comment, if here is one."""
        inside = self.at + 2 + (2 if _trims_left(self.text, self.at + 2) else 0)
        if not self.text.startswith("/*", inside):
            return False
        self.at = inside
        self._skip()
        end = self.text.find("*/", inside + 2)
        if end < 0:
            raise _LexError("unclosed comment")
        self.at = end + 2
        if self._closing() is None:
            raise _LexError("comment ends before closing delimiter")
        self._go_past_closing()
        return True

    def _opening(self) -> Token:
        trims = _trims_left(self.text, self.at + 2)
        self.at += 2
        token = self._token("{{")
        self.at += 2 if trims else 0
        self._skip()
        self.depth = 0
        return token

    def _closing(self) -> bool | None:
        """Whether the closing delimiter here trims; None when there is none."""
        if self.text[self.at : self.at + 1] in tuple(_SPACES) and self.text.startswith(
            "-}}", self.at + 1
        ):
            return True
        return False if self.text.startswith("}}", self.at) else None

    def _go_past_closing(self) -> None:
        trims = self._closing()
        self.at += 4 if trims else 2
        while trims and self._peek() in tuple(_SPACES):
            self.at += 1
        self._skip()

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _action(self) -> Iterator[Token]:
        while True:
            closing = self._closing()
            if closing is None:
                yield self._inside()
                continue
            if self.depth:
                raise _LexError("unclosed left paren")
            self.start = self.at = self.at + (2 if closing else 0)
            token = Token("}}", self.at, "}}", self.start_line)
            self.at -= 2 if closing else 0
            self._go_past_closing()
            yield token
            return

    def _inside(self) -> Token:
        char = self._peek()
        if not char:
            raise _LexError("unclosed action")
        if char in _SPACES:
            return self._space()
        if char in "\"'`":
            return self._quoted(char)
        if char == "$" or (char == "." and not _is_digit(self.text[self.at + 1 : self.at + 2])):
            return self._name("variable" if char == "$" else "field")
        if char in "+-." or _is_digit(char):
            return self._number()
        if _is_name(char):
            return self._word()
        return self._mark(char)

    def _space(self) -> Token:
        while self._peek() and self._peek() in _SPACES:
            self.at += 1
        if self.text.startswith("-}}", self.at) and self.at - self.start > 1:
            self.at -= 1  # the last one belongs to the delimiter
        return self._token("space")

    def _mark(self, char: str) -> Token:
        self.at += 1
        if char == ":":
            if self._peek() != "=":
                raise _LexError("expected :=")
            self.at += 1
            return self._token("declare")
        if char in "()":
            self.depth += 1 if char == "(" else -1
            if self.depth < 0:
                raise _LexError("unexpected right paren")
            return self._token(char)
        if char in _SINGLE:
            return self._token(_SINGLE[char])
        if char.isascii() and char.isprintable():
            return self._token("char")
        raise _LexError(f"unrecognized character in action: {_unicode(char)}")

    def _quoted(self, mark: str) -> Token:
        names = {'"': "quoted string", "`": "raw quoted string", "'": "character constant"}
        self.at += 1
        while (char := self._peek()) != mark:
            self.at += 1
            if char == "\\" and mark != "`":
                char = self._peek()
                self.at += 1
            if not char or (char == "\n" and mark != "`"):
                raise _LexError(f"unterminated {names[mark]}")
        self.at += 1
        return self._token("character" if mark == "'" else "string")

    def _name(self, kind: str) -> Token:
        """.Name or $name, or the dot or dollar alone."""
        self.at += 1
        if self._ends_here():
            alone = self.text[self.start] == "."
            return self._token("dot" if alone else kind)
        while _is_name(self._peek()):
            self.at += 1
        self._expect_end()
        return self._token(kind)

    def _word(self) -> Token:
        while _is_name(self._peek()):
            self.at += 1
        self._expect_end()
        word = self.text[self.start : self.at]
        if word in KEYWORDS:
            return self._token(word)
        return self._token("bool" if word in ("true", "false") else "identifier")

    def _ends_here(self) -> bool:
        char = self._peek()
        return not char or char in _ENDS or self.text.startswith("}}", self.at)

    def _expect_end(self) -> None:
        if not self._ends_here():
            raise _LexError(f"bad character {_unicode(self._peek())}")

    def _number(self) -> Token:
        self._scan_number()
        if self._peek() and self._peek() in "+-":
            raise _LexError(f"bad number syntax: {self._so_far()}")
        return self._token("number")

    def _so_far(self) -> str:
        from rootless.cli.template.literals import quote

        return quote(self.text[self.start : self.at])

    def _scan_number(self) -> None:
        digits = _DECIMAL
        self._accept("+-")
        if self._accept("0"):
            digits = _BASES.get(self._peek(), digits)
            self.at += digits != _DECIMAL
        self._accept_all(digits)
        if self._accept("."):
            self._accept_all(digits)
        exponents = {_DECIMAL: "eE", _HEX: "pP"}.get(digits, "")
        if self._accept(exponents):
            self._accept("+-")
            self._accept_all(_DECIMAL)
        self._accept("i")
        if _is_name(self._peek()):
            self.at += 1
            raise _LexError(f"bad number syntax: {self._so_far()}")

    def _accept(self, chars: str) -> bool:
        char = self._peek()
        found = bool(char) and char in chars
        self.at += found
        return found

    def _accept_all(self, chars: str) -> None:
        while self._accept(chars):
            pass


def _trims_left(text: str, at: int) -> bool:
    return text.startswith("-", at) and text[at + 1 : at + 2] in tuple(_SPACES)


def _is_digit(char: str) -> bool:
    return bool(char) and char in "0123456789"


def _is_name(char: str) -> bool:
    return char.isalnum() or char == "_"


def _unicode(char: str) -> str:
    """As Go's %#U shows a character; nothing is there at the end."""
    code = ord(char) if char else 0xFFFFFFFFFFFFFFFF
    shown = f"U+{code:04X}"
    return f"{shown} '{char}'" if char.isprintable() and char else shown
