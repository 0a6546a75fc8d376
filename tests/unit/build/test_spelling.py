"""What Go prints, from docker's own answers."""

import pytest

from rootless.build.plan import spelling
from rootless.oci.config import Healthcheck

SECOND = 10**9


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0s"),
        (5 * SECOND, "5s"),
        (90 * SECOND, "1m30s"),
        (7200 * SECOND, "2h0m0s"),
        (3661 * SECOND + 500_000_000, "1h1m1.5s"),
        (500_000_000, "500ms"),
        (1_500_000, "1.5ms"),
        (1_000, "1µs"),
        (7, "7ns"),
        (1_050_000_000, "1.05s"),
    ],
)
def test_durations(nanoseconds, shown):
    assert spelling.duration(nanoseconds) == shown


@pytest.mark.parametrize(
    ("retries", "shown"),
    [(0, r"\x00"), (1, r"\x01"), (7, r"\a"), (13, r"\r"), (31, r"\x1f"), (39, r"\'"), (65, "A")],
)
def test_a_health_check(retries, shown):
    check = Healthcheck(("CMD", 'a "b"'), 5 * SECOND, 0, 0, 0, retries)
    said = r'&{["CMD" "a \"b\""] "5s" "0s" "0s" "0s" ' + f"'{shown}'" + "}"
    assert spelling.healthcheck(check) == said
