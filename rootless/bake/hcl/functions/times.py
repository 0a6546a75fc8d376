"""Functions of dates. Pure, but for timestamp."""

from __future__ import annotations

import datetime
import re

from rootless.bake.errors import BakeError
from rootless.bake.hcl.functions.signature import Function

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def _parsed(text: str) -> datetime.datetime:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text):
        raise BakeError(f"{text[:60]!r} is no date of RFC 3339, such as 2026-01-02T03:04:05Z")
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise BakeError(f"{text!r}: {error}") from None


def _shown(date: datetime.datetime) -> str:
    return date.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _zone(date: datetime.datetime, letters: str) -> str:
    offset = date.strftime("%z")
    if letters in ("Z", "ZZZ") and offset == "+0000":
        return "Z" if letters == "Z" else "UTC"
    return offset if letters in ("ZZZ", "ZZZZ") else f"{offset[:3]}:{offset[3:5]}"


def _piece(date: datetime.datetime, letters: str) -> str:
    hour = date.hour % 12 or 12
    pieces = {
        "YYYY": f"{date.year:04}", "YY": f"{date.year % 100:02}",
        "MMMM": _MONTHS[date.month - 1], "MMM": _MONTHS[date.month - 1][:3],
        "MM": f"{date.month:02}", "M": str(date.month),
        "DD": f"{date.day:02}", "D": str(date.day),
        "EEEE": _DAYS[date.weekday()], "EEE": _DAYS[date.weekday()][:3],
        "hh": f"{date.hour:02}", "h": str(date.hour), "HH": f"{hour:02}", "H": str(hour),
        "mm": f"{date.minute:02}", "m": str(date.minute),
        "ss": f"{date.second:02}", "s": str(date.second),
        "AA": "AM" if date.hour < 12 else "PM", "aa": "am" if date.hour < 12 else "pm",
    }  # fmt: skip
    if letters[0] == "Z" and len(letters) in (1, 3, 4, 5):
        return _zone(date, letters)
    if letters not in pieces:
        raise BakeError(f"{letters!r} is no part of a date")
    return pieces[letters]


def _formatted(pattern: str, text: str) -> str:
    date = _parsed(text)

    def filled(found: re.Match[str]) -> str:
        quoted, letters = found[1], found[2]
        return quoted.replace("''", "'") if quoted is not None else _piece(date, letters)

    return re.sub(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)", filled, pattern)


def _added(text: str, duration: str) -> str:
    date = _parsed(text)
    found = re.fullmatch(r"([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0)", duration)
    if not found:
        raise BakeError(f"{duration[:60]!r} is no duration, such as 1h30m")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", found[2])
    seconds = sum(float(count) * _UNITS[unit] for count, unit in parts)
    try:
        return _shown(date + datetime.timedelta(seconds=-seconds if found[1] == "-" else seconds))
    except OverflowError:
        raise BakeError("the date leaves the calendar") from None


def _now() -> str:
    return _shown(datetime.datetime.now(datetime.UTC))


FUNCTIONS = {
    "formatdate": Function("ss", _formatted),
    "timeadd": Function("ss", _added),
    "timestamp": Function("", _now),
}
