"""Which files of a context a `.dockerignore` (or the patterns of `--exclude`) leaves out.

Pure: paths in, answers out; no file is looked at. Paths are relative to the context, with `/`.
The rules are those of moby/patternmatcher: the last matching pattern wins, and a pattern that
matches a directory matches all below it. `re` is imported only once a wildcard needs it.
"""

from __future__ import annotations

import os.path

from rootless.dockerfile.errors import DockerfileError, Location, Source
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

META = "*?[\\"


class Pattern(Record):
    """One line: a cleaned pattern, and whether it takes files back in (`!`)."""

    text: str
    includes: bool
    matches: Callable[[str], bool]

    @classmethod
    def parse(cls, line: str) -> Pattern:
        includes = line.startswith("!")
        text = line[includes:].strip()
        if not text:
            raise DockerfileError("'!' needs a pattern", near=line)
        return cls(_clean(text), includes, _matcher(_clean(text)))

    def can_match_below(self, directory: str) -> bool:
        """Whether a path below `directory` might match: a cautious answer from fixed names."""
        ours, theirs = self.text.split("/"), directory.split("/")
        for own, name in zip(ours, theirs, strict=False):
            if any(one in META for one in own):
                return True
            if own != name:
                return False
        return True


class Ignore(Record):
    """A whole file's patterns, in its order."""

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, content: bytes, name: str = ".dockerignore") -> Ignore:
        """DockerfileError names the line of a pattern that cannot be."""
        source = Source.of(content, name)
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        patterns = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("#") or not line.strip():
                continue
            try:
                patterns.append(Pattern.parse(line.strip()))
            except DockerfileError as error:
                raise source.locate(error, Location(number, number)) from None
        return cls(tuple(patterns))

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Ignore:
        """From single patterns, as `--exclude` has them."""
        return cls(tuple(map(Pattern.parse, patterns)))

    def excludes(self, path: str) -> bool:
        for pattern in reversed(self.patterns):
            if pattern.matches(path):
                return not pattern.includes
        return False

    def may_reinclude(self, directory: str) -> bool:
        """Whether something below an excluded directory may still be taken in."""
        return any(one.includes and one.can_match_below(directory) for one in self.patterns)


def _clean(text: str) -> str:
    """Go's filepath.Clean, and relative to the context."""
    return (
        os.path.normpath("/" + text.lstrip("/"))[1:] if text[0] == "/" else os.path.normpath(text)
    )


def _matcher(text: str) -> Callable[[str], bool]:
    """A test for a path or a directory above it."""
    start, tail = text[:2], text.removeprefix("**")
    if not any(one in META for one in text):
        return lambda path: (path + "/").startswith(text + "/")
    if start == "**" and not any(one in META for one in tail):
        return _suffix_matcher(tail)
    translate(text)  # a bad pattern is an error now, not when the first file comes
    compiled: list[Callable[[str], object]] = []

    def matches(path: str) -> bool:
        if not compiled:
            import re

            compiled.append(re.compile(f"(?:{translate(text)})(?:/.*)?", re.DOTALL).fullmatch)
        return compiled[0](path) is not None

    return matches


def _suffix_matcher(tail: str) -> Callable[[str], bool]:
    """For `**/name`, which is by far the commonest wildcard, and `**name`."""
    if not tail:
        return lambda _path: True
    if tail[0] == "/":
        return lambda path: f"{tail}/" in f"/{path}/"
    return lambda path: f"{tail}/" in f"{path}/"


def translate(pattern: str) -> str:
    """The regular expression of a pattern, for `re.fullmatch` with DOTALL.

    `*` and `?` stop at `/`, `**` does not and matches nothing too; `[…]` and `\\` are those of
    Go's filepath.Match, and what that calls a bad pattern is a DockerfileError.
    """
    parts, position = [], 0
    while position < len(pattern):
        one = pattern[position]
        position += 1
        if one == "*":
            part, position = _stars(pattern, position)
        elif one == "?":
            part = "[^/]"
        elif one == "[":
            part, position = _class(pattern, position)
        elif one == "\\":
            literal, position = _literal(pattern, position - 1)
            part = _quoted(literal)
        else:
            part = _quoted(one)
        parts.append(part)
    return "".join(parts)


def _stars(pattern: str, position: int) -> tuple[str, int]:
    """What a `*` means, with all that belongs to it: `*`, `**`, `**/`, and repetitions."""
    if pattern[position : position + 1] != "*":
        return "[^/]*", position
    while pattern[position : position + 1] == "*" or pattern.startswith("/**/", position):
        position += 3 if pattern[position] == "/" else 1
    if pattern[position : position + 1] == "/":
        position += 1
    return (".*" if position >= len(pattern) else "(?:.*/)?"), position


def _class(pattern: str, position: int) -> tuple[str, int]:
    """The character class after a `[`; `]` and `-` are members only behind a backslash."""
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges: list[tuple[str, str]] = []
    while pattern[position : position + 1] != "]" or not ranges:
        low, position = _member(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _member(pattern, position + 1)
        ranges.append((low, high))
    members = "".join(f"{_quoted(low)}-{_quoted(high)}" for low, high in ranges if low <= high)
    if not members:  # only ranges that run backwards
        return ("." if negated else "(?!)"), position + 1
    return f"[{'^' * negated}{members}]", position + 1


def _member(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position : position + 1] in ("-", "]"):
        raise _bad(pattern)
    return _literal(pattern, position)


def _literal(pattern: str, position: int) -> tuple[str, int]:
    """The character at `position`, or the one it escapes."""
    if pattern[position : position + 1] == "\\":
        position += 1
    if position >= len(pattern):
        raise _bad(pattern)
    return pattern[position], position + 1


def _quoted(one: str) -> str:
    return one if one.isalnum() or one in "/_" else "\\" + one


def _bad(pattern: str) -> DockerfileError:
    return DockerfileError(
        f"{pattern!r} is not a pattern",
        near=pattern,
        hint="a '[' needs its ']', and a last '\\' something to escape",
    )
