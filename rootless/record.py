"""`Record`: frozen values without the price of `dataclasses`.

Importing `dataclasses` costs 11 ms, half of what starting a container may take, and each decorated
class compiles its methods anew. A Record subclass only declares annotated fields; to a type
checker it is a frozen dataclass. Defaults stay class attributes, so they must be immutable.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda cls: cls


@dataclass_transform(frozen_default=True)
class Record:
    """A frozen value: keyword or positional construction, equality, hash, repr and `replace`."""

    _fields: ClassVar[tuple[str, ...]] = ()
    _required: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        own = tuple(name for name in cls.__dict__.get("__annotations__", ()) if name[0] != "_")
        inherited = tuple(name for name in cls._fields if name not in own)
        cls._fields = inherited + own
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))

    if not TYPE_CHECKING:

        def __init__(self, *args, **kwargs):
            values = self.__dict__
            values.update(zip(self._fields, args, strict=False))
            if len(args) > len(self._fields) or values.keys() & kwargs.keys():
                raise TypeError(f"{type(self).__name__}: too many values")
            values.update(kwargs)
            if not self._required <= values.keys():
                missing = ", ".join(sorted(self._required - values.keys()))
                raise TypeError(f"{type(self).__name__}: missing {missing}")
            if len(values) > len(args) and not values.keys() <= set(self._fields):
                unknown = ", ".join(sorted(values.keys() - set(self._fields)))
                raise TypeError(f"{type(self).__name__}: unknown {unknown}")

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed."""
        return type(self)(**{**{name: getattr(self, name) for name in self._fields}, **changes})
