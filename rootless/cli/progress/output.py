"""What a build's step prints, as lines that command no terminal; only the last ones are kept."""

from __future__ import annotations

from time import monotonic

from rootless.cli import words

_KEPT = 400  # lines, to be shown when the step fails
_LONGEST = 1 << 16  # bytes of a line: an endless one must not fill our memory


class Output:
    """The output of one step, from its beginning on."""

    def __init__(self) -> None:
        self.started = monotonic()
        self._lines: list[bytes] = []
        self._rest = b""

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
        self._lines = [*self._lines, *whole[-_KEPT:]][-_KEPT:]
        return whole

    def end(self) -> list[bytes]:
        """The last line, if it did not end."""
        return self.add(b"\n") if self._rest else []

    def last(self, count: int) -> list[str]:
        """The newest lines, with the one that has not ended yet."""
        lines = [*self._lines, self._rest] if self._rest else self._lines
        return [visible(line) for line in lines[-count:]] if count > 0 else []

    def all(self) -> list[str]:
        """Every line that is kept."""
        return self.last(_KEPT)


def visible(line: bytes) -> str:
    """A line of output as a terminal would leave it: redrawn parts and control codes gone."""
    import re

    text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace")
    return words.escape(re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text).expandtabs())
