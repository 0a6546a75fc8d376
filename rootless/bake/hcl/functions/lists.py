"""Functions of lists and maps. Pure."""

from __future__ import annotations

from itertools import product

from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.bake.hcl.functions.signature import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.bake.hcl.values import Number, Value


def _chunked(given: list[Value], size: float) -> list[Value]:
    step = int(size)
    if step < 0:
        raise BakeError("the size of a chunk is negative")
    if step == 0:
        return [given] if given else []
    return [given[at : at + step] for at in range(0, len(given), step)]


def _first(*given: Value) -> Value:
    found = [one for one in given if one is not None]
    if not found:
        raise BakeError("all arguments are null")
    return values.text(found[0]) if any(isinstance(one, str) for one in found) else found[0]


def _first_list(*given: list[Value]) -> list[Value]:
    for one in given:
        if one:
            return one
    raise BakeError("all lists are empty")


def _compacted(given: list[Value]) -> list[Value]:
    return [text for text in map(values.text, given) if text]


def _joined(*given: list[Value]) -> list[Value]:
    if any(isinstance(one, values.Set) for one in given):
        raise BakeError("a set is no list: its elements have no places")
    return [one for each in given for one in each]


def _contains(given: list[Value], value: Value) -> bool:
    return any(values.equal(one, value) for one in given)


def _element(given: list[Value], at: float) -> Value:
    if not given or isinstance(given, values.Set):
        raise BakeError("the list is empty" if not given else "elements of a set have no places")
    return given[int(at) % len(given)]


def _flattened(given: list[Value]) -> list[Value]:
    found: list[Value] = []
    for one in given:
        found += _flattened(one) if isinstance(one, list) else [one]
    return found


def _has_index(of: Value, key: Value) -> bool:
    if isinstance(of, list):
        return isinstance(key, int) and key in range(len(of))
    return values.text(key) in values.mapping(of)


def _index(of: Value, key: Value) -> Value:
    if not _has_index(of, key):
        raise BakeError(f"there is no element {values.text(key)}")
    return of[int(key)] if isinstance(of, list) else of[values.text(key)]


def _position(given: list[Value], value: Value) -> int:
    for at, one in enumerate(given):
        if values.equal(one, value):
            return at
    raise BakeError("item not found" if given else "the list is empty")


def _length(of: Value) -> int:
    if not isinstance(of, list | dict):
        raise BakeError("a list or a map is needed")
    return len(of)


def _lookup(of: dict[str, Value], key: str, default: Value) -> Value:
    return of.get(key, default)


def _merged(*given: Value) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for one in given:
        found.update(values.mapping(one) if one is not None else {})
    return found


def _range(*given: Number) -> list[Value]:
    if not 1 <= len(given) <= 3:
        raise BakeError("takes 1 to 3 arguments")
    start, end = (0, given[0]) if len(given) == 1 else given[:2]
    step = given[2] if len(given) == 3 else (1 if end >= start else -1)
    if step == 0 or (end - start) * step < 0:
        raise BakeError("the step does not lead from the start to the end")
    if abs((end - start) / step) > 1024:
        raise BakeError("more than 1024 elements would come out")
    found = []
    while (start < end) if step > 0 else (start > end):
        found.append(values.whole(start))
        start += step
    return found


def _slice(given: list[Value], start: float, end: float) -> list[Value]:
    if not 0 <= start <= end <= len(given):
        raise BakeError(f"{values.text(start)} to {values.text(end)} is no part of {len(given)}")
    return given[int(start) : int(end)]


def _zipped(keys: list[Value], given: list[Value]) -> dict[str, Value]:
    if len(keys) != len(given):
        raise BakeError(f"{len(keys)} keys and {len(given)} values")
    return dict(zip(map(values.text, keys), given, strict=True))


def _products(*given: list[Value]) -> list[Value]:
    count = 1
    for one in given:
        count *= len(one)
    if len(given) < 2 or count * len(given) > values.MOST:
        raise BakeError("two lists or more are needed, and not too long ones")
    return [list(row) for row in product(*given)]


FUNCTIONS = {
    "chunklist": Function("ln", _chunked),
    "coalesce": Function("a*", _first),
    "coalescelist": Function("l*", _first_list),
    "compact": Function("l", _compacted),
    "concat": Function("l*", _joined),
    "contains": Function("lv", _contains),
    "distinct": Function("l", values.distinct),
    "element": Function("ln", _element),
    "flatten": Function("l", _flattened),
    "hasindex": Function("vv", _has_index),
    "index": Function("vv", _index),
    "indexof": Function("la", _position),
    "keys": Function("m", sorted),
    "length": Function("v", _length),
    "lookup": Function("msa", _lookup),
    "merge": Function("a*", _merged),
    "range": Function("n*", _range),
    "reverselist": Function("l", lambda given: given[::-1]),
    "setproduct": Function("l*", _products),
    "slice": Function("lnn", _slice),
    "sort": Function("l", lambda given: sorted(map(values.text, given))),
    "values": Function("m", lambda of: [of[key] for key in sorted(of)]),
    "zipmap": Function("ll", _zipped),
}
