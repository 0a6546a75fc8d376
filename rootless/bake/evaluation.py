"""HCL and JSON bake files → Definition: variables, functions, matrices, references. Pure.

Names are looked up when they are needed, so a file may use them in any order; what needs itself
is refused. The environment comes as a mapping.
"""

from __future__ import annotations

from itertools import product

from rootless import leanjson, nearest
from rootless.bake import attributes, entries
from rootless.bake.attributes import ATTRIBUTES
from rootless.bake.definition import Definition, Group, Variable
from rootless.bake.errors import BakeError, Place
from rootless.bake.hcl import functions, types, values
from rootless.bake.hcl.nodes import LAZY, Block, Body, Literal, Local, Node, Tuple, called
from rootless.bake.hcl.nodes import Variable as Name
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rootless.bake.attributes import Target
    from rootless.bake.hcl.nodes import Scope
    from rootless.bake.hcl.values import Value

_BLOCKS = ("variable", "function", "target", "group")
_GROUP = ("targets", "description")
_VARIABLE = ("default", "type", "description")
_FUNCTION = ("params", "variadic_params", "result")
_MOST_TARGETS = 1000
_LETTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def evaluate(
    bodies: Sequence[Body],
    environment: Mapping[str, str],
    given: Mapping[str, str],
    base: Definition,
) -> Definition:
    """What the files define on top of `base`.

    `environment` holds the values that variables may take; `given` what names always mean
    (BAKE_LOCAL_PLATFORM).
    """
    file = _Files(bodies, environment, given)
    listed = tuple(map(file.listed, file.variables))
    for name in file.variables:
        file.validate(name)
    for name in file.functions:
        file.function(name)
    groups, targets = dict(base.groups), {name: dict(one) for name, one in base.targets.items()}
    for block in file.blocks:
        if block.type == "group":
            groups[_label(block)] = file.group(block)
            continue
        for name, scope in file.instances(block):
            attributes.merge(targets.setdefault(name, {}), file.fields(block, scope))
    for label, names in file.renamed().items():
        groups.setdefault(label, Group(tuple(names)))
    for name in file.items:
        file.variable(name)
    return Definition(groups, targets, listed, tuple(file.warnings))


def is_name(word: str) -> bool:
    """Whether a target may be called so."""
    return bool(word) and set(word) <= _LETTERS


def _label(block: Block) -> str:
    if len(block.labels) != 1:
        raise BakeError(f'a {block.type} has one name: {block.type} "NAME" {{ … }}', block.place)
    return block.labels[0]


def _checked(name: str, place: Place) -> str:
    if not is_name(name):
        raise BakeError(f"{name!r} is no name of a target: letters, digits, _ and -", place)
    return name


def _checked_items(
    block: Block, known: Sequence[str], inner: tuple[str, ...] = ()
) -> dict[str, Node]:
    """The arguments of a block, which are all known."""
    for item in block.body.items:
        if item.name not in known:
            hint = nearest.hint(item.name, known)
            raise BakeError(f"a {block.type} has no {item.name!r}", item.place, hint=hint)
    for one in block.body.blocks:
        if one.type not in inner:
            raise BakeError(f"a {block.type} has no block {one.type!r}", one.place)
    return {item.name: item.value for item in block.body.items}


class _Given(Record):
    """A `variable` block: what it says."""

    block: Block
    default: Node | None
    type: types.Type | None
    description: str


