"""What standard error is told while a context comes: a line, on a terminal with how much is here.

For contexts of builds only: images have bars of their own.
"""

from __future__ import annotations

import sys
from time import monotonic

from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_EVERY = 0.1  # seconds between two words on a terminal
_CLEAR = "\r\x1b[K"


class Fetching:
    """`with Fetching(what, quiet=…) as fetching:` around what takes its time."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._head = f"fetching the context {words.escape(what)}"
        self._quiet = quiet
        self._is_terminal = not quiet and sys.stderr.isatty()
        self._said = 0.0

    def __enter__(self) -> Self:
        if not self._quiet:
            print(self._head, end="" if self._is_terminal else "\n", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            print(f"{_CLEAR}{self._head}", file=sys.stderr, flush=True)

    def counting(self, read: Callable[[int], bytes], size: int | None) -> Callable[[int], bytes]:
        """`read`, counted; `size` is that of everything, if known."""
        if not self._is_terminal:
            return read
        total = f" of {words.size(size)}" if size else ""
        count = 0

        def counted(most: int) -> bytes:
            nonlocal count
            piece = read(most)
            count += len(piece)
            self._say(f"{words.size(count)}{total}")
            return piece

        return counted

    @property
    def watch(self) -> Callable[[bytes], None] | None:
        """What is to be told git's words; None where nobody wants to know."""
        return self._watch if self._is_terminal else None

    def _watch(self, said: bytes) -> None:
        lines = said.decode("utf-8", "replace").replace("\r", "\n").split("\n")
        if shares := [line for line in lines if "%" in line]:
            self._say(shares[-1].removeprefix("remote: "))

    def _say(self, text: str) -> None:
        if monotonic() - self._said >= _EVERY:
            self._said = monotonic()
            print(f"{_CLEAR}{self._head}: {words.escape(text[:60])}", end="", file=sys.stderr,
                  flush=True)  # fmt: skip
