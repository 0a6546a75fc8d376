"""The part of a terminal that is drawn again and again, below lines that stay.

After a drawing the cursor goes back to the block's first line, so whatever comes next begins by
clearing from there: what a terminal does to long lines when it is resized, and how many rows they
take then, need not be known. No line is longer than the terminal is wide when it is drawn.
"""

from __future__ import annotations

import os
from errno import EIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

_DEFAULT_SIZE = os.terminal_size((80, 24))
# This line and all below. The blank is for terminals that save a screen cleared as a whole.
_CLEAR = "\r \033[J\r"


class Block:
    """A block on `out`."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_drawn = False

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines now; what is no terminal, or one that does not know, has 80 by 24."""
        try:
            size = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return _DEFAULT_SIZE
        return size if size.columns and size.lines else _DEFAULT_SIZE

    def draw(self, lines: Sequence[str]) -> None:
        """Show these instead of what was there: none too long, and fewer than the rows."""
        up = f"\033[{len(lines)}A" if lines else ""
        self._write([_CLEAR, *(f"{line}\n" for line in lines), up])
        self._is_drawn = bool(lines)

    def settle(self, lines: Iterable[str]) -> None:
        """Print lines that stay, where the block was."""
        self._write([_CLEAR if self._is_drawn else "", *(f"{line}\n" for line in lines)])
        self._is_drawn = False

    def clear(self) -> None:
        """Take the block away."""
        if self._is_drawn:
            self.settle(())

    def _write(self, pieces: list[str]) -> None:
        """All at once: a terminal should not show half of it.

        Not by `out` itself: where Python is told not to buffer (PYTHONUNBUFFERED), it leaves out
        what a busy terminal did not take at once because the clock's signal came.
        """
        self._out.flush()
        rest = "".join(pieces).encode(self._out.encoding or "utf-8", "replace")
        try:
            while rest:
                rest = rest[os.write(self._out.fileno(), rest) :]
        except OSError as error:
            if error.errno != EIO:  # the terminal was closed: who draws has other things to end
                raise


def cut(text: str, columns: int) -> str:
    """`text` without what does not fit; an ellipsis says so. Wide characters count twice."""
    if len(text) <= columns and text.isascii():
        return text
    if width(text) <= columns:
        return text
    kept, left = [], columns - 1
    for char in text:
        left -= width(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept) + "…" if columns > 0 else ""


def width(text: str) -> int:
    """How many columns a terminal needs for printable text."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    total = 0
    for char in text:
        if category(char) not in ("Mn", "Me", "Cf"):
            total += 2 if east_asian_width(char) in "WF" else 1
    return total
