"""Functions of strings. Pure, but for the clock that ends a search with a hostile pattern."""

from __future__ import annotations

import posixpath
import re
import signal

from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.bake.hcl.functions.codes import json_encoded
from rootless.bake.hcl.functions.signature import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.bake.hcl.values import Value

_LONGEST_PATTERN = 1000
_LONGEST_SEARCHED = 1 << 16
_SECONDS = 1.0  # of the processor, for one search
_VERB = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?:\[(?P<at>\d+)\])?(?P<verb>.)"
)
_LONGEST_NUMBER = 4  # digits of a width in a format


def _meter() -> Callable[[str], str]:
    """Gives back what it is given; BakeError once that is more than values.MOST together."""
    left = values.MOST

    def passed_on(text: str) -> str:
        nonlocal left
        left -= len(text)
        if left < 0:
            raise BakeError("the string grows over a million letters")
        return text

    return passed_on


def _chomped(text: str) -> str:
    return text.rstrip("\r\n")


def _indented(spaces: float, text: str) -> str:
    if not 0 <= spaces <= values.MOST:
        raise BakeError(f"a text is not indented by {values.text(spaces)}")
    return _replaced(text, "\n", "\n" + " " * int(spaces))


def _joined(separator: str, *lists: list[Value]) -> str:
    texts = [values.text(one) for each in lists for one in each]
    if sum(map(len, texts)) + len(texts) * len(separator) > values.MOST:
        raise BakeError("the string grows over a million letters")
    return separator.join(texts)


def _replaced(text: str, old: str, new: str) -> str:
    if text.count(old) * len(new) > values.MOST:
        raise BakeError("the string grows over a million letters")
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


def _in_time(text: str, work: Callable[[], Value]) -> Value:
    """What `work` finds in `text`: Python's patterns may search for ever, RE2's do not."""
    if len(text) > _LONGEST_SEARCHED:
        raise BakeError(f"a text of {len(text)} letters is too long for a pattern")

    def late(*_: object) -> None:
        raise BakeError("the search takes too long")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _captured(found: re.Match[str]) -> Value:
    if not found.re.groups:
        return found[0]
    return found.groupdict() if found.re.groupindex else list(found.groups())


def _matched(pattern: str, text: str) -> Value:
    compiled = _compiled(pattern)
    found = _in_time(text, lambda: compiled.search(text))
    if not found:
        raise BakeError("the pattern matches nothing")
    return _captured(found)


def _all_matched(pattern: str, text: str) -> Value:
    found = map(_captured, _compiled(pattern).finditer(text))
    return _in_time(text, lambda: list(values.counted(found)))


def _regex_replaced(text: str, pattern: str, new: str) -> Value:
    compiled, passed_on = _compiled(pattern), _meter()

    def filled(found: re.Match[str]) -> str:
        def group(name: re.Match[str]) -> str:
            if name[0] == "$$":
                return "$"
            key: Any = name[1] or name[2]
            try:
                return passed_on(found[int(key) if key.isdecimal() else key] or "")
            except (IndexError, KeyError, ValueError):
                return ""

        return re.sub(r"\$\$|\$(?:(\w+)|\{(\w+)\})", group, passed_on(new))

    return _in_time(text, lambda: compiled.sub(filled, text))


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
    passed_on = _meter()

    def filled(found: re.Match[str]) -> str:
        nonlocal following
        if found["verb"] == "%":
            return "%"
        if any(len(found[name] or "") > _LONGEST_NUMBER for name in ("width", "precision", "at")):
            raise BakeError(f"{found[0][:60]!r} is too wide")
        at = int(found["at"]) - 1 if found["at"] else following
        if not 0 <= at < len(given):
            raise BakeError(f"there is no argument for {found[0]!r}")
        used.add(at)
        following = at + 1
        return passed_on(_verb(found, given[at]))

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
    texts = (
        _formatted(pattern, *[one[at] if isinstance(one, list) else one for one in given])
        for at in rows
    )
    return list(values.counted(texts))


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
