"""Expressions of HCL: each node gives its value in a Scope. Pure.

An error names the place of the innermost expression that failed.
"""

from __future__ import annotations

from rootless.bake.errors import BakeError, Place
from rootless.bake.hcl import values
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Protocol

    from rootless.bake.hcl.values import Number, Value

    class Scope(Protocol):
        """What names mean where an expression stands."""

        def variable(self, name: str) -> Value:
            """The value of a name; BakeError when it has none."""

        def function(self, name: str) -> Callable[[list[Value]], Value]:
            """The function of a name; BakeError when there is none."""


class Node(Record):
    """An expression at its place."""

    place: Place

    def value(self, scope: Scope) -> Value:
        """Its value; BakeError with the place."""
        try:
            return self.compute(scope)
        except BakeError as error:
            if error.place:
                raise
            raise BakeError(error.plain, self.place, hint=error.hint) from None
        except RecursionError:
            raise BakeError("expressions are nested too deeply", self.place) from None

    def compute(self, scope: Scope) -> Value:
        """Its value; a BakeError need not say where."""
        raise NotImplementedError


class Literal(Node):
    """A number, a string, true, false or null."""

    held: Value

    def compute(self, scope: Scope) -> Value:  # noqa: ARG002
        return self.held


class Parenthesized(Node):
    """`(inner)`: as a key of an object it is computed, not taken as a word."""

    inner: Node

    def compute(self, scope: Scope) -> Value:
        return self.inner.value(scope)


class Variable(Node):
    """A name."""

    name: str

    def compute(self, scope: Scope) -> Value:
        return scope.variable(self.name)


class Attribute(Node):
    """`of.name`."""

    of: Node
    name: str

    def compute(self, scope: Scope) -> Value:
        return _entry(self.of.value(scope), self.name)


class Index(Node):
    """`of[key]`."""

    of: Node
    key: Node

    def compute(self, scope: Scope) -> Value:
        of, key = self.of.value(scope), self.key.value(scope)
        return _element(of, key) if isinstance(of, list) else _entry(of, values.text(key))


def _entry(of: Value, name: str) -> Value:
    if of is None:
        raise BakeError(f"null has no {name!r}")
    if not isinstance(of, dict):
        raise BakeError(f"a {values.kind(of)} has no {name!r}")
    if name not in of:
        from rootless import nearest

        raise BakeError(f"there is no {name!r} here", hint=nearest.hint(name, of))
    return of[name]


def _element(of: list[Value], key: Value) -> Value:
    if isinstance(of, values.Set):
        raise BakeError("the elements of a set have no places")
    at = values.number(key)
    if not isinstance(at, int) or not 0 <= at < len(of):
        raise BakeError(f"there is no element {values.text(key)} in a list of {len(of)}")
    return of[at]


class Splat(Node):
    """`of.*.name` and `of[*].name`: `each`, in which `*` is the element, of every element."""

    of: Node
    each: Node

    def compute(self, scope: Scope) -> Value:
        of = self.of.value(scope)
        if of is None:
            return []
        found = of if isinstance(of, list) else [of]
        return list(values.counted(self.each.value(Local(scope, {"*": one})) for one in found))


class Call(Node):
    """`name(arguments)`; `expands` when the last argument is a list followed by `...`."""

    name: str
    arguments: tuple[Node, ...]
    expands: bool = False

    def compute(self, scope: Scope) -> Value:
        if self.name in LAZY:
            return LAZY[self.name](self.arguments, scope)
        function = scope.function(self.name)
        given = [argument.value(scope) for argument in self.arguments]
        if self.expands:
            given[-1:] = values.elements(given[-1])
        try:
            return function(given)
        except BakeError as error:
            place = error.place or self.place
            raise BakeError(f"{self.name}(): {error.plain}", place, hint=error.hint) from None


class Tuple(Node):
    """`[a, b]`."""

    items: tuple[Node, ...]

    def compute(self, scope: Scope) -> Value:
        return list(values.counted(item.value(scope) for item in self.items))


class Object(Node):
    """`{ key = value }`; the keys are expressions too."""

    items: tuple[tuple[Node, Node], ...]

    def compute(self, scope: Scope) -> Value:
        found = {values.text(key.value(scope)): one.value(scope) for key, one in self.items}
        return values.bounded(found)


class For(Node):
    """`[for key, name in of : result if condition]`."""

    key: str
    name: str
    of: Node
    result: Node
    condition: Node | None = None

    def rounds(self, scope: Scope) -> Iterator[Scope]:
        """The scope of every element that fulfils the condition."""
        for key, one in values.pairs(self.of.value(scope)):
            inner = Local(scope, {self.key: key, self.name: one} if self.key else {self.name: one})
            if self.condition is None or values.boolean(self.condition.value(inner)):
                yield inner

    def compute(self, scope: Scope) -> Value:
        return list(values.counted(self.result.value(inner) for inner in self.rounds(scope)))


class ForObject(For):
    """`{for key, name in of : new => result}`; with `groups` (`...`) a key may come twice."""

    new: Node = Literal(Place("", 0, 0), "")
    groups: bool = False

    def compute(self, scope: Scope) -> Value:
        found: dict[str, Value] = {}
        pairs = ([self.new.value(inner), self.result.value(inner)] for inner in self.rounds(scope))
        for new, one in values.counted(pairs):
            key = values.text(new)
            if self.groups:
                found.setdefault(key, []).append(one)
            elif key in found:
                raise BakeError(f"two elements have the key {key!r}", hint="group them with ...")
            else:
                found[key] = one
        return found


