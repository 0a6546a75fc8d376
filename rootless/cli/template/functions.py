"""The functions of Go's templates and of docker's: what each takes, and what it makes.

Pure. A function says what is wrong by CallError, in Go's words.
"""

from __future__ import annotations

from rootless.cli import jsontext
from rootless.cli.template import printing
from rootless.cli.template.values import (
    BASIC,
    Byte,
    List,
    Map,
    Missing,
    Nil,
    Row,
    Struct,
    is_nil,
    is_true,
    kind,
    type_name,
)
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

_MOST_PADDING = 1_000_000


class CallError(Exception):
    """What is wrong with a call."""


class Function(Record):
    """`fixed` are the types of its parameters: string, int, any, or value (as it stands, also
    nothing at all); `rest` that of those which may follow."""

    call: Callable[..., Any]
    fixed: tuple[str, ...] = ()
    rest: str = ""


# Go's own


def _index(item: Any, *keys: Any) -> Any:
    if is_nil(item) and not isinstance(item, List | Map):
        raise CallError("index of untyped nil")
    for key in keys:
        if is_nil(item) and not isinstance(item, List | Map):
            raise CallError("index of nil pointer")
        item = _entry(item, key)
    return item


def _entry(item: Any, key: Any) -> Any:
    if isinstance(item, dict):
        return _value_at(item, key)
    if not isinstance(item, list | str):
        raise CallError(f"can't index item of type {type_name(item)}")
    content = _bytes(item) if isinstance(item, str) else item
    at = _place(key, len(content))
    if at == len(content):
        what = "string" if isinstance(item, str) else "slice"
        raise CallError(f"reflect: {what} index out of range")
    return Byte(content[at]) if isinstance(content, bytes) else content[at]


def _value_at(item: dict[str, Any], key: Any) -> Any:
    if key is None or isinstance(key, Missing):
        raise CallError("value is nil; should be of type string")
    if type(key) is not str:
        raise CallError(f"value has type {type_name(key)}; should be string")
    return item.get(key, item.zero if isinstance(item, Map) else None)


