"""What a template is once it is understood: values that print as they are written. Pure.

`position` is where in the text a complaint about the node points to.
"""

from __future__ import annotations

from rootless.record import Record


class Node(Record):
    """Any part of a template."""

    position: int


class Text(Node):
    """What stands between actions."""

    text: str


class Literal(Node):
    """true, a number or a string: `value`, written as `spelled`; a character is a number."""

    value: bool | int | float | str
    spelled: str

    def __str__(self) -> str:
        return self.spelled


class Nil(Node):
    """nil."""

    def __str__(self) -> str:
        return "nil"


class Dot(Node):
    """The value a template, range or with is about."""

    def __str__(self) -> str:
        return "."


class Field(Node):
    """.A.B, of the dot."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


class Variable(Node):
    """$x.A.B, `name` with its dollar."""

    name: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name + "".join(f".{name}" for name in self.names)


class Identifier(Node):
    """A function's name."""

    name: str

    def __str__(self) -> str:
        return self.name


class Chain(Node):
    """(…).A.B, or the same of a function's name."""

    base: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        return _argument(self.base) + "".join(f".{name}" for name in self.names)


class Command(Node):
    """A function with its arguments, or one value."""

    words: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(map(_argument, self.words))


class Pipeline(Node):
    """Commands, each given what the one before makes; `variables` are declared or assigned."""

    variables: tuple[Variable, ...]
    assigns: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        made = " | ".join(map(str, self.commands))
        if not self.variables:
            return made
        return f"{', '.join(map(str, self.variables))} {'=' if self.assigns else ':='} {made}"


class Action(Node):
    """{{pipeline}}."""

    pipeline: Pipeline


class If(Node):
    """if … else … end."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class With(Node):
    """with … else … end."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Range(Node):
    """range … else … end."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Call(Node):
    """template "name" pipeline, and block where it stands."""

    name: str
    spelled: str
    pipeline: Pipeline | None

    def __str__(self) -> str:
        given = f" {self.pipeline}" if self.pipeline else ""
        return f"{{{{template {self.spelled}{given}}}}}"


class Break(Node):
    """break."""


class Continue(Node):
    """continue."""


def _argument(node: Node) -> str:
    return f"({node})" if isinstance(node, Pipeline) else str(node)
