"""What can be wrong in a bake definition, with the place in its file. Pure."""

from __future__ import annotations

from rootless.errors import RootlessError
from rootless.record import Record


class Place(Record):
    """A character of a file: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class BakeError(RootlessError):
    """A definition that cannot be understood. `place` is where, when it is one place."""

    def __init__(
        self, message: str, place: Place | None = None, *, hint: str | None = None
    ) -> None:
        super().__init__(f"{place}: {message}" if place else message, hint=hint)
        self.plain = message
        self.place = place
