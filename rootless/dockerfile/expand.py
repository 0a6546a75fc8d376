"""Variables, quotes and escapes in the operands of instructions, as a POSIX shell reads them.

Owns every `$` form of the Dockerfile language, and the patterns of `${v#p}`, `${v%p}`, `${v/p/r}`:
`*` and `?` are all there is in them, and neither stands for a newline.
Pure, and a hand-written scanner: a cached build expands each operand and must not wait for `re`.
Errors are DockerfileErrors without a place; `Dockerfile.locate` adds it.
"""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LENGTH = 1 << 20  # of all values in one operand: `ENV a=$a$a` doubles with every line
MAX_DEPTH = 50  # of `${a:-${b:-…}}`
SPECIAL_PARAMETERS = "@*#?-$!0"  # always unset in a Dockerfile, like $1

Piece = tuple[str, bool]  # text, and whether quotes or an escape protect it


def expand(
    text: str, env: Mapping[str, str], escape: str = "\\", used: set[str] | None = None
) -> str:
    """`text` with variables replaced and quotes removed, as one word.

    The names looked up are added to `used`. DockerfileError for an open quote or brace, a form
    that does not exist, and the `:?` of a variable that is not set.
    """
    if not any(special in text for special in ("$", "'", '"', escape)):
        return text
    return _join(_Scanner(text, env, escape, used).pieces())


def words(
    text: str, env: Mapping[str, str], escape: str = "\\", used: set[str] | None = None
) -> tuple[str, ...]:
    """Like `expand`, then split at blanks that neither quotes nor an escape protect."""
    found, word = [], ""
    for piece, protected in _Scanner(text, env, escape, used).pieces():
        for one in [piece] if protected else piece:
            if not protected and one.isspace():
                found.append(word)
                word = ""
            else:
                word += one
    return tuple(filter(None, [*found, word]))


def expand_body(body: str, env: Mapping[str, str], used: set[str] | None = None) -> str:
    """The body of an unquoted heredoc: variables and backslashes count, quotes are text."""
    return _join(_Scanner(body, env, "\\", used, quotes="").pieces())


def _join(pieces: list[Piece]) -> str:
    return "".join(piece for piece, _ in pieces)


class _Scanner:
    """Reads one text from left to right; every method starts and ends at `position`."""

    def __init__(
        self,
        text: str,
        env: Mapping[str, str],
        escape: str,
        used: set[str] | None,
        quotes: str = "'\"",
    ) -> None:
        self.text = text
        self.env = env
        self.escape = escape
        self.used = used
        self.quotes = quotes
        self.position = 0
        self.depth = 0
        self.length = 0
        self.keeps_escapes = False

    def peek(self) -> str:
        """The next character, empty at the end."""
        return self.text[self.position : self.position + 1]

    def take(self) -> str:
        one = self.peek()
        self.position += 1
        return one

    def pieces(self, stop: str = "") -> list[Piece]:
        """All up to `stop`, which is taken too, or up to the end of the text."""
        found: list[Piece] = []
        while (one := self.take()) != stop:
            if not one:
                raise self.unclosed(stop)
            if one == "$":
                found.append((self.variable(), False))
            elif one in self.quotes:
                found.append((self.single() if one == "'" else self.double(), True))
            elif one == self.escape:
                found.append((self.escaped(), True))
            else:
                found.append((one, False))
        return found

    def escaped(self) -> str:
        """What an escape, just taken, and the character after it stand for."""
        return (self.escape if self.keeps_escapes else "") + self.take()

    def single(self) -> str:
        end = self.text.find("'", self.position)
        if end < 0:
            raise self.unclosed("'")
        quoted = self.text[self.position : end]
        self.position = end + 1
        return quoted

    def double(self) -> str:
        quoted = ""
        while (one := self.take()) != '"':
            if not one:
                raise self.unclosed('"')
            if one == "$":
                one = self.variable()
            elif one == self.escape and self.peek() in ('"', "$", self.escape):
                one = self.escaped()
            elif one == self.escape and self.keeps_escapes:
                one *= 2  # as docker has it
            quoted += one
        return quoted

    def variable(self) -> str:
        """What stands for the `$…` whose dollar sign is just taken."""
        if self.peek() != "{":
            name = self.name()
            return self.limited(self.value(name) or "") if name else "$"
        self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise DockerfileError(f"variables are nested more than {MAX_DEPTH} deep", near="${")
        value = self.braces()
        self.depth -= 1
        return self.limited(value)

    def limited(self, value: str) -> str:
        self.length += len(value)
        if self.length > MAX_LENGTH:
            raise DockerfileError(f"variables expand to more than {MAX_LENGTH} characters")
        return value

    def unclosed(self, mark: str) -> DockerfileError:
        shown = self.text if len(self.text) < 80 else self.text[:80] + "…"
        return DockerfileError(f"{shown} has no closing {mark}", near=self.text)

    def name(self) -> str:
        """A name, a number or one special character; empty when none of them comes."""
        start = self.position
        if self.peek().isdigit():
            while self.peek().isdigit():
                self.take()
        elif self.peek() and self.peek() in SPECIAL_PARAMETERS:
            self.take()
        else:
            while self.peek().isalnum() or self.peek() == "_":
                self.take()
        return self.text[start : self.position]

    def value(self, name: str) -> str | None:
        if self.used is not None:
            self.used.add(name)
        return self.env.get(name)

    def braces(self) -> str:
        """The value of `${…}` from its name on."""
        start = self.position
        name = self.name()
        value = self.value(name) if name else None
        operator = self.take()
        if not name or operator == "":
            raise self.bad(start)
        if operator == "}":
            return value or ""
        if operator in "#%":
            return self.trimmed(value or "", operator)
        if operator == "/":
            return self.replaced(value or "")
        if operator == ":":
            operator = self.take()
            if operator and operator in "#%":
                return self.trimmed(value or "", operator)
            value = value or None  # with the colon, empty counts as unset
        if not operator or operator not in "-+?":
            raise self.bad(start)
        return self.alternative(name, value, operator)

    def bad(self, start: int) -> DockerfileError:
        form = self.text[start - 2 : start + 20].partition("}")
        return DockerfileError(
            f"{form[0] + form[1]!r} is not a variable substitution",
            near=self.text[start - 2 : self.position],
            hint="there are ${v}, ${v:-w}, ${v:+w}, ${v:?message}, ${v#p}, ${v%p} and ${v/p/r}",
        )

    def alternative(self, name: str, value: str | None, operator: str) -> str:
        before, self.keeps_escapes = self.keeps_escapes, False
        word = _join(self.pieces("}"))
        self.keeps_escapes = before
        if operator == "+":
            return "" if value is None else word
        if value is not None:
            return value
        if operator == "?":
            raise DockerfileError(f"{name}: {word or 'is not set'}", near=name)
        return word

    def trimmed(self, value: str, operator: str) -> str:
        text = self.raw("}")
        longest = text.startswith(operator)
        pattern = _segments(text[longest:])
        if operator == "#":
            return value[_match(pattern, value, longest=longest) or 0 :]
        backwards = [segment[::-1] for segment in pattern[::-1]]
        return value[::-1][_match(backwards, value[::-1], longest=longest) or 0 :][::-1]

    def replaced(self, value: str) -> str:
        everywhere = self.peek() == "/"
        self.position += everywhere
        pattern = _segments(self.raw("/"))
        return _replace(pattern, value, self.raw("}"), everywhere=everywhere)

    def raw(self, stop: str) -> str:
        """The text up to `stop`, in which escapes stay for the pattern to read."""
        before, self.keeps_escapes = self.keeps_escapes, True
        text = _join(self.pieces(stop))
        self.keeps_escapes = before
        return text


