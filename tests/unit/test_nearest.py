"""`did you mean`: which names are near, and that asking is cheap."""

from __future__ import annotations

import pytest

from rootless import nearest


@pytest.mark.parametrize(
    ("wanted", "known", "found"),
    [
        ("oen", ["one", "two"], "one"),
        ("builer", ["base", "builder", "final"], "builder"),
        ("Builder", ["builder"], "builder"),
        ("readme.md", ["README.md", "src"], "README.md"),
        ("VERSON", ["VERSION", "PERSON"], "VERSION"),
        ("--taget", ["--target", "--tag"], "--target"),
    ],
)
def test_finds_the_name_that_was_meant(wanted, known, found):
    assert nearest.names(wanted, known) == (found,)


@pytest.mark.parametrize("wanted", ["", "zzzzzz", "x" * 100_000])
def test_says_nothing_when_nothing_is_near(wanted):
    assert nearest.names(wanted, ["one", "two", "y" * 100_000, ""]) == ()
    assert nearest.hint(wanted, ["one", "two"]) is None


def test_the_wanted_name_itself_is_no_answer():
    assert nearest.names("one", ["one"]) == ()


def test_several_come_likeliest_first():
    assert nearest.names("imags", ["image", "images", "info"], count=2) == ("images", "image")


def test_a_hint_is_a_question():
    assert nearest.hint("form", ["from", "to"], prefix="--") == "did you mean --from?"


def test_a_million_names_do_not_take_for_ever():
    assert nearest.names("n" * 128, ("m" * 100 + str(one) for one in range(1_000_000))) == ()


@pytest.mark.parametrize(
    ("wanted", "known", "is_slip"),
    [
        ("oen", "one", True),
        ("biulder", "builder", True),
        ("bulder", "builder", True),
        ("buillder", "builder", True),
        ("builfer", "builder", True),
        ("builder", "builder", False),
        ("bash", "base", False),
        ("node", "node1", False),
        ("node1", "node2", False),
        ("python", "python-base", False),
        ("go", "og", False),
        ("", "one", False),
        ("app", "apps", False),
        ("x" * 100_000, "x" * 100_001, False),
    ],
)
def test_a_slip_of_the_finger_is_no_other_word(wanted, known, is_slip):
    assert nearest.is_slip(wanted, known) is is_slip
    assert nearest.is_slip(known, wanted) is is_slip
