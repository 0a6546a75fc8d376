"""HCL's native syntax: text → Body. Pure; no recursion deeper than brackets are nested.

hashicorp/hcl, hclsyntax/spec.md. A line's end ends an argument, except inside brackets.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from rootless.bake.errors import BakeError, Place
from rootless.bake.hcl.nodes import (
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Conditional,
    For,
    ForObject,
    Index,
    Item,
    Literal,
    Node,
    Object,
    Parenthesized,
    Splat,
    Tuple,
    Unary,
    Variable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.bake.hcl.values import Number

_LEVELS = (("||",), ("&&",), ("==", "!="), ("<=", ">=", "<", ">"), ("+", "-"), ("*", "/", "%"))
_NAME = re.compile(r"[^\W\d][\w-]*")
_DIGITS = re.compile("[0-9]*")
_SPACES = re.compile("[ \t\r]*")
_BLANKS = re.compile("[ \t\r\n]*")
_WORDS = {"true": True, "false": False, "null": None}
_DEEPEST = 100  # brackets in brackets


def parse(text: str, name: str) -> Body:
    """The body of a file called `name` in errors."""
    parser = Parser(text.removeprefix("\ufeff"), name)
    body = parser.body()
    if not parser.ended:
        raise parser.error("a } without a {")
    return body


class Parser:
    """A place in a text, and what can be read there."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.at = 0
        self.end = len(text)
        self._lines = [0]  # where each begins
        while found := text.find("\n", self._lines[-1]) + 1:
            self._lines.append(found)
        self._open = 0  # brackets in which a line's end is a space
        self._depth = 0

    # --- letters ---

    @property
    def ended(self) -> bool:
        """Whether the text is read to its end."""
        return self.at >= self.end

    def peek(self, count: int = 1) -> str:
        """The next letters, fewer at the end."""
        return self.text[self.at : min(self.at + count, self.end)]

    def place(self, at: int | None = None) -> Place:
        """Where a letter is; the next one when not given."""
        at = self.at if at is None else at
        line = bisect_right(self._lines, at)
        return Place(self.name, line, at - self._lines[line - 1] + 1)

    def error(self, message: str, at: int | None = None) -> BakeError:
        """What is wrong at the next letter, or at `at`."""
        return BakeError(message, self.place(at))

    def skip(self, *, lines: bool = False) -> None:
        """Go over spaces and comments, and line ends where they mean nothing."""
        spaces = _BLANKS if lines or self._open > 0 else _SPACES
        while True:
            self.at = self._after(spaces)
            letter = self.peek()
            if letter == "#" or (letter == "/" and self.peek(2) == "//"):
                found = self.text.find("\n", self.at, self.end)
                self.at = self.end if found < 0 else found
            elif letter == "/" and self.peek(2) == "/*":
                found = self.text.find("*/", self.at + 2, self.end)
                if found < 0:
                    raise self.error("a comment without its end")
                self.at = found + 2
            else:
                return

    def take(self, word: str) -> bool:
        """Go over `word` if it comes next."""
        self.skip()
        if self.text.startswith(word, self.at, self.end):
            self.at += len(word)
            return True
        return False

    def need(self, word: str) -> None:
        """Go over `word`, which must come next."""
        if not self.take(word):
            raise self.error(f"expected {word!r}, found {self._next()}")

    def _next(self) -> str:
        if self.ended:
            return "the end of the file"
        return "the end of the line" if self.peek() == "\n" else repr(self.peek())

    def word(self) -> str:
        """The name that comes next; empty for none."""
        self.skip()
        start, self.at = self.at, self._after(_NAME)
        return self.text[start : self.at]

    def _after(self, pattern: re.Pattern[str]) -> int:
        """Where what matches here ends; here when nothing does."""
        found = pattern.match(self.text, self.at, self.end)
        return found.end() if found else self.at

    def name_needed(self) -> str:
        """The name that must come next."""
        found = self.word()
        if not found:
            raise self.error(f"expected a name, found {self._next()}")
        return found

    def keyword(self, word: str) -> bool:
        """Go over `word` if it is the whole next name."""
        self.skip()
        before = self.at
        if self.word() == word:
            return True
        self.at = before
        return False

    # --- bodies ---

    def body(self) -> Body:
        """Arguments and blocks up to a } or the end."""
        items: list[Item] = []
        blocks: list[Block] = []
        while True:
            self.skip(lines=True)
            if self.ended or self.peek() == "}":
                return Body(tuple(items), tuple(blocks))
            self._definition(items, blocks)
            self._line_end()

    def _definition(self, items: list[Item], blocks: list[Block]) -> None:
        start = self.at
        name = self.name_needed()
        self.skip()
        if self.peek() == "=" and self.peek(2) != "==":
            self.at += 1
            if any(item.name == name for item in items):
                raise self.error(f"{name} is set twice", start)
            items.append(Item(name, self.expression(), self.place(start)))
            return
        labels: list[str] = []
        while not self.take("{"):
            labels.append(self._label())
        blocks.append(Block(name, tuple(labels), self._block_body(), self.place(start)))

    def _label(self) -> str:
        self.skip()
        if self.peek() != '"':
            found = self.word()
            if not found:
                raise self.error(f"expected = or {{, found {self._next()}")
            return found
        at = self.at
        label = self._string()
        if not isinstance(label, Literal):
            raise self.error("a label cannot have ${} in it", at)
        return str(label.held)

    def _block_body(self) -> Body:
        start = self.at - 1
        self._enter()
        self.skip()
        if self.peek() in ("\n", ""):
            body = self.body()
        else:
            items: list[Item] = []
            if self.peek() != "}":
                at = self.at
                name = self.name_needed()
                self.need("=")
                items.append(Item(name, self.expression(), self.place(at)))
            body = Body(tuple(items))
        self._leave()
        if not self.take("}"):
            what = "a block of one line holds one argument" if body.items else "a { without its }"
            raise self.error(what if self.peek() else "a { without its }", start)
        return body

    def _line_end(self) -> None:
        self.skip()
        if not self.ended and self.peek() not in "\n}":
            raise self.error(f"expected the end of the line, found {self._next()}")

    # --- expressions ---

    def open_lines(self) -> None:
        """From here on a line's end is a space."""
        self._enter()
        self._open += 1

    def close_lines(self) -> None:
        """What `open_lines` began ends."""
        self._open -= 1
        self._leave()

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self.error("brackets are nested too deeply")

    def _leave(self) -> None:
        self._depth -= 1

    def bracketed(self, closing: str) -> Node:
        """An expression, on as many lines as it likes, up to `closing`."""
        self.open_lines()
        found = self.expression()
        self.need(closing)
        self.close_lines()
        return found

    def expression(self) -> Node:
        """An expression."""
        self.skip()
        start = self.at
        self._enter()
        found = self._binary(0)
        if self.take("?"):
            yes = self.expression()
            self.need(":")
            found = Conditional(self.place(start), found, yes, self.expression())
        self._leave()
        return found

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        self.skip()
        start = self.at
        left = self._binary(level + 1)
        while sign := self._sign(_LEVELS[level]):
            left = Binary(self.place(start), left, sign, self._binary(level + 1))
        return left

    def _sign(self, signs: tuple[str, ...]) -> str:
        self.skip()
        found = next((sign for sign in signs if self.text.startswith(sign, self.at, self.end)), "")
        self.at += len(found)
        return found

    def _unary(self) -> Node:
        self.skip()
        if self.peek() in ("-", "!"):
            place, sign = self.place(), self.peek()
            self.at += 1
            self._enter()
            of = self._unary()
            self._leave()
            return Unary(place, sign, of)
        return self._traversal(self._term())

    def _term(self) -> Node:
        self.skip()
        place, letter = self.place(), self.peek()
        if letter.isdecimal():
            return Literal(place, self._number())
        if letter == '"':
            return self._string()
        if self.peek(2) == "<<":
            from rootless.bake.hcl import template

            return template.heredoc(self)
        if letter == "(":
            self.at += 1
            return Parenthesized(place, self.bracketed(")"))
        if letter == "[":
            return self._tuple(place)
        if letter == "{":
            return self._object(place)
        return self._named(place)

    def _named(self, place: Place) -> Node:
        name = self.word()
        if not name:
            raise self.error(f"expected an expression, found {self._next()}")
        while self.text.startswith("::", self.at):
            self.at += 2
            name += "::" + self.name_needed()
        if self.peek() == "(":
            self.at += 1
            return self._call(place, name)
        return Literal(place, _WORDS[name]) if name in _WORDS else Variable(place, name)

    def _number(self) -> Number:
        start = self.at
        self._digits()
        if self.peek() == "." and self.text[self.at + 1 : self.at + 2].isdecimal():
            self.at += 1
            self._digits()
        if self.peek() in ("e", "E"):
            before = self.at
            self.at += 2 if self.text[self.at + 1 : self.at + 2] in ("+", "-") else 1
            if self._digits() == 0:
                self.at = before
        from rootless.bake.hcl import values

        return values.number(self.text[start : self.at])

    def _digits(self) -> int:
        start, self.at = self.at, self._after(_DIGITS)
        return self.at - start

    def _string(self) -> Node:
        from rootless.bake.hcl import template

        return template.quoted(self)

    def _call(self, place: Place, name: str) -> Node:
        self._open += 1
        arguments: list[Node] = []
        expands = False
        while not self.take(")"):
            if expands:
                raise self.error("nothing can follow ...")
            arguments.append(self.expression())
            expands = self.take("...")
            if not self.take(",") and not expands and not self._closes(")"):
                raise self.error(f"expected ',' or ')', found {self._next()}")
        self._open -= 1
        return Call(place, name, tuple(arguments), expands)

    def _closes(self, closing: str) -> bool:
        self.skip()
        return self.peek() == closing

    def _tuple(self, place: Place) -> Node:
        self.at += 1
        self._enter()
        self._open += 1
        if self.keyword("for"):
            found: Node = self._for(place, "]")
        else:
            items: list[Node] = []
            while not self.take("]"):
                items.append(self.expression())
                if not self.take(",") and not self._closes("]"):
                    raise self.error(f"expected ',' or ']', found {self._next()}")
            found = Tuple(place, tuple(items))
        self._open -= 1
        self._leave()
        return found

    def _object(self, place: Place) -> Node:
        self.at += 1
        self._enter()
        outer, self._open = self._open, 0
        items: list[tuple[Node, Node]] = []
        if self._is_for():
            self._open = 1
            found: Node = self._for(place, "}")
        else:
            while not self._object_end():
                items.append((self._key(), self.expression()))
                self.skip()
                if not self.take(",") and self.peek() not in ("\n", "}"):
                    raise self.error(f"expected ',', a new line or '}}', found {self._next()}")
            found = Object(place, tuple(items))
        self._open = outer
        self._leave()
        return found

    def _is_for(self) -> bool:
        """Whether `for` and a name come next: `for` alone may be a key."""
        before = self.at
        self.skip(lines=True)
        if self.keyword("for") and self.word():
            self.at = before
            self.skip(lines=True)
            return self.keyword("for")
        self.at = before
        return False

    def _object_end(self) -> bool:
        self.skip(lines=True)
        if self.ended:
            raise self.error("a { without its }")
        return self.take("}")

    def _key(self) -> Node:
        self.skip(lines=True)
        key = self.expression()
        if isinstance(key, Variable):
            key = Literal(key.place, key.name)
        elif isinstance(key, Literal) and key.held in (True, False, None):
            key = Literal(key.place, {True: "true", False: "false", None: "null"}[key.held])
        if not self.take("=") and not self.take(":"):
            raise self.error(f"expected = and a value, found {self._next()}")
        return key

    def _for(self, place: Place, closing: str) -> Node:
        key, name, of = self.for_head()
        self.need(":")
        new = self.expression() if closing == "}" else None
        if new is not None:
            self.need("=>")
        result = self.expression()
        groups = new is not None and self.take("...")
        condition = self.expression() if self.keyword("if") else None
        self.need(closing)
        if new is None:
            return For(place, key, name, of, result, condition)
        return ForObject(place, key, name, of, result, condition, new, groups)

    def for_head(self) -> tuple[str, str, Node]:
        """`key, name in of` or `name in of`, after the word `for`."""
        key, name = "", self.name_needed()
        if self.take(","):
            key, name = name, self.name_needed()
        if not self.keyword("in"):
            raise self.error(f"expected 'in', found {self._next()}")
        return key, name, self.expression()

    # --- what follows a term ---

    def _traversal(self, of: Node) -> Node:
        while True:
            self.skip()
            if self.peek() == "." and self.peek(3) != "...":
                self.at += 1
                of = self._after_dot(of)
            elif self.peek() == "[":
                self.at += 1
                of = self._after_bracket(of)
            else:
                return of

    def _after_dot(self, of: Node) -> Node:
        place = self.place()
        if self.take("*"):
            each: Node = Variable(place, "*")
            while self.peek() == "." and self.peek(2) != ".*":
                self.at += 1
                each = self._member(each)
            return Splat(place, of, each)
        return self._member(of)

    def _member(self, of: Node) -> Node:
        place = self.place()
        if self.peek().isdecimal():
            start = self.at
            self._digits()
            return Index(place, of, Literal(place, int(self.text[start : self.at])))
        return Attribute(place, of, self.name_needed())

    def _after_bracket(self, of: Node) -> Node:
        place = self.place()
        self._open += 1
        star = self.take("*")
        self._open -= 1
        if not star:
            return Index(place, of, self.bracketed("]"))
        self.need("]")
        return Splat(place, of, self._traversal(Variable(place, "*")))
