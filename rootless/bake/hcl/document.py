"""HCL's JSON syntax: a JSON document → the same Body that native syntax gives. Pure.

hashicorp/hcl, json/spec.md: strings are templates, objects and arrays are expressions or, where
a block is expected, its labels and bodies. JSON has no places: errors name the path of keys.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.bake.errors import BakeError, Place
from rootless.bake.hcl import template
from rootless.bake.hcl.nodes import Block, Body, Item, Literal, Node, Object, Tuple
from rootless.bake.hcl.parser import Parser
from rootless.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Type of a block → how many labels it has.
_BLOCKS = {"variable": 1, "function": 1, "target": 1, "group": 1, "validation": 0}


def parse(text: str, name: str) -> Body:
    """The body of a JSON file called `name` in errors."""
    try:
        document = leanjson.loads(text, name)
    except IntegrityError as error:
        raise BakeError(error.message) from None
    bodies = document if isinstance(document, list) else [document]
    found = [_body(body, Place(name, 1, 1), name) for body in bodies]
    return Body(
        tuple(item for body in found for item in body.items),
        tuple(block for body in found for block in body.blocks),
    )


def _body(value: Any, place: Place, path: str) -> Body:
    if not isinstance(value, dict):
        raise BakeError(f"{path}: an object is needed")
    items: list[Item] = []
    blocks: list[Block] = []
    for name, inner in value.items():
        if name == "//":  # a comment
            continue
        if name in _BLOCKS and isinstance(inner, dict | list):
            for labels, body in _labelled(inner, _BLOCKS[name], f"{path}.{name}"):
                blocks.append(Block(name, labels, _body(body, place, f"{path}.{name}"), place))
        else:
            items.append(Item(name, expression(inner, f"{path}.{name}"), place))
    return Body(tuple(items), tuple(blocks))


def _labelled(value: Any, labels: int, path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, list):
        for one in value:
            yield from _labelled(one, labels, path)
    elif labels == 0:
        yield (), value
    elif isinstance(value, dict):
        for label, inner in value.items():
            for _, body in _labelled(inner, 0, f"{path}.{label}"):
                yield (label,), body
    else:
        raise BakeError(f"{path}: an object is needed")


def expression(value: Any, path: str) -> Node:
    """A JSON value as an expression; `path` is its place in errors."""
    place = Place(path, 1, 1)
    if isinstance(value, str):
        return template.whole(Parser(value, path))
    if isinstance(value, list):
        items = [expression(one, f"{path}[{at}]") for at, one in enumerate(value)]
        return Tuple(place, tuple(items))
    if isinstance(value, dict):
        pairs = [
            (expression(key, path), expression(one, f"{path}.{key}")) for key, one in value.items()
        ]
        return Object(place, tuple(pairs))
    return Literal(place, value)
