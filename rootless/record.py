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
    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        own = tuple(name for name in cls.__dict__.get("__annotations__", ()) if name[0] != "_")
        inherited = tuple(name for name in cls._fields if name not in own)
        cls._fields = inherited + own
        cls._defaults = {name: getattr(cls, name) for name in cls._fields if hasattr(cls, name)}

    if not TYPE_CHECKING:

        def __init__(self, *args, **kwargs):
            fields, values = self._fields, self.__dict__
            values.update(self._defaults)  # a default and the same value given are one dict
            values.update(zip(fields, args, strict=False))
            values.update(kwargs)
            if len(args) > len(fields) or (
                kwargs and not kwargs.keys().isdisjoint(fields[: len(args)])
            ):
                raise TypeError(f"{type(self).__name__}: too many values")
            if len(values) != len(fields) or (kwargs and not values.keys() <= set(fields)):
                raise self._misfit()

        def _misfit(self):
            unknown = sorted(self.__dict__.keys() - set(self._fields))
            missing = sorted(set(self._fields) - self.__dict__.keys())
            kind, names = ("unknown", unknown) if unknown else ("missing", missing)
            return TypeError(f"{type(self).__name__}: {kind} {', '.join(names)}")

        def __setattr__(self, name, value):
            raise AttributeError(f"{type(self).__name__}.{name} is read-only")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple([self.__dict__[name] for name in self._fields]))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """The same value with some fields changed."""
        return type(self)(**{**self.__dict__, **changes})
