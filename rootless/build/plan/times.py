"""When a layer was made, without asking a clock, so that the same inputs give the same image. Pure.

A step's moment is the newest of what it rests on and of the files that it copies: of its base
image's `created`, and of the times that files of the context have. Whatever the step makes that is
newer gets the moment as its time. With a SOURCE_DATE_EPOCH no moment is later than that; one that
is earlier anyway stays, so that a new epoch for every commit does not make every step anew. Where
nothing is known of the time it is the epoch, or 1980: before that there are no zip files.
"""

from __future__ import annotations

from time import gmtime, strftime

FLOOR = 315_532_800
_DAY = 86_400
_LAST = 253_402_300_799  # of the year 9999, which RFC 3339 ends with


def moment(natural: int, epoch: int | None) -> int:
    """The moment (seconds) of a step, whose inputs are from `natural`; that is 0 when unknown."""
    known = natural and max(natural, FLOOR)
    if epoch is None:
        return known or FLOOR
    return epoch if not known else min(known, epoch)


def text(seconds: int) -> str:
    """RFC 3339."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def seconds(text: str) -> int:
    """Whole seconds since 1970 of an RFC 3339 time; 0 for what is none, or from before 1970."""
    date, _, clock = text.partition("T")
    try:
        year, month, day = map(int, date.split("-"))
        hours, minutes, rest = clock[:8].split(":")
        passed = int(hours) * 3600 + int(minutes) * 60 + int(rest) - _offset(clock[8:])
        found = _days(year, month, day) * _DAY + passed
    except ValueError:
        return 0
    return found if 0 <= found <= _LAST else 0


def _offset(rest: str) -> int:
    """Seconds east of Greenwich, behind a fraction or not."""
    zone = rest.lstrip(".0123456789")
    if zone[:1] not in ("+", "-"):
        return 0
    hours, minutes = zone[1:].split(":")
    east = int(hours) * 3600 + int(minutes) * 60
    return east if zone[0] == "+" else -east


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970; the year begins in March here, so that a leap day is its last."""
    year -= month < 3
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