class _Files:
    """All files as one scope. Each value is computed once, when somebody first asks for it."""

    def __init__(
        self, bodies: Sequence[Body], environment: Mapping[str, str], given: Mapping[str, str]
    ) -> None:
        self._environment = environment
        self._known: dict[str, Value] = dict(given)
        self._busy: set[object] = set()
        self._functions: dict[str, Callable[[list[Value]], Value]] = dict(functions.standard())
        self._instances: dict[int, list[tuple[str, Scope]]] = {}
        self._fields: dict[tuple[int, int], dict[str, Value]] = {}
        self.items: dict[str, Node] = {}
        self.variables: dict[str, _Given] = {}
        self.functions: dict[str, Block] = {}
        self.blocks: list[Block] = []
        self._plain: dict[tuple[str, str], Block] | None = None
        self._matrices: list[Block] = []
        self.warnings: list[str] = []
        for body in bodies:
            self._sort(body)

    def _sort(self, body: Body) -> None:
        for item in body.items:
            if item.name not in self._known:
                self.items[item.name] = item.value
        for block in body.blocks:
            if block.type == "variable":
                if _label(block) not in self._known:
                    self.variables[_label(block)] = self._given(block)
            elif block.type == "function":
                self.functions[_label(block)] = block
            elif block.type in ("target", "group"):
                _checked(_label(block), block.place)
                self.blocks.append(block)
            else:
                self._warn(f"there is no block {block.type!r}", block.place, block.type, _BLOCKS)

    def _given(self, block: Block) -> _Given:
        said = _checked_items(block, _VARIABLE, ("validation",))
        kind = types.parse(said["type"]) if "type" in said else None
        text = values.text(said["description"].value(self)) if "description" in said else ""
        return _Given(block, said.get("default"), kind, text)

    # --- names ---

    def variable(self, name: str) -> Value:
        """The value of a variable, or of a `name = value` outside blocks."""
        if name in self._known:
            return self._known[name]
        if name in ("target", "group"):
            return _Blocks(self, name)
        if name not in self.items and name not in self.variables:
            known = [*self.items, *self.variables, *self._known, "target"]
            raise BakeError(f"there is no variable {name!r}", hint=nearest.hint(name, known))
        with _Once(self._busy, name, f"variable {name} needs itself"):
            value = self._valued(name)
        self._known[name] = value
        return value

    def _valued(self, name: str) -> Value:
        variable = self.variables.get(name)
        default = self.items.get(name) or (variable.default if variable else None)
        value = default.value(self) if default else None
        if variable is None:
            return value
        try:
            if variable.type:
                value = variable.type.convert(value)
            return self._from_environment(
                name, variable.type, value, has_default=default is not None
            )
        except BakeError as error:
            raise BakeError(
                f"variable {name}: {error.plain}", error.place or variable.block.place
            ) from None

    def _from_environment(
        self, name: str, kind: types.Type | None, value: Value, *, has_default: bool
    ) -> Value:
        """The variable's value in the environment, in the kind of its type or default."""
        if kind and f"{name}_JSON" in self._environment:
            return kind.convert(leanjson.loads(self._environment[f"{name}_JSON"], f"{name}_JSON"))
        if name not in self._environment:
            return value if kind or has_default else ""
        text = self._environment[name]
        if kind and not kind.is_simple:
            return _from_text(kind, text)
        if kind and kind.word != "any":
            return entries.boolean(text) if kind.word == "bool" else kind.convert(text)
        if isinstance(value, list | dict):
            raise BakeError(f"a {values.kind(value)} cannot be taken from the environment")
        if isinstance(value, bool):
            return entries.boolean(text)
        return values.number(text) if values.kind(value) == "number" else text

    def function(self, name: str) -> Callable[[list[Value]], Value]:
        """A standard function, or one that a file defines."""
        if name in self._functions:
            return self._functions[name]
        if name not in self.functions:
            hint = nearest.hint(name, [*self._functions, *self.functions, "try", "can", "convert"])
            raise BakeError(f"there is no function {name!r}", hint=hint)
        self._functions[name] = self._defined(self.functions[name])
        return self._functions[name]

    def _defined(self, block: Block) -> Callable[[list[Value]], Value]:
        said = _checked_items(block, _FUNCTION)
        for needed in ("params", "result"):
            if needed not in said:
                raise BakeError(f"function {block.labels[0]} has no {needed}", block.place)
        params = said["params"]
        names = [_word(one) for one in (params.items if isinstance(params, Tuple) else (params,))]
        rest = _word(said["variadic_params"]) if "variadic_params" in said else ""
        with _Once(self._busy, ("function", block.labels[0]), "a function cannot call itself"):
            for name in called(said["result"]):
                if name not in LAZY:
                    self.function(name)

        def call(given: list[Value]) -> Value:
            if len(given) < len(names) or (len(given) > len(names) and not rest):
                raise BakeError(f"takes {len(names)} arguments, not {len(given)}")
            local = dict(zip(names, given, strict=False))
            if rest:
                local[rest] = given[len(names) :]
            return said["result"].value(Local(self, local))

        return call

    # --- blocks ---

    def instances(self, block: Block) -> list[tuple[str, Scope]]:
        """The targets that a block makes: one, or one for each cell of its matrix."""
        if id(block) not in self._instances:
            with _Once(self._busy, id(block), f"the matrix of {block.labels[0]} needs itself"):
                self._instances[id(block)] = self._instantiated(block)
        return self._instances[id(block)]

    def _instantiated(self, block: Block) -> list[tuple[str, Scope]]:
        said = {item.name: item.value for item in block.body.items}
        if "matrix" not in said:
            if "name" in said:
                raise BakeError("a name is only for a matrix", said["name"].place)
            return [(block.labels[0], self)]
        matrix = values.mapping(said["matrix"].value(self))
        axes = [values.elements(axis) for axis in matrix.values()]
        count = 1
        for axis in axes:
            count *= len(axis)
        if count > _MOST_TARGETS:
            raise BakeError(f"the matrix makes {count} targets", said["matrix"].place)
        found: list[tuple[str, Scope]] = []
        for cell in product(*axes):
            scope: Scope = Local(self, dict(zip(matrix, cell, strict=True)))
            name = values.text(said["name"].value(scope)) if "name" in said else block.labels[0]
            found.append((_checked(name, block.place), scope))
        if len({name for name, _ in found}) < len(found):
            raise BakeError(
                f"the matrix of {block.labels[0]} gives two targets one name",
                block.place,
                hint='give each a name: name = "app-${version}"',
            )
        return found

    def fields(self, block: Block, scope: Scope) -> Target:
        """What a target's block says, evaluated."""
        found = {}
        for item in block.body.items:
            if item.name in ATTRIBUTES:
                value = self.field(block, scope, item.name)
                if value is not None:
                    found[item.name] = value
            elif item.name not in ("name", "matrix"):
                message = f"a target has no {item.name!r}: it is passed over"
                self._warn(message, item.place, item.name, ATTRIBUTES)
        return found

    def _warn(self, message: str, place: Place, name: str, known: Iterable[str]) -> None:
        """Docker passes over what it does not know; whoever mistyped it wants to hear."""
        hint = nearest.hint(name, known)
        text = f"{place}: {message}" + (f"; {hint}" if hint else "")
        if text not in self.warnings:
            self.warnings.append(text)

    def field(self, block: Block, scope: Scope, name: str) -> Value:
        """One attribute of a target; None when the block does not say it."""
        cell = self._fields.setdefault((id(block), id(scope)), {})
        if name not in cell:
            node = next((item.value for item in block.body.items if item.name == name), None)
            busy = (id(block), id(scope), name)
            with _Once(self._busy, busy, f"{block.labels[0]}.{name} needs itself"):
                try:
                    cell[name] = attributes.decoded(name, node.value(scope)) if node else None
                except BakeError as error:
                    place = error.place or (node.place if node else None)
                    raise BakeError(error.plain, place, hint=error.hint) from None
        return cell[name]

    def group(self, block: Block) -> Group:
        """What a group's block says."""
        said = _checked_items(block, _GROUP)
        if "targets" not in said:
            raise BakeError(f"group {block.labels[0]} has no targets", block.place)
        targets = values.elements(said["targets"].value(self))
        text = values.text(said["description"].value(self)) if "description" in said else ""
        return Group(tuple(dict.fromkeys(map(values.text, targets))), text)

    def named(self, kind: str, name: str) -> tuple[Block, Scope] | None:
        """The last block that makes the target, or group, of this name."""
        if self._plain is None:
            self._plain = {}
            for block in self.blocks:
                if any(item.name == "matrix" for item in block.body.items):
                    self._matrices.append(block)
                else:
                    self._plain[block.type, block.labels[0]] = block
        if (kind, name) in self._plain:
            return self._plain[kind, name], self
        for block in reversed(self._matrices if kind == "target" else []):
            for made, scope in self.instances(block):
                if made == name:
                    return block, scope
        return None

    def renamed(self) -> dict[str, list[str]]:
        """Labels of blocks whose targets are called otherwise → those."""
        found: dict[str, list[str]] = {}
        for block in self.blocks:
            if block.type == "target":
                names = [name for name, _ in self.instances(block)]
                found.setdefault(block.labels[0], []).extend(names)
        unique = {label: list(dict.fromkeys(names)) for label, names in found.items()}
        return {label: names for label, names in unique.items() if names != [label]}

    # --- variables ---

    def validate(self, name: str) -> None:
        """Check a variable against its `validation` blocks."""
        for block in self.variables[name].block.body.blocks:
            said = _checked_items(block, ("condition", "error_message"))
            if "condition" not in said:
                raise BakeError("a validation has a condition", block.place)
            if not values.boolean(said["condition"].value(self)):
                message = said.get("error_message") or Literal(
                    block.place, "the value is not valid"
                )
                raise BakeError(f"variable {name}: {values.text(message.value(self))}", block.place)

    def listed(self, name: str) -> Variable:
        """A variable for --list."""
        variable, value = self.variables[name], self.variable(name)
        shown: str | None = None
        if isinstance(value, list | dict):
            from rootless.bake.hcl.functions.codes import json_encoded

            shown = json_encoded(value)
        elif value is not None:
            shown = values.text(value)
        return Variable(name, str(variable.type or ""), shown, variable.description)


