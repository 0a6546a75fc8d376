"""Which files of a context a `.dockerignore` (or the patterns of `--exclude`) leaves out.

Pure: paths in, answers out; no file is looked at. Paths are relative to the context, with `/`.
The rules are those of moby/patternmatcher: the last matching pattern wins, and a pattern that
matches a directory matches all below it.
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
    """A test for a path or a directory above it; what most patterns are is told at once."""
    if not is_wild(text):
        return lambda path: (path + "/").startswith(text + "/")
    tail = text.removeprefix("**")
    if tail != text and not is_wild(tail):
        return _suffix_matcher(tail)
    ending = text.removeprefix("**/*")
    if ending != text and not is_wild(ending) and "/" not in ending:
        return _suffix_matcher(ending)
    return path_pattern(text)


def _suffix_matcher(tail: str) -> Callable[[str], bool]:
    """For `**/name`, `**name` and `**/*name`, by far the commonest wildcards."""
    if not tail:
        return lambda _path: True
    if tail[0] == "/":
        return lambda path: f"{tail}/" in f"/{path}/"
    return lambda path: f"{tail}/" in f"{path}/"
