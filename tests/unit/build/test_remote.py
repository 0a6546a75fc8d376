"""What a shared cache says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.build.cache.remote import Known, Shared
from rootless.errors import IntegrityError
from rootless.oci.digest import Digest

KNOWN = Known(
    {"k": Shared(Digest.of(b"1"), "2025-01-02T03:04:05Z", "2026-01-02T03:04:05Z")},
    {"c": "d" * 64},
    {"m": Digest.of(b"2")},
)


def test_what_is_written_is_read():
    assert Known.parse(KNOWN.encode()) == KNOWN


def test_the_order_of_keys_does_not_matter():
    steps = {"b": KNOWN.steps["k"], "a": KNOWN.steps["k"]}
    other = dict(reversed(steps.items()))
    assert Known(steps, {}).encode() == Known(other, {}).encode()


def test_another_version_is_nothing():
    assert Known.parse('{"version": 2, "steps": 5}') == Known()


@given(st.text())
def test_anything_else_is_an_error_or_nothing(text):
    try:
        assert Known.parse(text) == Known()
    except IntegrityError:
        pass


@pytest.mark.parametrize("step", ["5", '["x"]', '["sha256:5", ""]', "[1, 2]", "{}", '""'])
def test_a_step_is_a_digest_and_a_time(step):
    with pytest.raises(IntegrityError):
        Known.parse('{"version":1,"contents":{},"steps":{"k":' + step + "}}")
