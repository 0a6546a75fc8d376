"""A small terminal: what a program has left on it. No colours, no reflow when it is resized."""

from __future__ import annotations

import re
from unicodedata import east_asian_width

_PIECES = re.compile(r"\x1b\[[0-?]*[A-Za-z]|.", re.DOTALL)


class Screen:
    """Rows of characters; those that scroll out at the top are in `above`."""

    def __init__(self, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        self.above: list[str] = []
        self._cells: list[list[str]] = [[]]
        self._y = self._x = 0

    @property
    def lines(self) -> list[str]:
        """Everything that can be seen, by scrolling too."""
        return [*self.above, *("".join(row).rstrip() for row in self._cells)]

    def feed(self, text: str) -> None:
        """Do what the text says; an unknown command is an error."""
        for piece in _PIECES.findall(text):
            if len(piece) > 1:
                self._command(piece)
            elif piece == "\r":
                self._x = 0
            elif piece == "\n":
                self._down()
            else:
                assert piece.isprintable(), piece
                self._put(piece)

    def _command(self, piece: str) -> None:
        count, name = piece[2:-1], piece[-1]
        if name == "A":
            assert int(count) <= self._y, "above the top of the screen"
            self._y -= int(count)
        elif name == "J":
            assert not count
            self._cells[self._y] = self._cells[self._y][: self._x]
            del self._cells[self._y + 1 :]
        else:
            assert name == "m", piece

    def _down(self) -> None:
        self._y += 1
        if self._y == len(self._cells):
            self._cells.append([])
        if len(self._cells) > self.rows:
            self.above.append("".join(self._cells.pop(0)).rstrip())
            self._y -= 1

    def _put(self, char: str) -> None:
        needs = 2 if east_asian_width(char) in "WF" else 1
        if self._x + needs > self.columns:
            self._x = 0
            self._down()
        row = self._cells[self._y]
        row.extend(" " * (self._x + needs - len(row)))
        row[self._x : self._x + needs] = [char, ""][:needs]
        self._x += needs
