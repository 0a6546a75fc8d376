"""Wildcard patterns of paths: those of `.dockerignore` and those of a COPY's sources. Pure.

A pattern is a list of moves, each from the places in a path that the pattern so far may end at to
those that it may end at with one piece more. Places are kept as ranges, so a star costs no more
than the path is long however many there are: what a regular expression tries in exponential
time takes here no more steps than pieces times characters, and `re` need not be imported.
"""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Places = list[tuple[int, int]]  # first and last place, both included, sorted, not touching
    Move = Callable[[str, Places], Places]

META = frozenset("*?[\\")


def is_wild(text: str) -> bool:
    """Whether `text` is more than a name."""
    return not META.isdisjoint(text)


def path_pattern(text: str) -> Callable[[str], bool]:
    """A test for a path, as moby/patternmatcher has it.

    `*` and `?` stop at `/`, `**` does not and matches nothing too; `[…]` and `\\` are those of
    Go's filepath.Match, and what that calls a bad pattern is a DockerfileError.
    """
    reader = _Reader(text)
    moves = tuple(reader.moves())
    needed = reader.longest

    def matches(path: str) -> bool:
        if needed not in path:
            return False  # most paths: a tenth of the time
        found = _walk(moves, path)
        return bool(found) and found[-1][1] == len(path)

    return matches


def name_pattern(text: str) -> Callable[[str], bool]:
    """A test for one name, as Go's filepath.Match has it: `**` is `*` twice."""
    moves = tuple(_Reader(text, doubles=False).moves())

    def matches(name: str) -> bool:
        found = _walk(moves, name)
        return bool(found) and found[-1][1] == len(name)

    return matches


def _walk(moves: tuple[Move, ...], path: str) -> Places:
    places = [(0, 0)]
    for move in moves:
        places = move(path, places)
        if not places:
            break
    return places


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, text: str, *, doubles: bool = True) -> None:
        self.text = text
        self.doubles = doubles
        self.position = 0
        self.longest = ""

    def moves(self) -> Iterable[Move]:
        """All of them; then `longest` is the longest text that a match must contain."""
        literal = ""
        while self.position < len(self.text):
            one = self.text[self.position]
            if one not in META or one == "\\":
                literal += self.literal()
                continue
            if literal:
                yield self.exactly(literal)
                literal = ""
            self.position += 1
            if one == "*":
                yield self.stars()
            elif one == "?":
                yield _one_of(lambda char: char != "/")
            else:
                yield _one_of(self.members())
        if literal:
            yield self.exactly(literal)

    def exactly(self, literal: str) -> Move:
        self.longest = max(self.longest, literal, key=len)
        return _exactly(literal)

    def stars(self) -> Move:
        """What a `*` means, with all that belongs to it: `*`, `**`, `**/`, and repetitions."""
        text = self.text
        if not self.doubles or text[self.position : self.position + 1] != "*":
            return _within_folder
        while text.startswith("*", self.position) or text.startswith("/**/", self.position):
            self.position += 3 if text[self.position] == "/" else 1
        if text.startswith("/", self.position):
            self.position += 1
        return _anything if self.position >= len(text) else _folders

    def members(self) -> Callable[[str], bool]:
        """The class after a `[`; `]` and `-` are members only behind a backslash."""
        negated = self.text.startswith("^", self.position)
        self.position += negated
        ranges: list[tuple[str, str]] = []
        while not self.text.startswith("]", self.position) or not ranges:
            low = high = self.member()
            if self.text.startswith("-", self.position):
                self.position += 1
                high = self.member()
            ranges.append((low, high))
        self.position += 1
        return lambda char: any(low <= char <= high for low, high in ranges) != negated

    def member(self) -> str:
        if self.text[self.position : self.position + 1] in ("-", "]"):
            raise self.bad()
        return self.literal()

    def literal(self) -> str:
        """The character here, or the one it escapes."""
        if self.text.startswith("\\", self.position):
            self.position += 1
        if self.position >= len(self.text):
            raise self.bad()
        self.position += 1
        return self.text[self.position - 1]

    def bad(self) -> DockerfileError:
        return DockerfileError(
            f"{self.text!r} is not a pattern",
            near=self.text,
            hint="a '[' needs its ']', and a last '\\' something to escape",
        )


def _exactly(literal: str) -> Move:
    length = len(literal)

    def move(path: str, places: Places) -> Places:
        found: Places = []
        for first, last in places:
            at = path.find(literal, first, last + length)
            while at >= 0:
                found.append((at + length, at + length))
                at = path.find(literal, at + 1, last + length)
        return found

    return move


def _one_of(accepts: Callable[[str], bool]) -> Move:
    def move(path: str, places: Places) -> Places:
        return [
            (at + 1, at + 1)
            for first, last in places
            for at in range(first, min(last + 1, len(path)))
            if accepts(path[at])
        ]

    return move


def _within_folder(path: str, places: Places) -> Places:
    """`*`: on to the next `/`."""
    found: Places = []
    for first, last in places:
        start = found.pop()[0] if found and first <= found[-1][1] else first
        slash = path.find("/", last)
        found.append((start, slash if slash >= 0 else len(path)))
    return found


def _anything(path: str, places: Places) -> Places:
    """`**` at the end."""
    return [(places[0][0], len(path))]


def _folders(path: str, places: Places) -> Places:
    """`**/`: nothing, or on behind any later `/`; so is a `**` with more behind it."""
    found = {at for first, last in places for at in range(first, last + 1)}
    slash = path.find("/", places[0][0])
    while slash >= 0:
        found.add(slash + 1)
        slash = path.find("/", slash + 1)
    return [(at, at) for at in sorted(found)]
