"""Values of HCL: what is equal, and how one kind becomes another. Pure.

bool is its own kind, never a number; lists stand for lists, tuples and sets, dicts for maps and
objects. A number that is whole is an int, another one a decimal.Decimal: 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

from rootless.bake.errors import BakeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Number = Any  # int | Decimal: mypy does not know that the two go together
    Value = Any  # None | bool | Number | str | list[Value] | dict[str, Value]

MOST = 1 << 20
"""Letters and elements that a value may have, those that it holds in two places counted twice."""
_LONGEST = 300  # digits of a number
_MOST_BITS = 1 << 12  # of a number that was computed
_TRUE, _FALSE = ("true", "1"), ("false", "0")


class Set(list["Value"]):
    """A list whose elements come once and have no places: each is its own key."""


def kind(value: Value) -> str:
    """The word for a value's kind, as messages use it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "list"
    return "map" if isinstance(value, dict) else "number"


def equal(one: Value, other: Value) -> bool:
    """Equality that tells 1 from true and from "1"."""
    if kind(one) != kind(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return bool(one == other)


def whole(number: Number) -> Number:
    """The same number, as an int when it is one; BakeError for a huge one."""
    bits = number.bit_length() if isinstance(number, int) else 3 * abs(number.adjusted())
    if bits > _MOST_BITS:
        raise BakeError("the number grows too large")
    return int(number) if number == int(number) else number


def of_float(number: float) -> Number:
    """The number that a float is the nearest to."""
    from decimal import Decimal

    return whole(Decimal(repr(number)))


def text(value: Value) -> str:
    """The value as a string; BakeError for lists, maps and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind(value) == "number":
        return format(number(value), "f") if not isinstance(value, int) else str(value)
    raise BakeError(f"a string is needed, and this is {_article(value)}")


def number(value: Value) -> Number:
    """The value as a number; a string may spell one."""
    if isinstance(value, float):
        return of_float(value)
    if isinstance(value, str):
        return _spelled(value)
    if kind(value) != "number":
        raise BakeError(f"a number is needed, and this is {_article(value)}")
    return whole(value)


def _spelled(text: str) -> Number:
    """The number; nothing that no bake file means by one: inf, nan, 1_000, a googolplex."""
    digits = text.lstrip("+-")
    if len(text) <= _LONGEST and set(text) <= set("+-.0123456789eE"):
        if digits.isdecimal():
            return int(text)
        from decimal import Decimal, InvalidOperation

        try:
            found = Decimal(text)
        except InvalidOperation:
            found = None
        if found is not None and abs(found.adjusted()) <= _LONGEST:
            return whole(found.normalize())
    raise BakeError(f"a number is needed, and {text[:60]!r} is none")


def boolean(value: Value) -> bool:
    """The value as a bool; a string may spell one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _TRUE + _FALSE:
        return value in _TRUE
    raise BakeError(f"true or false is needed, and this is {_article(value)}")


def counted(found: Iterable[Value]) -> Iterator[Value]:
    """The same values; BakeError as soon as they are more than MOST together."""
    left = MOST
    for one in found:
        left = _left(one, left)
        yield one


def bounded(value: Value) -> Value:
    """The same value; BakeError when it is more than MOST."""
    _left(value, MOST)
    return value


def _left(value: Value, left: int) -> int:
    """How much of `left` a value leaves."""
    pending = [value]
    while pending:
        one = pending.pop()
        left -= 1
        if isinstance(one, str):
            left -= len(one)
        elif isinstance(one, list):
            left -= len(one)
            pending += one if left >= 0 else ()
        elif isinstance(one, dict):
            left -= sum(map(len, one))
            pending += one.values()
        elif isinstance(one, int):
            whole(one)
        if left < 0:
            raise BakeError("the value grows over a million letters and elements")
    return left


def elements(value: Value) -> list[Value]:
    """The elements of a list."""
    if isinstance(value, list):
        return value
    raise BakeError(f"a list is needed, and this is {_article(value)}")


def mapping(value: Value) -> dict[str, Value]:
    """The entries of a map."""
    if isinstance(value, dict):
        return value
    raise BakeError(f"a map is needed, and this is {_article(value)}")


def pairs(value: Value) -> list[tuple[Value, Value]]:
    """Keys and values to go through: positions in a list, the keys of a map in their order."""
    if isinstance(value, Set):
        return [(one, one) for one in value]
    if isinstance(value, list):
        return list(enumerate(value))
    return sorted(mapping(value).items())


def unified(one: Value, other: Value) -> tuple[Value, Value]:
    """Both as one kind where they are simple: the two answers of a condition."""
    kinds = {kind(one), kind(other)}
    if "null" in kinds or len(kinds) == 1:
        return one, other
    if "string" in kinds and kinds <= {"string", "number", "bool"}:
        return text(one), text(other)
    raise BakeError(f"the two answers of a condition must be alike: {' and '.join(sorted(kinds))}")


def distinct(values: list[Value]) -> list[Value]:
    """Each value once, in the order of first sight."""
    simple: set[tuple[str, Value]] = set()
    found: list[Value] = []
    for value in values:
        if isinstance(value, list | dict):
            if not any(equal(value, one) for one in found):
                found.append(value)
        elif (kind(value), value) not in simple:
            simple.add((kind(value), value))
            found.append(value)
    return found


def as_set(values: list[Value]) -> Set:
    """As a set gives its elements: each once, numbers by size and strings by name."""
    once = distinct(values)
    if len({kind(value) for value in once}) == 1 and not isinstance(once[0], list | dict):
        return Set(sorted(once))
    return Set(once)


def _article(value: Value) -> str:
    word = kind(value)
    return word if word == "null" else f"a {word}"
