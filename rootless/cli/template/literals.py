"""Go's literals: strings in quotes and characters, read and written. Pure."""

from __future__ import annotations

_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_NAMED = {chr(code): f"\\{letter}" for letter, code in _ESCAPES.items()}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_OCTAL = frozenset("01234567")
_HEX = frozenset("0123456789abcdefABCDEF")
_LAST_RUNE = 0x10FFFF


def unquote(quoted: str) -> str:
    """What a literal in "", `` or '' stands for. ValueError when it breaks Go's rules."""
    quote, text = quoted[0], quoted[1:-1]
    if quote == "`":
        return text.replace("\r", "")
    made = bytearray()
    at = 0
    while at < len(text):
        if text[at] == quote:
            raise ValueError("invalid syntax")
        if text[at] == "\\":
            piece, at = _escape(text, at + 1, quote)
            made += piece
        else:
            made += text[at].encode("utf-8", "surrogateescape")
            at += 1
    return made.decode("utf-8", "surrogateescape")


def character(quoted: str) -> int:
    """The code of a literal in ''. ValueError when it is not one character."""
    text = quoted[1:-1]
    if text[:1] == "\\" and text[1:2] not in ("u", "U"):
        made, end = _escape(text, 1, "'")  # of \x and octals the number counts, not the character
        code = made[0]
    else:
        made_text = unquote(quoted)
        if not made_text:
            raise ValueError("invalid syntax")
        code, end = ord(made_text[0]), len(text) - len(made_text) + 1
    if end != len(text):
        raise ValueError(f"malformed character constant: {quoted}")
    return code


def _escape(text: str, at: int, quote: str) -> tuple[bytes, int]:
    """The bytes of the escape whose letter is at `at`, and where it ends."""
    letter = text[at : at + 1]
    if letter in _ESCAPES:
        return bytes((_ESCAPES[letter],)), at + 1
    if letter == quote:
        return letter.encode(), at + 1
    if letter in _DIGITS:
        end = at + 1 + _DIGITS[letter]
        code = _number(text[at + 1 : end], _HEX, 16, _DIGITS[letter])
        if letter == "x":
            return bytes((code,)), end
        if code > _LAST_RUNE or 0xD800 <= code < 0xE000:
            raise ValueError("invalid syntax")
        return chr(code).encode(), end
    code = _number(text[at : at + 3], _OCTAL, 8, 3)
    if code > 0xFF:
        raise ValueError("invalid syntax")
    return bytes((code,)), at + 3


def _number(digits: str, allowed: frozenset[str], base: int, count: int) -> int:
    if len(digits) != count or not allowed.issuperset(digits):
        raise ValueError("invalid syntax")
    return int(digits, base)


def quote(text: str, mark: str = '"', *, ascii_only: bool = False) -> str:
    """`text` as a Go literal between `mark`s."""
    return mark + "".join(_quoted(char, mark, ascii_only=ascii_only) for char in text) + mark


def _quoted(char: str, mark: str, *, ascii_only: bool) -> str:
    if char in (mark, "\\"):
        return f"\\{char}"
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if char.isprintable() and (code < 0x7F or not ascii_only):
        return char
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def can_backquote(text: str) -> bool:
    """Whether `` can hold it: one line, nothing that does not show but tabs."""
    return not any(
        char in "`\x7f\ufeff" or (char < " " and char != "\t") or "\udc80" <= char <= "\udcff"
        for char in text
    )
