"""What several builds say, in one view: each line with its target's name before it."""

from __future__ import annotations

import sys

from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from rootless.cli.settings import Settings

_COLOURS = ("36", "33", "32", "35", "34", "31")


class Speaker:
    """Passes lines on; as they are where they are JSON (`how` is --progress)."""

    def __init__(self, names: Iterable[str], how: str, given: Settings) -> None:
        self._names = sorted(names)
        self._how = how
        self._width = max(map(len, self._names))
        self._colour = words.colours(sys.stderr, given.environment)

    def say(self, name: str, line: bytes, stream: TextIO) -> None:
        """One line of the target `name`, without its end."""
        text = line.decode(errors="replace")
        if self._how != "rawjson":
            colour = _COLOURS[self._names.index(name) % len(_COLOURS)]
            shown = name.ljust(self._width)
            painted = words.paint(shown, colour, self._colour) if stream is sys.stderr else shown
            text = f"{painted} | {text}"
        print(text, file=stream, flush=True)
