"""Type constraints: `type = list(string)` of a variable, and values made to fit. Pure.

hashicorp/hcl, ext/typeexpr.
"""

from __future__ import annotations

from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.bake.hcl.nodes import Call, Literal, Node, Object, Template, Tuple, Variable
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.bake.hcl.values import Value

_SIMPLE = ("string", "number", "bool", "any")
_COLLECTIONS = ("list", "set", "map")
_DEEPEST = 50


class Type(Record):
    """A type: its word, the types inside (by name for an object), and whether it may be left out.

    `of` has one type for list, set and map, one an element for tuple; `fields` are an object's.
    """

    word: str
    of: tuple[Type, ...] = ()
    fields: tuple[tuple[str, Type], ...] = ()
    optional: bool = False

    def __str__(self) -> str:
        if self.word in _COLLECTIONS:
            return f"{self.word} of {self.of[0]}"
        return "dynamic" if self.word == "any" else self.word

    def convert(self, value: Value) -> Value:
        """The value as this type; BakeError when it cannot be."""
        if value is None or self.word == "any":
            return value
        if self.word in _CONVERT:
            return _CONVERT[self.word](value)
        if self.word in ("list", "set"):
            found = [self.of[0].convert(one) for one in values.elements(value)]
            return values.as_set(found) if self.word == "set" else found
        if self.word == "map":
            return {key: self.of[0].convert(one) for key, one in values.mapping(value).items()}
        if self.word == "tuple":
            return self._as_tuple(values.elements(value))
        return self._as_object(values.mapping(value))

    def _as_tuple(self, given: list[Value]) -> Value:
        if len(given) != len(self.of):
            raise BakeError(f"a tuple of {len(self.of)} is needed, and this has {len(given)}")
        return [kind.convert(one) for kind, one in zip(self.of, given, strict=True)]

    def _as_object(self, given: dict[str, Value]) -> Value:
        found = {}
        for name, kind in self.fields:
            if name in given:
                found[name] = kind.convert(given[name])
            elif kind.optional:
                found[name] = None
            else:
                raise BakeError(f"attribute {name!r} is required")
        return found

    @property
    def is_simple(self) -> bool:
        """Whether a word from the environment is such a value."""
        return self.word in _SIMPLE


_CONVERT = {"string": values.text, "number": values.number, "bool": values.boolean}


def parse(node: Node, depth: int = 0) -> Type:
    """The type that an expression spells."""
    if isinstance(node, Literal) and isinstance(node.held, str):  # JSON, and old style
        from rootless.bake.hcl.parser import Parser

        return parse(Parser(node.held, node.place.file).expression(), depth + 1)
    if isinstance(node, Variable) and node.name in _SIMPLE:
        return Type(node.name)
    if isinstance(node, Variable) and node.name in _COLLECTIONS:
        return Type(node.name, (Type("any"),))
    if isinstance(node, Call) and depth < _DEEPEST:
        return _constructed(node, depth)
    raise _unknown(node)


def _constructed(node: Call, depth: int) -> Type:
    inner = node.arguments[0] if node.arguments else None
    if node.name in _COLLECTIONS and len(node.arguments) == 1 and inner is not None:
        return Type(node.name, (parse(inner, depth + 1),))
    if node.name == "tuple" and isinstance(inner, Tuple):
        return Type("tuple", tuple(parse(one, depth + 1) for one in inner.items))
    if node.name == "object" and isinstance(inner, Object):
        return Type("object", fields=tuple(_field(*pair, depth) for pair in inner.items))
    raise _unknown(node)


def _field(key: Node, node: Node, depth: int) -> tuple[str, Type]:
    name = str(key.held) if isinstance(key, Literal) else ""
    if isinstance(node, Call) and node.name == "optional" and len(node.arguments) == 1:
        return name, parse(node.arguments[0], depth + 1).replace(optional=True)
    return name, parse(node, depth + 1)


def _unknown(node: Node) -> BakeError:
    what = "a template is" if isinstance(node, Template) else "this is"
    hint = "write string, number, bool, any, list(T), set(T), map(T), object({…}) or tuple([…])"
    return BakeError(f"{what} no type", node.place, hint=hint)
