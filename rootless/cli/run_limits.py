"""The flags that limit a container, as a value: docker's spellings and its words for wrong ones."""

from __future__ import annotations

import os

from rootless.container import limits
from rootless.container.limits import Limits
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_SUFFIXES = {
    **dict.fromkeys(("", "b"), 0),
    **{
        f"{letter}{rest}": 10 * power
        for power, letter in enumerate("kmgtp", 1)
        for rest in ("", "b", "ib")
    },
}
_SIZES = ("memory", "memory_reservation")
_INTEGERS = ("memory_swappiness", "cpu_period", "cpu_quota", "cpu_shares", "pids_limit")
_TEXTS = ("cpuset_cpus", "cpuset_mems")
_LONGEST_NUMBER = 24
_MOST = (1 << 63) - 1
_MOST_BLKIO = (1 << 16) - 1
FIELDS = (
    *(*_SIZES, *_INTEGERS, *_TEXTS, "memory_swap", "cpus", "blkio_weight"),
    *("oom_kill_disable", "cgroup_parent", "cgroups"),
)
"""Of the arguments of `run`; `update` has some of them."""


def fill(
    _given: Settings, arguments: Arguments, spec: dict[str, Any], _changes: dict[str, Any]
) -> None:
    """As `run_flags` has it."""
    spec["limits"] = read(arguments)


def read(arguments: Arguments) -> Limits:
    """What the flags say, checked; UsageError names the flag and the value that is wrong."""
    if all(getattr(arguments, field, None) in (None, False) for field in FIELDS):
        return Limits()
    return limits.check(parse(arguments), os.cpu_count() or 1)


def parse(arguments: Arguments) -> Limits:
    """What the flags say, each by itself."""
    every = {field: getattr(arguments, field, None) for field in FIELDS}
    given = {field: value for field, value in every.items() if value is not None}
    found: dict[str, object] = {name: given[name] for name in _TEXTS if name in given}
    found |= {name: size(_flag(name), given[name]) for name in _SIZES if name in given}
    found |= {name: _integer(_flag(name), given[name]) for name in _INTEGERS if name in given}
    if (swap := given.get("memory_swap")) is not None:
        found["memory_swap"] = -1 if swap == "-1" else size("--memory-swap", swap)
    if (cpus := given.get("cpus")) is not None:
        found["nano_cpus"] = _nano(cpus)
    if (blkio := given.get("blkio_weight")) is not None:
        found["blkio_weight"] = _unsigned("--blkio-weight", blkio)
    return Limits(
        oom_kill_disable=bool(given.get("oom_kill_disable")),
        cgroup_parent=str(given.get("cgroup_parent", "")),
        mode=str(given.get("cgroups", "")),
        **found,  # type: ignore[arg-type]  # each has its field's type
    )


def _flag(field: str) -> str:
    short = {"memory": "-m, ", "cpu_shares": "-c, "}.get(field, "")
    return f"{short}--{field.replace('_', '-')}"


def size(flag: str, text: str) -> int:
    """Bytes, as docker reads them: 64m, 1.5GiB, '512 kb'; units of 1024."""
    number = text.rstrip("bkmgtpiBKMGTPI ") if text[:1] not in "+-" else ""
    suffix = text[len(number) :].removeprefix(" ").lower()
    wrong = ""
    value = _decimal(number)
    if value is None:
        lead = len(text) - len(text.lstrip("0123456789."))
        unit = text[lead:].removeprefix(" ").lower()
        wrong = f"invalid suffix: '{unit}'" if lead and _decimal(text[:lead]) is not None else ""
        wrong = wrong or f"invalid size: '{text}'"
    elif suffix not in _SUFFIXES:
        wrong = f"invalid suffix: '{suffix}'"
    if wrong or value is None:
        raise _invalid(flag, text, wrong, "write it as in 64m or 1g")
    return min(int(value * (1 << _SUFFIXES[suffix])), _MOST)


def _decimal(text: str) -> float | None:
    """A number that is not negative, also as in 1e3."""
    if len(text) > _LONGEST_NUMBER or not text or not text.strip().isascii():
        return None
    if text.strip("0123456789.eE+-"):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e30 else None


def _integer(flag: str, text: str) -> int:
    """Go's int64 with base 10, or 0x, 0o, 0b."""
    try:
        if "_" in text or len(text) > _LONGEST_NUMBER or text != text.strip():
            raise ValueError
        value = int(text, 0)
    except ValueError:
        wrong = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise _invalid(flag, text, wrong, "write a whole number") from None
    if not -_MOST - 1 <= value <= _MOST:
        wrong = f'strconv.ParseInt: parsing "{text}": value out of range'
        raise _invalid(flag, text, wrong, "write a smaller number")
    return value


def _unsigned(flag: str, text: str) -> int:
    """Go's uint16."""
    if not text.isdecimal() or not text.isascii():
        wrong = f'strconv.ParseUint: parsing "{text}": invalid syntax'
    elif len(text) > _LONGEST_NUMBER or int(text) > _MOST_BLKIO:
        wrong = f'strconv.ParseUint: parsing "{text}": value out of range'
    else:
        return int(text)
    raise _invalid(flag, text, wrong, "write a number from 10 to 1000")


def _nano(text: str) -> int:
    """Billionths of a processor: 1.5, .5, 1/2, 1e-1."""
    from fractions import Fraction

    try:
        if len(text) > _LONGEST_NUMBER or text != text.strip() or "_" in text:
            raise ValueError
        exponent = text.lower().partition("e")[2]
        if len(exponent) > 3:
            raise ValueError
        nano = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        wrong = f"failed to parse {text} as a rational number"
        raise _invalid("--cpus", text, wrong, "write --cpus 0.5") from None
    if nano.denominator != 1:
        raise _invalid("--cpus", text, "value is too precise", "write at most nine decimals")
    return int(nano)


def _invalid(flag: str, text: str, wrong: str, hint: str) -> UsageError:
    return UsageError(f'invalid argument "{text}" for "{flag}" flag: {wrong}', hint=hint)
