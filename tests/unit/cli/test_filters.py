"""--filter as docker reads it: keys, labels, and times in all their spellings."""

from __future__ import annotations

import time

import pytest

from rootless.cli import filters
from rootless.cli.parser import CommandLineError
from rootless.errors import UsageError

KEYS = ("until", "label", "label!", "dangling")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86_400),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        ("10m10s", 610),
        ("1m1ms", 60.001),
        ("2d", 172_800),
        ("", None),
        ("10", None),
        ("h", None),
        ("1.2.3h", None),
        ("1hx", None),
        ("1h ", None),
        ("-1h", None),
    ],
)
def test_durations(text, seconds):
    assert filters.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("0", 0.0),
        ("1700000000.5", 1_700_000_000.5),
        ("2026-01-31T10:00:00Z", 1_769_853_600.0),
        ("2026-01-31T10:00:00.123456789+01:00", 1_769_850_000.123456),
    ],
)
def test_times(text, moment):
    assert filters.moment(text) == moment


def test_a_duration_is_before_now():
    assert time.time() - 3_601 < filters.moment("1h") <= time.time() - 3_600


@pytest.mark.parametrize("text", ["", "nonsense", "2026-13-01", "1.2.3", "9" * 400 + "-01-01"])
def test_what_is_no_time(text):
    with pytest.raises(UsageError, match="failed to parse value as time or duration"):
        filters.parse([f"until={text}"], KEYS)


def test_labels():
    asked = filters.parse(["label=a", "label=b=1", "label!=c=x"], KEYS)
    assert asked.has_labels({"a": "", "b": "1", "c": "y"})
    assert not asked.has_labels({"a": "", "b": "2"})
    assert not asked.has_labels({"b": "1"})
    assert not asked.has_labels({"a": "", "b": "1", "c": "x"})
    assert filters.parse([], KEYS).has_labels({})


def test_the_earliest_time_counts():
    asked = filters.parse(["until=100", "until=50"], KEYS)
    assert asked.is_old_enough(49)
    assert not asked.is_old_enough(50)


def test_mistakes():
    with pytest.raises(CommandLineError, match="expected name=value"):
        filters.parse(["label"], KEYS)
    with pytest.raises(UsageError, match="invalid filter 'colour'"):
        filters.parse(["colour=red"], KEYS)
    with pytest.raises(UsageError, match="invalid filter 'dangling=maybe'"):
        filters.parse(["dangling=maybe"], KEYS).flag("dangling")