def _word(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Literal) and isinstance(node.held, str):  # in JSON
        return node.held
    raise BakeError("a parameter is a name", node.place)


def _from_text(kind: types.Type, text: str) -> Value:
    """A list of simple values as CSV, a map as CSV of key:value; the rest needs JSON."""
    if kind.word == "map" and kind.of[0].is_simple:
        pairs = [one.split(":", 1) for one in entries.fields(text)]
        if all(len(pair) == 2 for pair in pairs):
            return kind.convert(dict(pairs))
        raise BakeError(f"{text[:60]!r} is no list of key:value")
    if kind.word in ("list", "set", "tuple") and all(one.is_simple for one in kind.of):
        return kind.convert(entries.fields(text))
    raise BakeError(f"a {kind} is taken from the variable with _JSON at its end")


class _Once:
    """Inside, a thing is being computed; whoever wants it then wants it for itself."""

    def __init__(self, busy: set[object], key: object, message: str) -> None:
        self._busy = busy
        self._key = key
        if key in busy:
            raise BakeError(message)

    def __enter__(self) -> None:
        self._busy.add(self._key)

    def __exit__(self, *_: object) -> None:
        self._busy.discard(self._key)


class _Blocks(dict[str, "Value"]):
    """`target` in an expression: targets by name, evaluated when they are asked for."""

    def __init__(self, files: _Files, kind: str) -> None:
        super().__init__()
        self._files = files
        self._kind = kind

    def __contains__(self, name: object) -> bool:
        return self._files.named(self._kind, str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        return iter([block.labels[0] for block in self._files.blocks if block.type == self._kind])

    def __getitem__(self, name: str) -> Value:
        found = self._files.named(self._kind, name)
        if found is None:
            raise BakeError(f"there is no {self._kind} {name!r}")
        if self._kind == "group":
            group = self._files.group(found[0])
            return {"targets": list(group.targets), "description": group.description}
        return _Fields(self._files, name, *found)


class _Fields(dict[str, "Value"]):
    """`target.NAME` in an expression: its attributes, evaluated when they are asked for."""

    def __init__(self, files: _Files, name: str, block: Block, scope: Scope) -> None:
        super().__init__(dict.fromkeys(ATTRIBUTES), name=name)
        self._files = files
        self._block = block
        self._scope = scope

    def __getitem__(self, name: str) -> Value:
        if name not in ATTRIBUTES:
            return super().__getitem__(name)
        return self._files.field(self._block, self._scope, name)
