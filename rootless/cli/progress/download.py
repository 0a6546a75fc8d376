"""The display of one file that comes from somewhere: how much of it is here, on one line."""

from __future__ import annotations

from rootless.cli import words
from rootless.cli.progress.block import Block, cut
from rootless.cli.progress.pace import Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from rootless.archive import Read
    from rootless.registry.download import Download

_WIDTH = 30


class Display:
    """`with Display(…) as read:` gives what reads the file and shows it on a line, which goes."""

    def __init__(self, coming: Download, out: TextIO, *, draws: bool) -> None:
        self._coming = coming
        self._block = Block(out) if draws else None
        self._pace = Pace()

    def __enter__(self) -> Read:
        return self._read if self._block else self._coming.read

    def __exit__(self, *_: object) -> None:
        if self._block:
            self._block.clear()

    def _read(self, count: int) -> bytes:
        piece = self._coming.read(count)
        if self._block and self._pace.allows():
            self._block.draw([cut(line(self._coming.received, self._coming.size), self._columns)])
        return piece

    @property
    def _columns(self) -> int:
        return self._block.size.columns if self._block else 0


def line(received: int, size: int | None) -> str:
    """As docker draws a download."""
    if not size:
        return f"Downloading  {words.size(received)}"
    done = min(received * _WIDTH // size, _WIDTH)
    bar = "=" * done + ">" * (done < _WIDTH)
    return f"Downloading [{bar.ljust(_WIDTH)}]  {words.size(received)}/{words.size(size)}"
