"""A place in a Dockerfile, and what is wrong there.

Pure text. Errors are raised where the problem is seen, often by code that knows neither file nor
line; `Source.locate` gives them their place once, on the way out.
"""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.record import Record

CONTEXT_LINES = 2
MAX_SHOWN = 200  # characters of a line
MAX_PROBLEM = 1000
MAX_LINES = 20  # of one instruction that an error shows, less its last


class Location(Record):
    """The physical lines of one instruction: counted from 1, both ends included."""

    start_line: int
    end_line: int


class DockerfileError(RootlessError):
    """`problem` says what is wrong; `near` is the piece of source text that shows where.

    `source` and `location` stay None until `Source.locate`; then the message names the place
    and ends with the marked lines. `line` and `column` (from 1) are 0 where not known.
    """

    def __init__(
        self,
        problem: str,
        *,
        near: str = "",
        hint: str | None = None,
        location: Location | None = None,
        source: Source | None = None,
    ) -> None:
        self.problem = problem
        self.near = near
        self.location = location
        self.source = source
        self.line, self.column = 0, 0
        message = problem
        if location and source:
            self.line, self.column = source.find(near, location)
            place = f"{self.line}:{self.column}" if self.column else str(self.line)
            message = f"{source.name}:{place}: {_shortened(problem)}\n\n{source.excerpt(location)}"
        super().__init__(message, hint=hint)


class Source(Record):
    """The text that people wrote, kept to show it to them."""

    name: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, content: bytes, name: str) -> Source:
        text = content.decode("utf-8-sig", "replace").removesuffix("\n")
        return cls(name, tuple(line.rstrip("\r") for line in text.split("\n")))

    def excerpt(self, location: Location) -> str:
        """The lines of `location`, marked with `>>>`, between their neighbours."""
        first = max(location.start_line - CONTEXT_LINES, 1)
        last = min(location.end_line + CONTEXT_LINES, len(self.lines))
        shown = []
        for number in range(first, last + 1):
            if MAX_LINES <= number - first < last + 1 - first - CONTEXT_LINES:
                if number - first == MAX_LINES:
                    shown.append("     | >>> …")
                continue
            mark = ">>>" if location.start_line <= number <= location.end_line else "   "
            line = _printable(self.lines[number - 1])
            shown.append(f"{number:4} | {mark} {line}".rstrip())
        return "\n".join(shown)

    def find(self, near: str, location: Location) -> tuple[int, int]:
        """Line and column of `near` within `location`; column 0 where it is not found."""
        for number in range(location.start_line, location.end_line + 1) if near else ():
            column = self.lines[number - 1].find(near) + 1
            if column:
                return number, column
        return location.start_line, 0

    def locate(self, error: DockerfileError, location: Location | None = None) -> DockerfileError:
        """The same error with its place; it keeps a place that it already knows."""
        if error.source:
            return error
        return DockerfileError(
            error.problem,
            near=error.near,
            hint=error.hint,
            location=error.location or location,
            source=self,
        )


def _printable(line: str) -> str:
    """A Dockerfile from elsewhere must not steer the terminal that shows it."""
    shown = line if len(line) <= MAX_SHOWN else line[:MAX_SHOWN] + "…"
    return "".join(one if one.isprintable() or one == "\t" else "\ufffd" for one in shown)


def _shortened(problem: str) -> str:
    """Its beginning and its end, where an exit code stands, if it quotes a whole script."""
    return problem if len(problem) <= MAX_PROBLEM else f"{problem[:600]} … {problem[-200:]}"
