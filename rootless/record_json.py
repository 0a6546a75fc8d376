"""A Record as a JSON object and back, by its own annotations: what is declared is what is kept.

Pure. Values equal to their defaults are left out; a field that is missing has its default, one that
is not known is passed over, so that an older and a newer version read each other's files.
"""

from __future__ import annotations

import sys

from rootless.errors import IntegrityError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    Kind = TypeVar("Kind", bound=Record)
    Reader = Callable[[object, str], Any]

_PLAIN: Mapping[str, type] = {"str": str, "int": int, "bool": bool}
_READERS: dict[tuple[str, str], Reader] = {}
_KINDS: dict[type[Record], dict[str, Reader]] = {}


def encode(record: Record, *, whole: bool = False) -> dict[str, Any]:
    """The object that `decode` makes the same value of; `whole` also says what is as usual."""
    return {
        name: _written(value)
        for name, value in record.__dict__.items()
        if whole or name not in record._defaults or record._defaults[name] != value
    }


def decode(kind: type[Kind], value: object, what: str = "it") -> Kind:
    """The value of a class; IntegrityError names the field that is wrong."""
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is not an object")
    found = {}
    for name, reader in _fields(kind).items():
        if name in value:
            found[name] = reader(value[name], name)
        elif name not in kind._defaults:
            raise IntegrityError(f"{name} is missing")
    return kind(**found)


def _written(value: object) -> object:
    if isinstance(value, Record):
        return str(value) if hasattr(value, "parse") else encode(value)
    if isinstance(value, tuple):
        return [_written(one) for one in value]
    if isinstance(value, frozenset):
        return sorted(_written(one) for one in value)  # type: ignore[type-var]
    if value is None or isinstance(value, str | int | float | dict):
        return value
    return str(value)


def _fields(kind: type[Record]) -> dict[str, Reader]:
    """What reads each of its fields; found once, for there may be many values."""
    if kind in _KINDS:
        return _KINDS[kind]
    found: dict[str, Reader] = {}
    for one in reversed(kind.__mro__):
        for name, annotation in one.__dict__.get("__annotations__", {}).items():  # noqa: RUF063 - no inspect here
            if name in kind._fields:
                found[name] = _reader(annotation, one.__module__)
    _KINDS[kind] = found
    return found


def _reader(annotation: str, module: str) -> Reader:
    key = annotation, module
    if key not in _READERS:
        _READERS[key] = _make_reader(annotation, module)
    return _READERS[key]


def _make_reader(annotation: str, module: str) -> Reader:
    """What reads a value of a type, as it is written in the source of `module`."""
    if annotation.endswith(" | None"):
        inner = _reader(annotation.removesuffix(" | None"), module)
        return lambda value, what: None if value is None else inner(value, what)
    name, _, inside = annotation.removesuffix("]").partition("[")
    if name in _PLAIN:
        return _plain(_PLAIN[name])
    if name == "float":
        return _number
    if name == "Mapping":
        return _mapping(inside.partition(", ")[2], module)
    if name == "frozenset":
        many = _many(inside, module)
        return lambda value, what: frozenset(many(value, what))
    if name == "tuple":
        return _tuple(inside, module)
    return _class(getattr(sys.modules[module], name))


def _plain(kind: type) -> Reader:
    def read(value: object, what: str) -> Any:
        if type(value) is not kind:
            raise IntegrityError(f"{what} is not a {_WORDS[kind]}")
        return value

    return read


_WORDS = {str: "text", int: "whole number", bool: "truth value"}


def _number(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise IntegrityError(f"{what} is not a number")
    return float(value)


def _mapping(inside: str, module: str) -> Reader:
    read = (lambda value, _: value) if inside == "Any" else _reader(inside, module)

    def read_all(value: object, what: str) -> Any:
        if not isinstance(value, dict):
            raise IntegrityError(f"{what} is not an object")
        return {name: read(one, f"{what}.{name}") for name, one in value.items()}

    return read_all


def _tuple(inside: str, module: str) -> Reader:
    """`X, ...`, or as many as are named; no tuple in a tuple of fixed size."""
    if inside.endswith(", ..."):
        return _many(inside.removesuffix(", ..."), module)
    kinds = [_reader(one, module) for one in inside.split(", ")]

    def read(value: object, what: str) -> Any:
        if not isinstance(value, list) or len(value) != len(kinds):
            raise IntegrityError(f"{what} is not a list of {len(kinds)}")
        return tuple(kind(one, what) for kind, one in zip(kinds, value, strict=True))

    return read


def _many(inside: str, module: str) -> Reader:
    read = _reader(inside, module)

    def read_all(value: object, what: str) -> Any:
        if not isinstance(value, list):
            raise IntegrityError(f"{what} is not a list")
        return tuple(read(one, what) for one in value)

    return read_all


def _class(kind: Any) -> Reader:
    """Of a Record, or of a type that is written as a text and has `parse`."""
    if issubclass(kind, Record) and not hasattr(kind, "parse"):
        return lambda value, what: decode(kind, value, what)
    text = _plain(str)
    return lambda value, what: kind.parse(text(value, what))
