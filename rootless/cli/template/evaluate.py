"""Walks a template over a value, by the rules of Go's text/template.

Pure. Steps, depth and output are bounded: a template ends, with an error where it must.
"""

from __future__ import annotations

from rootless.cli.template import functions as known
from rootless.cli.template import literals, printing
from rootless.cli.template.nodes import (
    Action,
    Break,
    Call,
    Chain,
    Dot,
    Field,
    Identifier,
    If,
    Literal,
    Nil,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
)
from rootless.cli.template.values import MISSING, Missing, Row, Struct, is_true, type_name
from rootless.cli.template.values import Nil as NilPointer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rootless.cli.template.functions import Function
    from rootless.cli.template.nodes import Node
    from rootless.cli.template.parser import Nodes

_DEEPEST = 50  # templates within templates
_MOST_STEPS = 1_000_000
_INT64 = 1 << 63


class ExecuteError(Exception):
    """What went wrong, where; `fields` are those there are, if one was asked for that is none."""

    def __init__(self, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class _Absent:
    """Nothing is piped into a command."""


_ABSENT = _Absent()


class _BreakError(Exception):
    """{{break}} was met."""


class _ContinueError(Exception):
    """{{continue}} was met."""


class Evaluation:
    """One walk. `strict` makes a key that a map does not have an error."""

    def __init__(
        self,
        text: str,
        name: str,
        templates: Mapping[str, Nodes],
        functions: Mapping[str, Function],
        *,
        strict: bool,
    ) -> None:
        self.text = text
        self.name = self.running = name
        self.templates = templates
        self.functions = functions
        self.strict = strict
        self.made: list[str] = []
        self.size = 0
        self.steps = 0
        self.depth = 0
        self.variables: list[list[Any]] = []
        self.node: Node = Dot(0)

    def execute(self, value: object) -> str:
        """What the template makes of `value`. ExecuteError; `made` is then what came before."""
        self.variables = [["$", value]]
        try:
            self._walk(value, self.templates[self.name])
        except RecursionError:
            raise self.bad("the template is nested too deeply") from None
        except printing.TooLongError:
            raise self.bad(f"the template makes more than {printing.MOST >> 20} MiB") from None
        return "".join(self.made)

    def bad(self, message: str, fields: tuple[str, ...] = ()) -> ExecuteError:
        """An error at the node that is looked at."""
        before = self.text[: self.node.position]
        line_start = before.rfind("\n") + 1
        column = len(before[line_start:].encode("utf-8", "surrogateescape"))
        where = f"{self.name}:{before.count(chr(10)) + 1}:{column}"
        return ExecuteError(
            f"template: {where}: executing {literals.quote(self.running)} at <{self.node}>: "
            f"{message}",
            fields,
        )

    def _write(self, text: str) -> None:
        self.size += len(text)
        if self.size > printing.MOST:
            raise printing.TooLongError
        self.made.append(text)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise self.bad(f"the template takes more than {_MOST_STEPS} steps")

    def _walk(self, dot: Any, nodes: Nodes) -> None:
        for node in nodes:
            self._step()
            if isinstance(node, Text):
                self._write(node.text)
                continue
            self.node = node
            if isinstance(node, Action):
                value = self._pipeline(dot, node.pipeline)
                if not node.pipeline.variables:
                    self._write(_printed(value))
            elif isinstance(node, If | With):
                self._choose(dot, node)
            elif isinstance(node, Range):
                self._range(dot, node)
            elif isinstance(node, Call):
                self._template(dot, node)
            else:
                raise _BreakError if isinstance(node, Break) else _ContinueError

    def _choose(self, dot: Any, node: If | With) -> None:
        mark = len(self.variables)
        try:
            value = self._pipeline(dot, node.pipeline)
            if is_true(value):
                self._walk(value if isinstance(node, With) else dot, node.body)
            else:
                self._walk(dot, node.otherwise)
        finally:
            del self.variables[mark:]

    def _range(self, dot: Any, node: Range) -> None:
        mark = len(self.variables)
        try:
            value = self._pipeline(dot, node.pipeline)
            inside = len(self.variables)
            empty = True
            for key, item in self._items(node, value):
                empty = False
                self._step()
                self._bind(node.pipeline, key, item)
                try:
                    self._walk(item, node.body)
                except _ContinueError:
                    pass
                finally:
                    del self.variables[inside:]
            if empty:
                self._walk(dot, node.otherwise)
        except _BreakError:
            pass
        finally:
            del self.variables[mark:]

    def _items(self, node: Range, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, list):
            yield from enumerate(value)
        elif isinstance(value, dict):
            for key in sorted(value):
                yield key, value[key]
        elif isinstance(value, int) and not isinstance(value, bool):
            if len(node.pipeline.variables) > 1:
                raise self.bad(f"can't use {value} to iterate over more than one variable")
            yield from ((number, number) for number in range(value))
        elif not isinstance(value, Missing):
            raise self.bad(f"range can't iterate over {printing.text_of(value)}")

    def _bind(self, pipeline: Pipeline, key: Any, item: Any) -> None:
        """Give the variables of a range what this turn is about: of two, the first is the key."""
        values = (key, item) if len(pipeline.variables) > 1 else (item,)
        for place, (variable, value) in enumerate(zip(pipeline.variables, values, strict=False)):
            if pipeline.assigns:
                self._assign(variable.name, value)
            else:
                self.variables[place - len(values)][1] = value

    def _template(self, dot: Any, node: Call) -> None:
        if node.name not in self.templates:
            raise self.bad(f"template {literals.quote(node.name)} not defined")
        if self.depth == _DEEPEST:
            raise self.bad(f"exceeded maximum template depth ({_DEEPEST})")
        value = MISSING if node.pipeline is None else self._pipeline(dot, node.pipeline)
        outside, self.variables = self.variables, [["$", value]]
        caller, self.running = self.running, node.name
        self.depth += 1
        try:
            self._walk(value, self.templates[node.name])
        except (_BreakError, _ContinueError):  # a define inside a range is not in it
            raise self.bad("break and continue end no range here") from None
        self.depth -= 1
        self.variables, self.running = outside, caller

    # pipelines

    def _pipeline(self, dot: Any, pipeline: Pipeline) -> Any:
        self.node = pipeline
        value: Any = _ABSENT
        for command in pipeline.commands:
            value = self._command(dot, command, command.words, value)
            if value is None:
                value = MISSING
        for variable in pipeline.variables:
            if pipeline.assigns:
                self._assign(variable.name, value)
            else:
                self.variables.append([variable.name, value])
        return value

    def _assign(self, name: str, value: Any) -> None:
        for pair in reversed(self.variables):
            if pair[0] == name:
                pair[1] = value
                return
        raise self.bad(f"undefined variable: {name}")

    def _command(self, dot: Any, node: Node, words: Sequence[Node], piped: Any) -> Any:
        first, self.node = words[0], words[0]
        if isinstance(first, Identifier):
            return self._function(dot, node, first.name, words[1:], piped)
        if isinstance(first, Field | Variable | Chain) and first.names:
            return self._fields(dot, first, words, piped)
        if len(words) > 1 or piped is not _ABSENT:
            raise self.bad(f"can't give argument to non-function {first}")
        if isinstance(first, Nil):
            raise self.bad("nil is not a command")
        return self._value(dot, first)

    def _value(self, dot: Any, node: Node) -> Any:
        """What a word stands for by itself."""
        self.node = node
        if isinstance(node, Dot):
            return dot
        if isinstance(node, Literal):
            if type(node.value) is int and node.value >= _INT64:
                raise self.bad(f"{node} overflows int")
            return node.value
        if isinstance(node, Pipeline):
            return self._pipeline(dot, node)
        if isinstance(node, Variable) and not node.names:
            return self._variable(node.name)
        if isinstance(node, Identifier):
            return self._function(dot, node, node.name, (), _ABSENT)
        return self._fields(dot, node, (node,), _ABSENT)

    def _variable(self, name: str) -> Any:
        for known_name, value in reversed(self.variables):
            if known_name == name:
                return value
        raise self.bad(f"undefined variable: {name}")

    # fields

    def _fields(self, dot: Any, node: Any, words: Sequence[Node], piped: Any) -> Any:
        """.A.B of the dot, a variable or a pipeline; the last may be a method with arguments."""
        value = dot
        if isinstance(node, Variable):
            value = self._variable(node.name)
        elif isinstance(node, Chain):
            if isinstance(node.base, Nil):
                raise self.bad(f"indirection through explicit nil in {node}")
            value = self._value(dot, node.base)
        self.node = node
        *through, last = node.names
        for name in through:
            value = self._field(value, name)
        if isinstance(value, Struct) and last in value.methods:
            arguments = self._arguments(dot, last, _METHOD, words[1:], piped)
            return value.methods[last](*arguments)
        if len(words) > 1 or piped is not _ABSENT:
            raise self._has_arguments(value, last, len(words) - (piped is _ABSENT))
        return self._field(value, last)

    def _has_arguments(self, value: Any, name: str, count: int) -> ExecuteError:
        if isinstance(value, Row) and name in value.fields:
            return self.bad(f"wrong number of args for {name}: want 0 got {count}")
        if isinstance(value, Struct) and name in value.fields:
            return self.bad(f"{name} has arguments but cannot be invoked as function")
        if isinstance(value, dict):
            return self.bad(f"{name} is not a method but has arguments")
        self._field(value, name)
        return self.bad(f"can't give argument to non-function {name}")

    def _field(self, value: Any, name: str) -> Any:
        if isinstance(value, Missing):
            if self.strict:
                raise self.bad(f"nil data; no entry for key {literals.quote(name)}")
            return MISSING
        if isinstance(value, dict):
            if name in value:
                return value[name]
            if self.strict:
                key = literals.quote(name)
                raise self.bad(f"map has no entry for key {key}", tuple(map(str, value)))
            return MISSING
        if isinstance(value, Struct) and name in value.fields:
            return value.get(name)
        if value is None or (isinstance(value, NilPointer) and name in value.fields):
            raise self.bad(f"nil pointer evaluating {type_name(value)}.{name}")
        fields = tuple(value.fields) if isinstance(value, Struct) else ()
        raise self.bad(f"can't evaluate field {name} in type {type_name(value)}", fields)

    # calls

    def _function(self, dot: Any, node: Node, name: str, words: Sequence[Node], piped: Any) -> Any:
        function = self.functions[name]
        if name in ("and", "or"):
            self._check_count(name, function, words, piped)
            return self._and_or(dot, name, words, piped)
        arguments = self._arguments(dot, name, function, words, piped)
        try:
            return function.call(*arguments)
        except known.CallError as error:
            self.node = node
            raise self.bad(f"error calling {name}: {error}") from None

    def _and_or(self, dot: Any, name: str, words: Sequence[Node], piped: Any) -> Any:
        """The first argument that settles it, or the last; those after it are not looked at."""
        value: Any = MISSING
        for word in words:
            value = self._argument(dot, "value", word)
            if is_true(value) == (name == "or"):
                return value
        return value if piped is _ABSENT else piped

    def _check_count(
        self, name: str, function: Function, words: Sequence[Node], piped: Any
    ) -> None:
        given, fixed = len(words) + (piped is not _ABSENT), len(function.fixed)
        if function.rest and given < fixed:
            raise self.bad(
                f"wrong number of args for {name}: want at least {fixed} got {len(words)}"
            )
        if not function.rest and given != fixed:
            raise self.bad(f"wrong number of args for {name}: want {fixed} got {given}")

    def _arguments(
        self, dot: Any, name: str, function: Function, words: Sequence[Node], piped: Any
    ) -> list[Any]:
        self._check_count(name, function, words, piped)
        types = [*function.fixed, *[function.rest] * len(words), function.rest]
        given = [
            self._argument(dot, wanted, word) for wanted, word in zip(types, words, strict=False)
        ]
        if piped is not _ABSENT:
            given.append(self._checked(piped, types[len(given)]))
        return given

    def _argument(self, dot: Any, wanted: str, node: Node) -> Any:
        self.node = node
        if isinstance(node, Nil):
            if wanted in ("string", "int"):
                raise self.bad(f"cannot assign nil to {wanted}")
            return MISSING if wanted == "value" else None
        if isinstance(node, Literal) and wanted in ("string", "int"):
            return self._constant(node, wanted)
        return self._checked(self._value(dot, node), wanted)

    def _constant(self, node: Literal, wanted: str) -> Any:
        value = node.value
        if wanted == "string" and isinstance(value, str):
            return value
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if wanted == "int" and is_number and value == int(value) and abs(value) < _INT64:
            return int(value)
        name = "integer" if wanted == "int" else wanted
        raise self.bad(f"expected {name}; found {node}")

    def _checked(self, value: Any, wanted: str) -> Any:
        """A value for a parameter of a type; nothing at all is nil to one of any type."""
        if wanted == "value":
            return value
        if wanted == "any":
            return None if isinstance(value, Missing) else value
        if isinstance(value, Missing):
            raise self.bad(f"invalid value; expected {wanted}")
        if type_name(value) != wanted:
            raise self.bad(f"wrong type for value; expected {wanted}; got {type_name(value)}")
        return value


_METHOD = known.Function(str, ("string",))


def _printed(value: Any) -> str:
    return "<no value>" if isinstance(value, Missing) else printing.text_of(value)
