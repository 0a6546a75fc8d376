"""Functions of sets: lists whose elements come once, in their natural order. Pure."""

from __future__ import annotations

from rootless.bake.hcl import values
from rootless.bake.hcl.functions.signature import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.bake.hcl.values import Value


def _has(given: list[Value], value: Value) -> bool:
    return any(values.equal(one, value) for one in given)


def _union(*given: list[Value]) -> list[Value]:
    return values.as_set([one for each in given for one in each])


def _intersection(first: list[Value], *others: list[Value]) -> list[Value]:
    return values.as_set([one for one in first if all(_has(other, one) for other in others)])


def _difference(one: list[Value], other: list[Value]) -> list[Value]:
    return values.as_set([value for value in one if not _has(other, value)])


def _symmetric(first: list[Value], *others: list[Value]) -> list[Value]:
    found = first
    for other in others:
        found = _difference(found, other) + _difference(other, found)
    return values.as_set(found)


FUNCTIONS = {
    "sethaselement": Function("lv", _has),
    "setintersection": Function("l+", _intersection),
    "setsubtract": Function("ll", _difference),
    "setsymmetricdifference": Function("l+", _symmetric),
    "setunion": Function("l+", _union),
}