def _place(key: Any, end: int) -> int:
    if key is None or isinstance(key, Missing):
        raise CallError("cannot index slice/array with nil")
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallError(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key <= end:
        raise CallError(f"index out of range: {int(key)}")
    return key


def _slice(item: Any, *places: Any) -> Any:
    if item is None or isinstance(item, Missing):
        raise CallError("slice of untyped nil")
    if isinstance(item, Nil):
        raise CallError("slice of nil pointer")
    if len(places) > 3:
        raise CallError(f"too many slice indexes: {len(places)}")
    if isinstance(item, str) and len(places) == 3:
        raise CallError("cannot 3-index slice a string")
    if not isinstance(item, str | list):
        raise CallError(f"can't slice item of type {type_name(item)}")
    content = _bytes(item) if isinstance(item, str) else item
    bounds = [_place(place, len(content)) for place in places]
    start, end, *most = (*bounds, 0, len(content))[: max(2, len(bounds))] if bounds else (0, None)
    if len(bounds) == 1:
        start, end, most = bounds[0], len(content), []
    for low, high in ((start, end), (end, most[0] if most else None)):
        if low is not None and high is not None and low > high:
            raise CallError(f"invalid slice index: {low} > {high}")
    cut = content[start:end]
    if isinstance(cut, bytes):
        return _text(cut)
    return List(cut, item.element) if isinstance(item, List) else cut


def _len(item: Any) -> int:
    if item is None or isinstance(item, Nil):
        raise CallError("len of nil pointer")
    if isinstance(item, Missing):
        raise CallError("reflect: call of reflect.Value.Type on zero Value")
    if isinstance(item, str):
        return len(_bytes(item))
    if not isinstance(item, list | dict):
        raise CallError(f"len of type {type_name(item)}")
    return len(item)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    return any(_equal(first, other) for other in others)


def _equal(one: Any, other: Any) -> bool:
    kinds = kind(one), kind(other)
    basic = [name if name in BASIC else "" for name in kinds]
    if basic[0] != basic[1] and set(basic) != {"int", "uint"}:
        if "nil" in kinds:
            return False
        raise CallError(
            f"incompatible types for comparison: {type_name(one)} and {type_name(other)}"
        )
    if basic[0]:
        return bool(one == other)
    if is_nil(one) or is_nil(other):
        if kinds[0] != kinds[1] and "nil" not in kinds:
            raise _not_comparable(one, other)
        return is_nil(one) == is_nil(other)
    if kinds[0] != kinds[1]:
        raise _not_comparable(one, other)
    if kinds[0] in ("list", "map"):
        shown = printing.sprintf("%s", (other,))
        raise CallError(f"non-comparable type {shown}: {type_name(other)}")
    return one is other


def _not_comparable(one: Any, other: Any) -> CallError:
    shown = printing.sprintf("%s", (one,))
    return CallError(
        f"non-comparable types {shown}: {type_name(one)}, "
        f"{type_name(other)}: {printing.text_of(other)}"
    )


def _lt(one: Any, other: Any) -> bool:
    kinds = [kind(one), kind(other)]
    if not BASIC.issuperset(kinds):
        raise CallError("invalid type for comparison")
    if kinds[0] != kinds[1] and set(kinds) != {"int", "uint"}:
        raise CallError(
            f"incompatible types for comparison: {type_name(one)} and {type_name(other)}"
        )
    if kinds[0] == "bool":
        raise CallError("invalid type for comparison")
    return bool(one < other)


def _le(one: Any, other: Any) -> bool:
    return _lt(one, other) or _equal(one, other)


_HTML = {"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"'}
_JS_CODES = frozenset("<>&=")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


def _shown(values: tuple[Any, ...]) -> str:
    """As an action prints them: nothing at all is <no value>."""
    return printing.sprint(["<no value>" if value is None else value for value in values])


def _html(*values: Any) -> str:
    return printing.joined([_HTML.get(char, char) for char in _shown(values)], "")


def _js(*values: Any) -> str:
    return printing.joined([_js_char(char) for char in _shown(values)], "")


def _js_char(char: str) -> str:
    if char in _JS:
        return _JS[char]
    if char in _JS_CODES or not char.isprintable():
        return f"\\u{ord(char):04X}"
    return char


def _urlquery(*values: Any) -> str:
    pieces = [
        "+" if char == " " else char if char in _UNRESERVED else _percent(char)
        for char in _shown(values)
    ]
    return printing.joined(pieces, "")


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in _bytes(char))


def _call(function: Any, *_: Any) -> Any:
    if is_nil(function):
        raise CallError("call of nil")
    raise CallError(f"non-function of type {type_name(function)}")


def _and_or(*_: Any) -> Any:
    raise NotImplementedError  # its arguments are evaluated one by one: see `evaluate`


# docker's


def _split(text: str, separator: str) -> List:
    return List(text.split(separator) if separator else text, "string")


def _join(items: Any, separator: str) -> str:
    if items is None:
        return ""
    if isinstance(items, dict):
        pieces = sorted(printing.text_of(item) for item in items.values())
    elif isinstance(items, list):
        pieces = [printing.text_of(item) for item in items]
    else:
        raise CallError(f"expected slice, got {type_name(items)}")
    return printing.joined(pieces, separator)


def _upper(text: str) -> str:
    return "".join(_alone(char, char.upper()) for char in text)


def _lower(text: str) -> str:
    return "".join(_alone(char, char.lower()) for char in text)


def _alone(char: str, changed: str) -> str:
    """Go changes a character into one character."""
    return changed if len(changed) == 1 else char


def _title(text: str) -> str:
    made, before = [], " "
    for char in text:
        inside = (
            before.isalnum() or before == "_" or (not before.isascii() and not before.isspace())
        )
        made.append(char if inside else _alone(char, char.title()))
        before = char
    return "".join(made)


def _truncate(text: str, length: int) -> str:
    if length < 0:
        raise CallError(f"runtime error: slice bounds out of range [:{length}]")
    return _text(_bytes(text)[:length])


def _pad(text: str, before: int, after: int) -> str:
    if min(before, after) < 0:
        raise CallError("strings: negative Repeat count")
    if max(before, after) > _MOST_PADDING:
        raise printing.TooLongError
    return " " * before + text + " " * after if text else text


def to_json(value: Any) -> str:
    """As docker's json function writes it."""
    return jsontext.compact(plain(value), html=isinstance(value, Row))


def plain(value: Any) -> Any:
    """What a value is in JSON: the keys of a map are sorted, a struct's as declared."""
    if isinstance(value, Row):
        return {name: value.get(name) for name in sorted(value.fields)}
    if isinstance(value, Struct):
        return {key: plain(value.get(name)) for name, key in value.keys.items()}
    if is_nil(value):
        return None
    if isinstance(value, dict):
        return {name: plain(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


_TEXT = ("string",)
_TWO = ("value", "value")
ALL: Mapping[str, Function] = {
    "and": Function(_and_or, ("value",), "value"),
    "call": Function(_call, ("value",), "value"),
    "eq": Function(_eq, ("value",), "value"),
    "ge": Function(lambda one, other: not _lt(one, other), _TWO),
    "gt": Function(lambda one, other: not _le(one, other), _TWO),
    "html": Function(_html, (), "any"),
    "index": Function(_index, ("value",), "value"),
    "js": Function(_js, (), "any"),
    "le": Function(_le, _TWO),
    "len": Function(_len, ("value",)),
    "lt": Function(_lt, _TWO),
    "ne": Function(lambda one, other: not _equal(one, other), _TWO),
    "not": Function(lambda value: not is_true(value), ("value",)),
    "or": Function(_and_or, ("value",), "value"),
    "print": Function(lambda *values: printing.sprint(values), (), "any"),
    "printf": Function(lambda form, *values: printing.sprintf(form, values), _TEXT, "any"),
    "println": Function(lambda *values: printing.sprintln(values), (), "any"),
    "slice": Function(_slice, ("value",), "value"),
    "urlquery": Function(_urlquery, (), "any"),
    "join": Function(_join, ("any", "string")),
    "json": Function(to_json, ("any",)),
    "lower": Function(_lower, _TEXT),
    "pad": Function(_pad, ("string", "int", "int")),
    "split": Function(_split, ("string", "string")),
    "title": Function(_title, _TEXT),
    "truncate": Function(_truncate, ("string", "int")),
    "upper": Function(_upper, _TEXT),
}


HEADERS: Mapping[str, Function] = {
    **ALL,
    **dict.fromkeys(("json", "lower", "title", "upper"), Function(lambda text: text, _TEXT)),
    **dict.fromkeys(("join", "split"), Function(lambda text, _: text, ("string", "string"))),
    "truncate": Function(lambda text, _: text, ("string", "int")),
}
"""A table's header stays the name of its column, whatever is made of the column's cells."""