# ── patterns: segments of characters, with `*` between the segments ───────────────────────────

Segment = list[str | None]  # None is any character


def _segments(text: str) -> list[Segment]:
    """A pattern read: quotes protect nothing, and only `* ? \\ } /` can be escaped."""
    segments: list[Segment] = [[]]
    position = 0
    while position < len(text):
        one = text[position]
        position += 1
        if one == "*":
            segments.append([])
            continue
        if one == "\\":
            one = text[position : position + 1]
            position += 1
            if not one or one not in "*?\\}/":
                raise DockerfileError(
                    f"the pattern {text!r} has the escape '\\{one}'",
                    near=text,
                    hint="only \\* \\? \\\\ \\} and \\/ can be escaped in a pattern",
                )
            segments[-1].append(one)
        else:
            segments[-1].append(None if one == "?" else one)
    return segments


def _fits(segment: Segment, value: str, at: int) -> bool:
    if at + len(segment) > len(value):
        return False
    return all(map(_accepts, segment, value[at : at + len(segment)]))


def _accepts(atom: str | None, one: str) -> bool:
    return one != "\n" if atom is None else one == atom


def _match(pattern: list[Segment], value: str, start: int = 0, *, longest: bool) -> int | None:
    """The end of the shortest or longest match beginning at `start`.

    The leftmost place of a segment is always right, but for the last one of a longest match.
    """
    if not _fits(pattern[0], value, start):
        return None
    end = start + len(pattern[0])
    for number, segment in enumerate(pattern[1:], 2):
        line = value.find("\n", end)
        last = len(value) - len(segment)
        places = range(end, (last if line < 0 else min(line, last)) + 1)
        ordered = reversed(places) if longest and number == len(pattern) else places
        place = next((at for at in ordered if _fits(segment, value, at)), None)
        if place is None:
            return None
        end = place + len(segment)
    return end


def _replace(pattern: list[Segment], value: str, replacement: str, *, everywhere: bool) -> str:
    """The matches from the left, the longest of each; an empty one is none right after another."""
    done, position, last = "", 0, -1
    while position <= len(value):
        end = _match(pattern, value, position, longest=True)
        if end is None and _fits(pattern[0], value, position):
            # What follows the first `*` is nowhere in this line, so no later start finds it.
            skipped = value.find("\n", position) + 1 or len(value) + 1
            done += value[position:skipped]
            position = skipped
            continue
        if end is not None and not end == position == last:
            found = value[position:end]
            done += _filled(replacement, found) if everywhere else replacement
            if not everywhere:
                return done + value[end:]
            last = end
        if end is None or end == position:
            done += value[position : position + 1]
            position += 1
        else:
            position = end
        if len(done) > MAX_LENGTH:
            raise DockerfileError(f"a replacement gives more than {MAX_LENGTH} characters")
    return done


def _filled(replacement: str, found: str) -> str:
    """For `//`, Go reads the replacement as a template: `$0` is what was found, `$$` a dollar."""
    if "$" not in replacement:
        return replacement
    first, *parts = replacement.split("$")
    filled, parts = first, parts[::-1]
    while parts:
        part = parts.pop()
        if not part and parts:
            filled += "$" + parts.pop()
            continue
        inner, brace, rest = part[1:].partition("}")
        if not (part.startswith("{") and brace and _is_name(inner)):
            length = next((at for at, one in enumerate(part) if not _is_name(one)), len(part))
            inner, rest = part[:length], part[length:]
        if inner:
            filled += (found if inner == "0" else "") + rest
        else:
            filled += "$" + part
    return filled


def _is_name(text: str) -> bool:
    return text.replace("_", "a").isalnum()
