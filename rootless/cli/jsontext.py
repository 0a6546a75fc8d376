"""JSON for people and scripts, as docker prints it, and safe on a terminal.

Without `json`: importing that costs 5 ms.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass

_INDENT = "    "


def compact(value: object, *, html: bool = False) -> str:
    """`value` on one line, as Go writes it; with `html`, <, > and & are escaped."""
    made = _encode(value, "", "")
    if html:
        for char in "<>&":
            made = made.replace(char, f"\\u{ord(char):04x}")
    return made


def indented(value: object) -> str:
    """`value` for people, as `docker inspect` prints it."""
    return _encode(value, "\n", _INDENT)


def _encode(value: object, start: str, indent: str) -> str:
    """`start` is what a line at this depth begins with: a line's end and its indentation."""
    if isinstance(value, dict):
        colon = ": " if indent else ":"
        items = [
            f"{_string(str(key))}{colon}{_encode(item, start + indent, indent)}"
            for key, item in value.items()
        ]
        return _enclose("{}", items, start, indent)
    if isinstance(value, list | tuple):
        items = [_encode(item, start + indent, indent) for item in value]
        return _enclose("[]", items, start, indent)
    return _scalar(value)


def _enclose(brackets: str, items: list[str], start: str, indent: str) -> str:
    if not items:
        return brackets
    inner = f",{start}{indent}".join(items)
    return f"{brackets[0]}{start}{indent}{inner}{start}{brackets[1]}"


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, int):
        return str(int(value))
    return _string(str(value))


def _float(value: float) -> str:
    """As Go and JavaScript write it."""
    if value.is_integer() and abs(value) < 1e21:
        return f"{value:.0f}"
    shortest = repr(value)
    mantissa, exponent, power = shortest.partition("e")
    if not exponent:
        return shortest
    if int(power) == -6 or int(power) == -5:
        return f"{value:.{len(mantissa.replace('.', '').lstrip('-')) - int(power) - 1}f}"
    return f"{mantissa}e{'-' if power.startswith('-') else '+'}{power.lstrip('+-').lstrip('0')}"


def _string(text: str) -> str:
    from _json import encode_basestring

    quoted: str = encode_basestring(text)
    return quoted if quoted.isprintable() else "".join(map(_visible, quoted))


def _visible(char: str) -> str:
    """A character that would command a terminal, as an escape that means the same."""
    if char.isprintable():
        return char
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return "\\ufffd"
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"
