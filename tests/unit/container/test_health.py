"""Docker's rules of health, as docker 28 followed them when it was asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless import record_json
from rootless.container import health
from rootless.container.health import Check, Health
from rootless.oci.config import Healthcheck

SECOND = 1_000_000_000
RULE = Healthcheck(("CMD-SHELL", "true"), interval=SECOND, retries=2)


def after(codes: str, rule: Healthcheck = RULE, *, every: float = 1.0) -> Health:
    """What checks with these exit codes, one digit each, make of a container."""
    found = Health()
    for number, code in enumerate(codes, 1):
        found = found.after(Check(number * every, number * every, int(code)), rule, 0)
    return found


@pytest.mark.parametrize(
    ("codes", "status", "streak"),
    [
        ("", "starting", 0),
        ("0", "healthy", 0),
        ("1", "starting", 1),
        ("11", "unhealthy", 2),
        ("111", "unhealthy", 3),
        ("01", "healthy", 1),
        ("011", "unhealthy", 2),
        ("0101", "healthy", 1),
        ("110", "healthy", 0),
        ("1101", "healthy", 1),
    ],
)
def test_it_is_what_its_checks_say(codes, status, streak):
    found = after(codes)
    assert (found.status, found.streak) == (status, streak)


def test_three_failures_are_usual():
    rule = RULE.replace(retries=0)
    assert [after("1" * count, rule).status for count in (2, 3)] == ["starting", "unhealthy"]


def test_failures_while_it_starts_do_not_count_until_it_was_healthy():
    rule = RULE.replace(retries=1, start_period=3 * SECOND)
    assert [(one.status, one.streak) for one in (after("11", rule), after("111", rule))] == [
        ("starting", 0),
        ("unhealthy", 1),
    ]
    assert after("01", rule).status == "unhealthy"


def test_the_last_five_checks_are_kept_over_a_restart():
    found = after("12345")
    assert [one.exit_code for one in found.log] == [1, 2, 3, 4, 5]
    found = after("1234567")
    assert [one.exit_code for one in found.log] == [3, 4, 5, 6, 7]
    assert found.begun_anew() == Health("starting", 0, found.log)


@pytest.mark.parametrize(
    ("rule", "status", "age", "pause"),
    [
        (Healthcheck(("CMD", "x")), "starting", 0, 30),
        (Healthcheck(("CMD", "x"), interval=SECOND), "starting", 0, 1),
        (Healthcheck(("CMD", "x"), interval=SECOND, start_period=60 * SECOND), "starting", 1, 5),
        (Healthcheck(("CMD", "x"), interval=SECOND, start_period=60 * SECOND), "starting", 61, 1),
        (Healthcheck(("CMD", "x"), interval=SECOND, start_period=60 * SECOND), "healthy", 1, 1),
        (
            Healthcheck(("CMD", "x"), start_period=60 * SECOND, start_interval=SECOND // 2),
            "starting",
            1,
            0.5,
        ),
    ],
)
def test_when_the_next_check_is_made(rule, status, age, pause):
    assert Health(status).pause(rule, age) == pause


@pytest.mark.parametrize(
    ("test", "argv"),
    [
        ((), ()),
        (("NONE",), ()),
        (("CMD",), ()),
        (("CMD-SHELL",), ()),
        (("CMD-SHELL", "a b"), ("/bin/sh", "-c", "a b")),
        (("CMD", "a", "b c"), ("a", "b c")),
        (("WHAT", "x"), ()),
    ],
)
def test_what_is_executed(test, argv):
    assert health.command(Healthcheck(test)) == argv
    assert (health.rule(Healthcheck(test)) is None) == (argv == ())


def test_the_user_s_words_are_before_the_image_s():
    image = Healthcheck(("CMD", "image"), 1, 2, 3, 4, 5)
    assert health.merged(None, image) == image
    assert health.merged(Healthcheck(("CMD", "own")), None) == Healthcheck(("CMD", "own"))
    assert health.merged(Healthcheck(("NONE",)), image) == Healthcheck(("NONE",))
    assert health.merged(Healthcheck((), 9), image) == image.replace(interval=9)
    assert health.merged(Healthcheck(("CMD", "own"), retries=7), image) == image.replace(
        test=("CMD", "own"), retries=7
    )


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(-1, 255))
def test_it_is_read_back_as_it_was_written(output, code):
    found = after("10").after(Check(1.5, 2.5, code, output), RULE, 0)
    assert health.decode(record_json.encode(found, whole=True)) == found
