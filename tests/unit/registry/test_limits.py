"""What registries say of how often one may pull."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.registry import limits
from rootless.registry.limits import Limit

HUB = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "7;w=21600"}


def test_the_hubs_headers():
    limit = limits.parse(HUB)
    assert limit == Limit(100, 7, 21600)
    assert str(limit) == "7 more images may be pulled, of 100 in 6 hours"
    assert limit.is_near
    assert not limits.parse({**HUB, "RateLimit-Remaining": "76;w=21600"}).is_near
    assert limits.parse({**HUB, "RateLimit-Remaining": "0;w=21600"}).is_near


def test_no_headers_say_nothing():
    assert limits.parse({}) == Limit()
    assert not Limit().is_near
    assert Limit().quota == ""


@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "9999999999", ";w=3", "٣", "1;2"])
def test_what_is_no_number_is_unknown(text):
    limit = limits.parse({"RateLimit-Remaining": text, "Retry-After": text})
    assert limit.left in ({1} if text == "1;2" else {-1})
    assert limit.wait == 0


def test_when_there_is_more():
    assert limits.parse({"Retry-After": "90"}).wait == 90
    assert limits.parse({"RateLimit-Reset": "3600"}).wait == 3600
    date = formatdate(time.time() + 7200, usegmt=True)
    assert 7100 < limits.parse({"Retry-After": date}).wait <= 7201
    assert limits.parse({"Retry-After": formatdate(0, usegmt=True)}).wait == 0
    assert limits.parse({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}).wait == 864_000
    said = "1 more image may be pulled, of 100; there are more in 90 seconds"
    assert str(Limit(100, 1, 0, 90)) == said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (60, "1 minute"),
        (119, "119 seconds"),
        (121, "3 minutes"),
        (21_600, "6 hours"),
        (86_400, "1 day"),
        (200_000, "3 days"),
    ],
)
def test_spans(seconds, words):
    assert limits.span(seconds) == words


@given(st.dictionaries(st.sampled_from([*HUB, "Retry-After", "RateLimit-Reset"]), st.text()))
def test_any_headers_give_a_limit(headers):
    limit = limits.parse(headers)
    assert limit.wait >= 0
    assert str(limit).isprintable()
