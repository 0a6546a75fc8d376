"""Human words are docker's, and nothing an image says reaches the terminal raw."""

import pytest

from rootless.cli import words


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1kB"),
        (4_269_678, "4.27MB"),
        (13_256, "13.3kB"),
        (187_000_000, "187MB"),
        (999_600, "1MB"),
        (1_240_000_000, "1.24GB"),
    ],
)
def test_sizes(count, said):
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "Less than a second ago"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "About a minute ago"),
        (150, "2 minutes ago"),
        (3600, "About an hour ago"),
        (7200, "2 hours ago"),
        (3 * 86400, "3 days ago"),
        (15 * 86400, "2 weeks ago"),
        (90 * 86400, "3 months ago"),
        (3 * 366 * 86400, "3 years ago"),
    ],
)
def test_ages(seconds, said):
    assert words.age(seconds) == said


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T00:00:10.123456789Z", 10.123456),
        ("1970-01-01T01:00:10.5+01:00", 10.5),
        ("", 0),
        ("yesterday", 0),
    ],
)
def test_times_as_go_writes_them(created, seconds):
    assert words.timestamp(created) == pytest.approx(seconds)


def test_columns_are_dockers():
    rows = [("REPOSITORY", "TAG", "SIZE"), ("busybox", "latest", "4.27MB")]
    assert list(words.columns(rows)) == [
        "REPOSITORY   TAG       SIZE",
        "busybox      latest    4.27MB",
    ]


def test_terminal_commands_are_made_visible():
    assert words.escape("a\x1b[31mb\u202ec\nd") == "a\\x1b[31mb\\u202ec\\nd"
    assert words.escape("a\nb\x07", lines=True) == "a\nb\\x07"
    assert words.escape("größe ✓") == "größe ✓"
