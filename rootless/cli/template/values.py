"""What a template works on: Python values that stand for Go's.

None is a nil interface, bool, str, int and float are themselves, list is []interface {} and dict is
map[string]interface {}. What has a type that shows (how its zero prints, whether a field may be
missing) is one of the classes here. Strings are text whose broken bytes are surrogates. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any


class Missing:
    """No value at all: what a map says of a key it does not have."""

    def __repr__(self) -> str:
        return "<no value>"


MISSING = Missing()


class Byte(int):
    """One byte of a string, Go's uint8."""


class Duration(int):
    """Nanoseconds, Go's time.Duration: a number that prints as 1m5s."""

    @property
    def shown(self) -> str:
        """As Go prints it."""
        left, sign = abs(self), "-" if self < 0 else ""
        if left < _SECOND:
            unit, size = next((one for one in _UNITS if left >= one[1]), ("s", _SECOND))
            return f"{sign}{_fraction(left, size)}{unit}"
        minutes, left = divmod(left, 60 * _SECOND)
        hours, minutes = divmod(minutes, 60)
        before = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{sign}{before}{_fraction(left, _SECOND)}s"


_SECOND = 1_000_000_000
_UNITS = (("ms", 1_000_000), ("µs", 1000), ("ns", 1))


def _fraction(count: int, size: int) -> str:
    """`count` in units of `size`, a power of ten, to the last digit."""
    whole, rest = divmod(count, size)
    digits = f"{rest + size}"[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


class Time(str):
    """A moment in JSON's words, Go's time.Time, which prints it in others; always in UTC."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """As Go prints it."""
        return f"{self.removesuffix('Z').replace('T', ' ')} +0000 UTC"


class List(list["Any"]):
    """A slice of one type, such as []string; a nil one is empty and null in JSON."""

    def __init__(self, items: Iterable[Any], element: str, *, is_nil: bool = False) -> None:
        super().__init__(items)
        self.element = element
        self.is_nil = is_nil


class Map(dict[str, "Any"]):
    """A map from strings to one type. `zero` is what `index` finds at a key that is not there."""

    def __init__(
        self, items: Mapping[str, Any], element: str, zero: object = "", *, is_nil: bool = False
    ) -> None:
        super().__init__(items)
        self.element = element
        self.zero = zero
        self.is_nil = is_nil


class Struct:
    """Named fields in order; one that is a function is called when it is asked for.

    `keys` are their names in JSON, less those left out when empty. `methods` take one string.
    """

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Any],
        keys: Mapping[str, str] | None = None,
        methods: Mapping[str, Callable[[str], str]] | None = None,
    ) -> None:
        self.name = name
        self.fields = fields
        self.keys = dict(zip(fields, fields, strict=True)) if keys is None else keys
        self.methods = methods or {}

    def get(self, name: str) -> Any:
        """The field's value."""
        value = self.fields[name]
        return value() if callable(value) else value


class Row(Struct):
    """A line of a list: every field is text, in JSON they are sorted and escaped for HTML."""


class Nil:
    """A nil pointer to a struct with these fields."""

    def __init__(self, name: str, fields: Iterable[str]) -> None:
        self.name = name
        self.fields = frozenset(fields)


def of(value: Any, name: str) -> Any:
    """Decoded JSON as Go's structs: to ask an object for a key it lacks is then an error."""
    if isinstance(value, dict):
        return Struct(name, {key: of(item, key) for key, item in value.items()})
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return List(value, "string")
    return [of(item, name) for item in value] if isinstance(value, list) else value


_NAMES = {
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    Byte: "uint8",
    Duration: "time.Duration",
    Time: "time.Time",
    dict: "map[string]interface {}",
    list: "[]interface {}",
    type(None): "interface {}",
}


def type_name(value: object) -> str:
    """The Go type, as %T prints it."""
    if isinstance(value, List):
        return f"[]{value.element}"
    if isinstance(value, Map):
        return f"map[string]{value.element}"
    if isinstance(value, Struct):
        return value.name
    if isinstance(value, Nil):
        return f"*{value.name}"
    return _NAMES.get(type(value), "")


def is_true(value: object) -> bool:
    """Whether `if` takes it for true: not the zero of its type."""
    if isinstance(value, Struct):
        return True
    if isinstance(value, Nil | Missing):
        return False
    return bool(value)


def is_nil(value: object) -> bool:
    """Whether it is a nil of any type."""
    if isinstance(value, List | Map):
        return value.is_nil
    return value is None or isinstance(value, Nil | Missing)


def kind(value: object) -> str:
    """What can be compared with what: bool, int, uint, float, string; or list, map, struct, nil."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return "nil"


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (Byte, "uint"),
    (int, "int"),
    (float, "float"),
    (str, "string"),
    (list, "list"),
    (dict, "map"),
    (Struct, "struct"),
    (Nil, "pointer"),
)
BASIC = frozenset({"bool", "int", "uint", "float", "string"})
