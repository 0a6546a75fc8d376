"""What a function takes: arguments are counted and converted before it is called. Pure."""

from __future__ import annotations

from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.bake.hcl.values import Value

_CONVERT: dict[str, Callable[[Value], Value]] = {
    "s": values.text,
    "n": values.number,
    "b": values.boolean,
    "l": values.elements,
    "m": values.mapping,
}


class Function(Record):
    """`work` and the kinds it takes, a letter an argument: s(tring) n(umber) b(ool) l(ist) m(ap)
    a(ny, null too) or v(alue, not null); a last `*` repeats the letter before it from 0 times on,
    a `+` from 1. No result is larger than values.MOST.
    """

    takes: str
    work: Callable[..., Any]

    def __call__(self, given: list[Value]) -> Value:
        letters = self._letters(len(given))
        if letters is None:
            raise BakeError(f"takes {self._count()}, not {len(given)}")
        taken = [_converted(letter, one) for letter, one in zip(letters, given, strict=True)]
        return values.bounded(self.work(*taken))

    def _letters(self, count: int) -> str | None:
        takes = self.takes
        if takes[-1:] not in ("*", "+"):
            return takes if len(takes) == count else None
        fixed = takes[:-2] if takes[-1] == "*" else takes[:-1]
        if count < len(fixed):
            return None
        return fixed + takes[-2] * (count - len(fixed))

    def _count(self) -> str:
        if self.takes[-1:] in ("*", "+"):
            least = len(self.takes) - (2 if self.takes[-1] == "*" else 1)
            return f"at least {least} arguments"
        return f"{len(self.takes)} arguments"


def _converted(letter: str, value: Value) -> Value:
    if value is None and letter != "a":
        raise BakeError("an argument is null")
    return _CONVERT[letter](value) if letter in _CONVERT else value
