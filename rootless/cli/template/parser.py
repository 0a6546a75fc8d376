"""Tokens → nodes, by the rules of Go's text/template/parse and in its words for what is wrong.

Pure. Nesting is bounded, so that no template can exhaust the stack.
"""

from __future__ import annotations

from rootless.cli.template import lexer, literals
from rootless.cli.template.nodes import (
    Action,
    Break,
    Call,
    Chain,
    Command,
    Continue,
    Dot,
    Field,
    Identifier,
    If,
    Literal,
    Nil,
    Node,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from rootless.cli.template.lexer import Token

    Nodes = tuple[Node, ...]

DEEPEST = 50
_CONTROLS = {"if": If, "with": With, "range": Range}
_TERMS = frozenset(
    ("bool", "character", "dot", "field", "identifier", "number", "nil", "string", "variable", "(")
)
_INT64, _UINT64 = 1 << 63, 1 << 64


class ParseError(Exception):
    """What is wrong, with the template's name and line."""


def parse(text: str, name: str, functions: Container[str]) -> dict[str, Nodes]:
    """The template and those it defines, by their names. ParseError."""
    return _Parser(text, name, functions).parse()


class _Parser:
    def __init__(self, text: str, name: str, functions: Container[str]) -> None:
        self.name = name
        self.functions = functions
        self.templates: dict[str, Nodes] = {}
        self.variables = ["$"]
        self.lexer = lexer.tokens(text)
        self.read: list[Token] = []
        self.at = 0
        self.action_line = 0
        self.depth = 0
        self.ranges = 0

    def parse(self) -> dict[str, Nodes]:
        made: list[Node] = []
        while self.peek().kind != "eof":
            start = self.at
            if self.next().kind == "{{" and self.next_word().kind == "define":
                self._definition()
                continue
            self.at = start
            node = self._text_or_action()
            if isinstance(node, str):
                raise self.bad(f"unexpected {{{{{node}}}}}")
            made.append(node)
        self._add(self.name, tuple(made))
        return self.templates

    # tokens

    def next(self) -> Token:
        if self.at == len(self.read):
            self.read.append(next(self.lexer, None) or self.read[-1])
        self.at += 1
        return self.read[self.at - 1]

    def peek(self) -> Token:
        token = self.next()
        self.at -= 1
        return token

    def next_word(self) -> Token:
        """The next that is not a space."""
        while (token := self.next()).kind == "space":
            pass
        return token

    def peek_word(self) -> Token:
        token = self.next_word()
        self.at -= 1
        return token

    def expect(self, kind: str, where: str) -> Token:
        token = self.next_word()
        if token.kind != kind:
            raise self.unexpected(token, where)
        return token

    # what is wrong

    def bad(self, message: str) -> ParseError:
        return ParseError(f"template: {self.name}:{self.read[-1].line}: {message}")

    def unexpected(self, token: Token, where: str) -> ParseError:
        if token.kind != "error":
            return self.bad(f"unexpected {token} in {where}")
        extra = ""
        if self.action_line not in (0, token.line):
            extra = f" in action started at {self.name}:{self.action_line}"
            if token.text.endswith(" action"):
                extra = extra.removeprefix(" in action")
        return self.bad(f"{token}{extra}")

    def deeper(self) -> None:
        """Count one more level of nesting."""
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.bad("max expression depth exceeded")

    # templates and lists

    def _add(self, name: str, nodes: Nodes) -> None:
        if name not in self.templates or _is_empty(self.templates[name]):
            self.templates[name] = nodes
        elif not _is_empty(nodes):
            raise self.bad(
                f"template: multiple definition of template {literals.quote(name)}",
            )

    def _definition(self) -> None:
        name = self._template_name(self.next_word(), "define clause")
        self.expect("}}", "define clause")
        self._define(name, "define clause")

    def _define(self, name: str, where: str) -> None:
        """The body of a define or block: it sees no variables, and no range around it."""
        outside, self.variables = self.variables, ["$"]
        ranges, self.ranges = self.ranges, 0
        self.deeper()
        nodes, end = self._list()
        if end != "end":
            raise self.bad(f"unexpected {{{{{end}}}}} in {where}")
        self.depth -= 1
        self.variables, self.ranges = outside, ranges
        self._add(name, nodes)

    def _template_name(self, token: Token, where: str) -> str:
        if token.kind != "string":
            raise self.unexpected(token, where)
        return self._unquote(token)

    def _unquote(self, token: Token) -> str:
        try:
            return literals.unquote(token.text)
        except ValueError as error:
            raise self.bad(str(error)) from None

    def _list(self) -> tuple[Nodes, str]:
        """Everything up to the end or else of it, and which of them that is."""
        nodes: list[Node] = []
        while self.peek_word().kind != "eof":
            node = self._text_or_action()
            if isinstance(node, str):
                return tuple(nodes), node
            nodes.append(node)
        raise self.bad("unexpected EOF")

    def _text_or_action(self) -> Node | str:
        token = self.next_word()
        if token.kind == "text":
            return Text(token.position, token.text)
        if token.kind != "{{":
            raise self.unexpected(token, "input")
        self.action_line = token.line
        node = self._action()
        self.action_line = 0
        return node

    def _action(self) -> Node | str:
        token = self.next_word()
        if token.kind in _CONTROLS:
            return self._control(token.kind)
        if token.kind in ("break", "continue"):
            return self._jump(token)
        if token.kind in ("block", "template"):
            return self._call(token.kind)
        if token.kind == "end":
            self.expect("}}", "end")
            return "end"
        if token.kind == "else":
            if self.peek_word().kind not in ("if", "with"):
                self.expect("}}", "else")
            return "else"
        self.at -= 1
        return Action(token.position, self._pipeline("command", "}}"))

    def _jump(self, token: Token) -> Node:
        end = self.next_word()
        if end.kind != "}}":
            raise self.unexpected(end, f"{{{{{token.kind}}}}}")
        if not self.ranges:
            raise self.bad(f"{{{{{token.kind}}}}} outside {{{{range}}}}")
        return Break(token.position) if token.kind == "break" else Continue(token.position)

    def _call(self, kind: str) -> Node:
        where = f"{kind} clause"
        token = self.next_word()
        name = self._template_name(token, where)
        if kind == "template" and self.peek_word().kind == "}}":
            self.next_word()
            return Call(token.position, name, token.text, None)
        pipeline = self._pipeline(where, "}}")
        if kind == "block":
            self._define(name, where)
        return Call(token.position, name, token.text, pipeline)

    def _control(self, kind: str) -> Node:
        self.deeper()
        mark = len(self.variables)
        pipeline = self._pipeline(kind, "}}")
        self.ranges += kind == "range"
        body, end = self._list()
        self.ranges -= kind == "range"
        otherwise: Nodes = ()
        if end == "else":
            otherwise = self._else(kind)
        del self.variables[mark:]
        self.depth -= 1
        return _CONTROLS[kind](pipeline.position, pipeline, body, otherwise)

    def _else(self, kind: str) -> Nodes:
        """What follows an else; an `else if` shares the end of the if that it belongs to."""
        if kind in ("if", "with") and self.peek_word().kind == kind:
            self.next_word()
            return (self._control(kind),)
        otherwise, end = self._list()
        if end != "end":
            raise self.bad(f"expected end; found {{{{{end}}}}}")
        return otherwise

    # pipelines

    def _pipeline(self, where: str, end: str) -> Pipeline:
        position = self.peek_word().position
        variables, assigns = self._declarations(where)
        commands = []
        while (token := self.next_word()).kind != end:
            if token.kind not in _TERMS:
                raise self.unexpected(token, where)
            self.at -= 1
            commands.append(self._command())
        if not commands:
            raise self.bad(f"missing value for {where}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.words[0], Literal | Nil | Dot):
                raise self.bad(f"non executable command in pipeline stage {stage}")
        return Pipeline(position, variables, assigns, tuple(commands))

    def _declarations(self, where: str) -> tuple[tuple[Variable, ...], bool]:
        """The variables before := or =, if any, and whether it is the latter."""
        found: list[Variable] = []
        while self.peek_word().kind == "variable":
            start = self.at
            token = self.next_word()
            mark = self.next_word()
            if mark.kind in ("assign", "declare"):
                self._declare(token, found)
                return tuple(found), mark.kind == "assign"
            if mark.kind != "char" or mark.text != ",":
                self.at = start
                break
            self._declare(token, found)
            if where != "range" or len(found) > 1:
                raise self.bad(f"too many declarations in {where}")
            if self.peek_word().kind not in ("variable", "}}", ")"):
                raise self.bad("range can only initialize variables")
        return tuple(found), False

    def _declare(self, token: Token, found: list[Variable]) -> None:
        found.append(Variable(token.position, token.text))
        self.variables.append(token.text)

    def _command(self) -> Command:
        position = self.peek_word().position
        words = []
        while True:
            self.peek_word()
            operand = self._operand()
            if operand:
                words.append(operand)
            token = self.next()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self.at -= 1
            elif token.kind != "pipe":
                raise self.unexpected(token, "operand")
            break
        if not words:
            raise self.bad("empty command")
        return Command(position, tuple(words))

    def _operand(self) -> Node | None:
        """A term with the fields that follow it."""
        node = self._term()
        if node is None or self.peek().kind != "field":
            return node
        position = self.peek().position
        names = []
        while self.peek().kind == "field":
            names.append(self.next().text[1:])
        if isinstance(node, Field):
            return Field(position, (*node.names, *names))
        if isinstance(node, Variable):
            return Variable(position, node.name, (*node.names, *names))
        if isinstance(node, Literal | Nil | Dot):
            raise self.bad(f"unexpected . after term {literals.quote(str(node))}")
        return Chain(position, node, tuple(names))

    def _term(self) -> Node | None:
        token = self.next_word()
        if token.kind == "(":
            self.deeper()
            pipeline = self._pipeline("parenthesized pipeline", ")")
            self.depth -= 1
            return pipeline
        if token.kind in _TERMS:
            return self._word(token)
        self.at -= 1
        return None

    def _word(self, token: Token) -> Node:
        at, text = token.position, token.text
        match token.kind:
            case "identifier":
                if text not in self.functions:
                    raise self.bad(f"function {literals.quote(text)} not defined")
                return Identifier(at, text)
            case "variable":
                if text not in self.variables:
                    raise self.bad(f"undefined variable {literals.quote(text)}")
                return Variable(at, text)
            case "dot":
                return Dot(at)
            case "nil":
                return Nil(at)
            case "field":
                return Field(at, (text[1:],))
            case "bool":
                return Literal(at, text == "true", text)
            case "string":
                return Literal(at, self._unquote(token), text)
            case _:
                return Literal(at, self._number(token), text)

    def _number(self, token: Token) -> int | float:
        try:
            return _number(token)
        except ValueError as error:
            raise self.bad(str(error)) from None


def _number(token: Token) -> int | float:
    """ValueError in Go's words."""
    text = token.text
    if token.kind == "character":
        return literals.character(text)
    digits = text.lstrip("+-")
    try:
        value = int(digits, 8 if _is_octal(digits) else 0)
    except ValueError:
        return _float(text)
    value = -value if text.startswith("-") else value
    if not -_INT64 <= value < _UINT64:
        raise ValueError(f"integer overflow: {literals.quote(text)}")
    return value


def _is_octal(digits: str) -> bool:
    return digits[:1] == "0" and digits[1:2].isdigit()


def _float(text: str) -> float:
    if text[-1:] == "i":
        raise ValueError(f"complex numbers such as {text} are not known here")
    try:
        value = float.fromhex(text) if "x" in text.lower() else float(text)
    except (ValueError, OverflowError):
        value = float("inf")
    if value in (float("inf"), -float("inf")):
        raise ValueError(f"illegal number syntax: {literals.quote(text)}")
    if not set(text) & set(".eEpP"):  # as Go says of 089, which is no octal number
        raise ValueError(f"integer overflow: {literals.quote(text)}")
    return value


def _is_empty(nodes: Nodes) -> bool:
    return all(isinstance(node, Text) and not node.text.strip() for node in nodes)
