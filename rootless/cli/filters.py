"""--filter KEY=VALUE of `images` and the prunes: parsed once, then asked about each thing.

docker's rules: each label must be there, no `label!` may be, a time is one or a duration before
now. Pure but for the clock.
"""

from __future__ import annotations

from rootless.cli import words
from rootless.cli.parser import CommandLineError
from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86_400,
}
_BOOLEANS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


class Filters(Record):
    """What was asked for, key by key, in the order in which it was given."""

    pairs: tuple[tuple[str, str], ...] = ()

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key."""
        return tuple(value for one, value in self.pairs if one == key)

    def flag(self, key: str) -> bool | None:
        """A yes or no; None when it was not asked. The last one counts."""
        found = None
        for value in self.values(key):
            found = _BOOLEANS.get(value.lower())
            if found is None:
                raise UsageError(
                    f"invalid filter '{key}={value}'", hint=f"write {key}=true or {key}=false"
                )
        return found

    def patterns(self, key: str) -> list[re.Pattern[str]]:
        """The values of a key as regular expressions, which are looked for anywhere."""
        import re

        try:
            return [re.compile(text) for text in self.values(key)]
        except re.error as error:
            raise UsageError(f"invalid filter '{key}': {error}") from None

    @property
    def until(self) -> float | None:
        """Only what was made before this time counts: seconds since 1970, the earliest of all."""
        return min(map(moment, self.values("until")), default=None)

    @property
    def asks_labels(self) -> bool:
        """Whether `has_labels` can say no."""
        return bool(self.values("label") or self.values("label!"))

    def has_labels(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is meant."""
        wanted = all(_has(labels, one) for one in self.values("label"))
        return wanted and not any(_has(labels, one) for one in self.values("label!"))

    def is_old_enough(self, created: float) -> bool:
        """Whether something made at this time is meant."""
        until = self.until
        return until is None or created < until


def parse(texts: Sequence[str], known: Sequence[str]) -> Filters:
    """The filters in `texts`, whose keys are among `known`; `label!=x` has the key `label!`."""
    pairs = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandLineError(
                f'invalid argument "{text}" for "--filter" flag: '
                "bad format of filter (expected name=value)",
                hint=_known(known),
            )
        key = key.strip().lower()
        if key not in known:
            raise UsageError(f"invalid filter '{key}'", hint=_known(known))
        pairs.append((key, value.strip()))
    filters = Filters(tuple(pairs))
    filters.until  # noqa: B018 - complain now
    return filters


def _known(keys: Sequence[str]) -> str:
    return f"filters are {', '.join(f'{key}=…' for key in keys)}"


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def moment(text: str) -> float:
    """Seconds since 1970 of a duration before now (`1h30m`), a time stamp, a date or a time."""
    import time

    if (seconds := duration(text)) is not None:
        return time.time() - seconds
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    return _date(text)


def duration(text: str) -> float | None:
    """Seconds of a duration as Go writes it, days too; None for what is none."""
    seconds, rest = 0.0, text
    while rest:
        unit = rest.lstrip("0123456789.")
        number = rest[: len(rest) - len(unit)]
        name = unit[: len(unit) - len(unit.lstrip("nuµmshd"))]
        name = name if name in _SECONDS else name[:1]
        if name not in _SECONDS or number.count(".") > 1 or not number.strip("."):
            return None
        seconds += float(number) * _SECONDS[name]
        rest = unit[len(name) :]
    return seconds if text else None


def _date(text: str) -> float:
    """A time of this machine's zone, unless it names its own."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(words.microseconds(text)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f'failed to parse value as time or duration: "{text}"',
            hint="write a duration as 24h, a date as 2026-01-31, a time as 2026-01-31T12:00:00",
        ) from None