class Unary(Node):
    """`-a` or `!a`."""

    sign: str
    of: Node

    def compute(self, scope: Scope) -> Value:
        of = self.of.value(scope)
        return not values.boolean(of) if self.sign == "!" else -values.number(of)


class Binary(Node):
    """`left sign right`. Both sides are always computed, as in HCL."""

    left: Node
    sign: str
    right: Node

    def compute(self, scope: Scope) -> Value:
        return _BINARY[self.sign](self.left.value(scope), self.right.value(scope))


class Conditional(Node):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node

    def compute(self, scope: Scope) -> Value:
        holds = values.boolean(self.condition.value(scope))
        chosen, other = (self.yes, self.no) if holds else (self.no, self.yes)
        found = chosen.value(scope)
        try:  # the other answer only says of which kind both are
            beside = other.value(scope)
        except BakeError:
            return found
        return values.unified(found, beside)[0]


class Template(Node):
    """A string with expressions in it."""

    parts: tuple[Node, ...]

    def compute(self, scope: Scope) -> Value:
        return "".join(map(values.text, values.counted(part.value(scope) for part in self.parts)))


class Repeat(For):
    """`%{ for … }…%{ endfor }` in a template: its texts, joined."""

    def compute(self, scope: Scope) -> Value:
        found = values.counted(self.result.value(inner) for inner in self.rounds(scope))
        return "".join(map(values.text, found))


class Local:
    """Names of an inner scope before those of an outer one."""

    def __init__(self, outer: Scope, names: Mapping[str, Value]) -> None:
        self._outer = outer
        self._names = names

    def variable(self, name: str) -> Value:
        """The inner name's value, else the outer one's."""
        return self._names[name] if name in self._names else self._outer.variable(name)

    def function(self, name: str) -> Callable[[list[Value]], Value]:
        """The outer scope's function."""
        return self._outer.function(name)


class Item(Record):
    """An argument `name = value` of a body."""

    name: str
    value: Node
    place: Place


class Block(Record):
    """`type "label" { body }`."""

    type: str
    labels: tuple[str, ...]
    body: Body
    place: Place


class Body(Record):
    """Arguments and blocks, in the order of the file."""

    items: tuple[Item, ...] = ()
    blocks: tuple[Block, ...] = ()


def called(node: Node) -> Iterator[str]:
    """The names of the functions that an expression calls."""
    if isinstance(node, Call):
        yield node.name
    pending = list(node.__dict__.values())
    while pending:
        part = pending.pop()
        if isinstance(part, tuple):
            pending += part
        elif isinstance(part, Node):
            yield from called(part)


def divided(one: Value, other: Value) -> Value:
    """The quotient; BakeError for a division by zero."""
    top, bottom = values.number(one), values.number(other)
    if not bottom:
        raise BakeError("division by zero")
    if isinstance(top, int) and isinstance(bottom, int) and top % bottom == 0:
        return top // bottom
    from decimal import Decimal

    return values.whole(Decimal(top) / Decimal(bottom))


def modulo(one: Value, other: Value) -> Value:
    """The remainder, with the sign of the first."""
    top, bottom = values.number(one), values.number(other)
    if not bottom:
        raise BakeError("division by zero")
    rest = abs(top) % abs(bottom)
    return values.whole(-rest if top < 0 else rest)


def _number(work: Callable[[Number, Number], Value]) -> Callable[[Value, Value], Value]:
    return lambda one, other: work(values.number(one), values.number(other))


_BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "||": lambda one, other: values.boolean(one) | values.boolean(other),
    "&&": lambda one, other: values.boolean(one) & values.boolean(other),
    "==": values.equal,
    "!=": lambda one, other: not values.equal(one, other),
    "<": _number(lambda one, other: one < other),
    ">": _number(lambda one, other: one > other),
    "<=": _number(lambda one, other: one <= other),
    ">=": _number(lambda one, other: one >= other),
    "+": _number(lambda one, other: values.whole(one + other)),
    "-": _number(lambda one, other: values.whole(one - other)),
    "*": _number(lambda one, other: values.whole(one * other)),
    "/": divided,
    "%": modulo,
}


def _try(arguments: tuple[Node, ...], scope: Scope) -> Value:
    reasons = []
    for argument in arguments:
        try:
            return argument.value(scope)
        except BakeError as error:
            reasons.append(error.message)
    raise BakeError("no argument of try() has a value: " + "; ".join(reasons))


def _can(arguments: tuple[Node, ...], scope: Scope) -> Value:
    if len(arguments) != 1:
        raise BakeError("can() takes one argument")
    try:
        arguments[0].value(scope)
    except BakeError:
        return False
    return True


def _convert(arguments: tuple[Node, ...], scope: Scope) -> Value:
    from rootless.bake.hcl import types

    if len(arguments) != 2:
        raise BakeError("convert() takes a value and a type")
    return types.parse(arguments[1]).convert(arguments[0].value(scope))


LAZY = {"try": _try, "can": _can, "convert": _convert}
