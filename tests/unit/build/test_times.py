"""The time of what a step makes, and RFC 3339 without a calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.build.plan import times


@given(st.integers(0, 253_402_300_799))
def test_text_and_back(moment):
    assert times.seconds(times.text(moment)) == moment


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
)
def test_any_zone_and_fraction(when, minutes):
    there = when.replace(tzinfo=UTC) - timedelta(minutes=minutes)
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{when:%Y-%m-%dT%H:%M:%S}.123456789{sign}{hours:02}:{rest:02}"
    text = text.replace(f"{when:%Y}-", f"{when.year:04}-", 1)
    assert times.seconds(text) == int(there.replace(microsecond=0).timestamp())


@pytest.mark.parametrize(
    "text", ["", "yesterday", "0001-01-01T00:00:00Z", "2020-01-01", "1-2-3T4:5"]
)
def test_what_is_no_time_is_unknown(text):
    assert times.seconds(text) == 0


@pytest.mark.parametrize(
    ("natural", "epoch", "expected"),
    [
        (0, None, times.FLOOR),
        (5, None, times.FLOOR),
        (1_600_000_000, None, 1_600_000_000),
        (0, 1_500_000_000, 1_500_000_000),
        (1_600_000_000, 1_500_000_000, 1_500_000_000),
        (1_400_000_000, 1_500_000_000, 1_400_000_000),
        (5, 0, 0),
        (5, 1_500_000_000, times.FLOOR),
    ],
)
def test_moment(natural, epoch, expected):
    assert times.moment(natural, epoch) == expected
