"""How things are said: sizes, ages and columns as docker prints them, and text made safe.

Strings that come from an image are somebody else's: they go through `escape` before a terminal
sees them.
"""

from __future__ import annotations

import os
import sys

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TextIO

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: int, digits: int = 3) -> str:
    """A number of bytes in units of 1000, as in 4.27MB; docker writes sums with 4 digits."""
    value, unit = float(count), 0
    while value >= 1000 - 0.5 * 10 ** (3 - digits) and unit + 1 < len(_UNITS):
        value, unit = value / 1000, unit + 1
    return f"{value:.{digits}g}{_UNITS[unit]}"


def age(seconds: float) -> str:
    """How long ago, as docker says it."""
    minutes, hours = int(seconds // 60), int(seconds / 3600 + 0.5)
    if seconds < 1:
        said = "Less than a second"
    elif minutes < 1:
        said = "1 second" if int(seconds) == 1 else f"{int(seconds)} seconds"
    elif minutes < 60:
        said = "About a minute" if minutes == 1 else f"{minutes} minutes"
    elif hours < 48:
        said = "About an hour" if hours == 1 else f"{hours} hours"
    elif hours < 24 * 14:
        said = f"{hours // 24} days"
    elif hours < 24 * 60:
        said = f"{hours // 24 // 7} weeks"
    elif hours < 24 * 365 * 2:
        said = f"{hours // 24 // 30} months"
    else:
        said = f"{hours // 24 // 365} years"
    return f"{said} ago"


def since(created: str) -> str:
    """How long ago an RFC 3339 time was; N/A for an empty or impossible one."""
    import time

    moment = timestamp(created)
    return age(max(0.0, time.time() - moment)) if moment > 0 else "N/A"


def moment(created: str) -> str:
    """An RFC 3339 time as docker prints it, to the second and in the local zone."""
    import time

    seconds = timestamp(created)
    if seconds <= 0:
        return "N/A"
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def rfc3339(created: str) -> str:
    """An RFC 3339 time as docker prints it in a history, to the second and in the local zone."""
    import time

    seconds = timestamp(created)
    if seconds <= 0:
        return "N/A"
    zone = time.strftime("%z", time.localtime(seconds))
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds)) + shown


def timestamp(created: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 for an empty or impossible one."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(microseconds(created))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def microseconds(created: str) -> str:
    """RFC 3339 with Go's nanoseconds cut to what Python reads."""
    whole, dot, rest = created.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{whole}{dot}{digits[:6]}{rest[len(digits) :]}"


def columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines of a table, as docker lays it out: 3 spaces between, 10 characters at least.

    A column is as wide as the widest cell of the rows one after the other that have it; the last
    cell of a row belongs to no column.
    """
    widths = [[0] * (len(row) - 1) for row in rows]
    for place in range(max(map(len, widths), default=0)):
        run: list[int] = []
        for number in range(len(rows) + 1):
            if number < len(rows) and len(widths[number]) > place:
                run.append(number)
                continue
            width = max([10, *(len(rows[one][place]) + 3 for one in run)])
            for one in run:
                widths[one][place] = width
            run = []
    for row, wide in zip(rows, widths, strict=True):
        padded = [cell.ljust(width) for cell, width in zip(row, wide, strict=False)]
        yield "".join([*padded, *row[-1:]])


def escape(text: str, *, lines: bool = False) -> str:
    """`text` with what would command a terminal made visible; `lines` keeps newlines and tabs."""
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        char if char.isprintable() or char in kept else repr(char)[1:-1] for char in text
    )


def warn(text: str) -> None:
    """A line of its own, where errors go."""
    print(escape(text), file=sys.stderr, flush=True)


def colours(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether to colour what goes to `stream`: a terminal, and NO_COLOR (no-color.org) not set."""
    wanted = not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return wanted and os.isatty(stream.fileno())


def paint(text: str, code: str, colour: bool) -> str:  # noqa: FBT001
    """`text` in a terminal's colour `code` if `colour`."""
    return f"\033[{code}m{text}\033[0m" if colour else text


def fields(text: str, flag: str) -> list[str]:
    """The fields of `type=TYPE,KEY=VALUE,…`, which is a line of CSV as docker reads it."""
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration) as error:
        raise UsageError(f"{flag} {text!r}: {error}", hint="write type=TYPE,KEY=VALUE") from None
