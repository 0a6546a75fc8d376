"""Which files of a context a `.dockerignore` (or the patterns of `--exclude`) leaves out.

Pure: paths in, answers out; no file is looked at. Paths are relative to the context, with `/`.
The rules are those by which BuildKit walks a context (moby/patternmatcher, told what matched the
parent): the last matching pattern wins, and a pattern that matches a directory matches all below
it, but a `!` line is only tried on what is excluded so far. So after `d/f`, `!d` changes nothing:
it was never tried on d, which nothing excludes, and it does not match d/f.
"""

from __future__ import annotations

import os.path

from rootless.dockerfile.errors import DockerfileError, Location, Source
from rootless.dockerfile.patterns import is_wild, path_pattern
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


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
            if is_wild(own):
                return True
            if own != name:
                return False
        return True


class Ignore:
    """A whole file's patterns, in its order."""

    def __init__(self, patterns: tuple[Pattern, ...] = ()) -> None:
        self.patterns = patterns
        self._folders: dict[str, tuple[bool, ...]] = {"": (False,) * len(patterns)}

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
        excluded = False
        for pattern, matches in zip(self.patterns, self._matching(path), strict=True):
            if matches:
                excluded = not pattern.includes
        return excluded

    def may_reinclude(self, directory: str) -> bool:
        """Whether something below an excluded directory may still be taken in."""
        return any(one.includes and one.can_match_below(directory) for one in self.patterns)

    def _matching(self, path: str) -> list[bool]:
        """Which patterns match a path, or did so for a directory above it."""
        found = []
        excluded = False
        above = self._folder(path.rpartition("/")[0])
        for pattern, inherited in zip(self.patterns, above, strict=True):
            matches = inherited or (pattern.includes == excluded and pattern.matches(path))
            if matches:
                excluded = not pattern.includes
            found.append(matches)
        return found

    def _folder(self, path: str) -> tuple[bool, ...]:
        """`_matching` of a directory, which is asked for once for each file in it."""
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = tuple(self._matching(path))
        return known


def _clean(text: str) -> str:
    """Go's filepath.Clean, and relative to the context."""
    return (
        os.path.normpath("/" + text.lstrip("/"))[1:] if text[0] == "/" else os.path.normpath(text)
    )


def _matcher(text: str) -> Callable[[str], bool]:
    """A test for a path; what most patterns are is told at once."""
    if not is_wild(text):
        return text.__eq__
    tail = text.removeprefix("**")
    if tail != text and not is_wild(tail):
        return _suffix_matcher(tail)
    ending = text.removeprefix("**/*")
    if ending != text and not is_wild(ending) and "/" not in ending:
        return _suffix_matcher(ending)
    return path_pattern(text)


def _suffix_matcher(tail: str) -> Callable[[str], bool]:
    """For `**/name`, `**name` and `**/*name`, by far the commonest wildcards."""
    if tail.startswith("/"):
        return lambda path: f"/{path}".endswith(tail)
    return lambda path: path.endswith(tail)
