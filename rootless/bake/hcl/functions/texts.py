"""Functions of strings. Pure."""

from __future__ import annotations

import posixpath
import re

from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.bake.hcl.functions.codes import json_encoded
from rootless.bake.hcl.functions.signature import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.bake.hcl.values import Value

_LONGEST_PATTERN = 1000
_VERB = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d*|\*)(?:\.(?P<precision>\d*))?(?:\[(?P<at>\d+)\])?(?P<verb>.)"
)


def _chomped(text: str) -> str:
    return text.rstrip("\r\n")


def _indented(spaces: float, text: str) -> str:
    return text.replace("\n", "\n" + " " * int(spaces))


def _joined(separator: str, *lists: list[Value]) -> str:
    return separator.join([values.text(one) for each in lists for one in each])


def _replaced(text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _substring(text: str, offset: float, length: float) -> str:
    start, count = int(offset), int(length)
    if start < 0:  # from the end; there, no letter means all, as in the library of docker's bake
        start, count = max(start + len(text), 0), count or -1
    return text[start:] if count < 0 else text[start : start + count]


def _title(text: str) -> str:
    return re.sub(r"(?<!\w)\w", lambda found: found[0].upper(), text)


def _compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of RE2 as Python spells it; what only Python has (\\1, (?=) is refused."""
    if len(pattern) > _LONGEST_PATTERN or re.search(r"\(\?(?:[=!]|<[=!]|P=|\()|\\[1-9]", pattern):
        raise BakeError(f"the pattern {pattern[:60]!r} is none of RE2's")
    spelled = re.sub(r"\(\?<(?=\w)", "(?P<", pattern).replace(r"\z", r"\Z")
    for name, letters in _CLASSES.items():
        spelled = spelled.replace(f"[:{name}:]", letters)
    try:
        return re.compile(spelled)
    except (re.error, OverflowError, RecursionError) as error:
        raise BakeError(f"the pattern {pattern[:60]!r}: {error}") from None


_CLASSES = {
    **{"alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z", "upper": "A-Z"},
    **{"space": r"\t\n\v\f\r ", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f", "blank": r"\t "},
    "punct": r"!-/:-@\[-`{-~",
}


def _captured(found: re.Match[str]) -> Value:
    if not found.re.groups:
        return found[0]
    return found.groupdict() if found.re.groupindex else list(found.groups())


def _matched(pattern: str, text: str) -> Value:
    found = _compiled(pattern).search(text)
    if not found:
        raise BakeError("the pattern matches nothing")
    return _captured(found)


def _all_matched(pattern: str, text: str) -> Value:
    return [_captured(found) for found in _compiled(pattern).finditer(text)]


def _regex_replaced(text: str, pattern: str, new: str) -> str:
    def filled(found: re.Match[str]) -> str:
        def group(name: re.Match[str]) -> str:
            if name[0] == "$$":
                return "$"
            key: Any = name[1] or name[2]
            try:
                return found[int(key) if key.isdecimal() else key] or ""
            except (IndexError, KeyError):
                return ""

        return re.sub(r"\$\$|\$(?:(\w+)|\{(\w+)\})", group, new)

    return _compiled(pattern).sub(filled, text)


def _split(separator: str, text: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _sanitized(text: str) -> str:
    return re.sub("[^a-zA-Z0-9_-]", "_", text)


def _base(path: str) -> str:
    return posixpath.basename(path.rstrip("/")) or ("/" if path else ".")


def _folder(path: str) -> str:
    return posixpath.normpath(posixpath.dirname(path) or ".").replace("//", "/")


def _formatted(pattern: str, *given: Value) -> str:
    """Go's verbs, as far as they mean something for HCL's values."""
    used: set[int] = set()
    following = 0

    def filled(found: re.Match[str]) -> str:
        nonlocal following
        if found["verb"] == "%":
            return "%"
        at = int(found["at"]) - 1 if found["at"] else following
        if not 0 <= at < len(given):
            raise BakeError(f"there is no argument for {found[0]!r}")
        used.add(at)
        following = at + 1
        return _verb(found, given[at])

    text = _VERB.sub(filled, pattern)
    if len(used) < len(given):
        raise BakeError("too many arguments; only " + f"{len(used)} used by the format string")
    return text


def _verb(found: re.Match[str], value: Value) -> str:
    verb, flags, precision = found["verb"], found["flags"], found["precision"]
    if verb == "v":
        text = _shown(value, quoted="#" in flags)
    elif verb in ("s", "q"):
        text = values.text(value)
        text = text if precision is None else text[: int(precision or 0)]
        text = json_encoded(text, html=False) if verb == "q" else text
    elif verb == "t":
        text = "true" if values.boolean(value) else "false"
    elif verb in "bdoxX":
        text = format(int(values.number(value)), ("+" if "+" in flags else "") + verb)
    elif verb in "eEfgG":
        text = format(values.number(value), f"{'+' if '+' in flags else ''}.{precision or 6}{verb}")
    else:
        raise BakeError(f"{found[0]!r} is no verb of format")
    width = int(found["width"] or 0)
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and verb not in "sqvt" else text.rjust(width)


def _shown(value: Value, *, quoted: bool) -> str:
    if isinstance(value, str) and not quoted:
        return value
    return (
        json_encoded(value, html=False)
        if value is None or isinstance(value, str | list | dict)
        else values.text(value)
    )


def _formatted_each(pattern: str, *given: Value) -> list[str]:
    counts = {len(one) for one in given if isinstance(one, list)}
    if not counts:
        return [_formatted(pattern, *given)]
    if len(counts) > 1:
        raise BakeError("the lists are not of one length")
    rows = range(counts.pop())
    return [
        _formatted(pattern, *[one[at] if isinstance(one, list) else one for one in given])
        for at in rows
    ]


FUNCTIONS = {
    "basename": Function("s", _base),
    "byteslen": Function("s", lambda text: len(text.encode())),
    "bytesslice": Function(
        "snn",
        lambda text, offset, length: text.encode()[int(offset) : int(offset + length)].decode(
            errors="replace"
        ),
    ),
    "chomp": Function("s", _chomped),
    "dirname": Function("s", _folder),
    "format": Function("sa*", _formatted),
    "formatlist": Function("sa*", _formatted_each),
    "indent": Function("ns", _indented),
    "join": Function("sl+", _joined),
    "lower": Function("s", str.lower),
    "regex": Function("ss", _matched),
    "regex_replace": Function("sss", _regex_replaced),
    "regexall": Function("ss", _all_matched),
    "replace": Function("sss", _replaced),
    "reverse": Function("s", lambda text: text[::-1]),
    "sanitize": Function("s", _sanitized),
    "split": Function("ss", _split),
    "strlen": Function("s", len),
    "substr": Function("snn", _substring),
    "title": Function("s", _title),
    "trim": Function("ss", str.strip),
    "trimprefix": Function("ss", str.removeprefix),
    "trimspace": Function("s", str.strip),
    "trimsuffix": Function("ss", str.removesuffix),
    "upper": Function("s", str.upper),
}
