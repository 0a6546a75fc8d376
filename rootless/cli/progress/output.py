"""What a build's step is called and prints: lines that command no terminal, the last are kept."""

from __future__ import annotations

from time import monotonic

from rootless.cli import words
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.build.request import Step

_KEPT = 2000  # lines, to be shown when the step fails
_MOST = 1 << 20  # bytes of them
_LONGEST = 1 << 16  # bytes of a line: an endless one must not fill our memory


class Given(Record):
    """What came out of a build: a line for each thing, below a heading; -q prints the `name`."""

    lines: Sequence[str]
    name: str = ""
    heading: str = "exporting to image"


class Output:
    """The output of one step, from its beginning on."""

    def __init__(self) -> None:
        self.started = monotonic()
        self._lines: list[tuple[float, bytes]] = []
        self._size = 0
        self._rest = b""
        self.dropped = 0
        """How many of the oldest lines are kept no longer."""

    @property
    def seconds(self) -> float:
        """How long the step has run."""
        return monotonic() - self.started

    def add(self, content: bytes) -> list[bytes]:
        """The lines that `content` completes; `visible` makes text of them."""
        *whole, rest = (self._rest + content).split(b"\n")
        if len(rest) > _LONGEST:
            whole, rest = [*whole, rest], b""
        self._rest = rest
        now = self.seconds
        self._lines += [(now, line) for line in whole]
        self._size += sum(map(len, whole))
        if len(self._lines) > 2 * _KEPT or self._size > 2 * _MOST:
            self._trim()
        return whole

    def end(self) -> list[bytes]:
        """The last line, if it did not end."""
        return self.add(b"\n") if self._rest else []

    def last(self, count: int) -> list[str]:
        """The newest lines, with the one that has not ended yet."""
        lines = self._lines[-count:] if count > 0 else []
        if self._rest and count > 0:
            lines = [*lines, (0.0, self._rest)][-count:]
        return [visible(line) for _, line in lines]

    def repeated(self, count: int = _KEPT) -> list[str]:
        """The newest lines, each behind the second in which it came; what is left out is said."""
        self._trim()
        lines = self._lines[-count:]
        left_out = self.dropped + len(self._lines) - len(lines)
        said = [f"[{left_out} lines before these are not repeated]"] if left_out else []
        return [*said, *(f"{when:.3f} {visible(line)}" for when, line in lines)]

    def all(self) -> list[str]:
        """Every line that is kept."""
        return self.last(_KEPT)

    def _trim(self) -> None:
        """Forget the oldest lines: not at each new one, as that takes as long as there are many."""
        kept = len(self._lines)
        size = 0
        for at, (_, line) in enumerate(reversed(self._lines)):
            size += len(line)
            if at == _KEPT or size > _MOST:
                kept = at
                break
        self.dropped += len(self._lines) - kept
        self._lines = self._lines[len(self._lines) - kept :]
        self._size = sum(len(line) for _, line in self._lines)


def visible(line: bytes) -> str:
    """A line of output as a terminal would leave it: redrawn parts and control codes gone."""
    import re

    text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
    return words.escape(re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text).expandtabs())


def title(step: Step) -> str:
    """What people call a step, as BuildKit does; not made safe for a terminal."""
    stage = f"{step.stage} " if step.stage else ""
    place = str(step.place).rjust(len(str(step.places)))
    return f"[{stage}{place}/{step.places}] {step.text}"
