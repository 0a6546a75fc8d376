"""Which stages are needed, and in which order; Dockerfiles of any length."""

from __future__ import annotations

import pytest

from rootless.build.plan import stages
from rootless.build.plan.recipes import Recipes
from rootless.dockerfile import parse
from rootless.oci.platform import Platform

AMD64 = Platform.parse("linux/amd64")


def needed(text):
    def fetch(reference, _platform):
        raise AssertionError(f"{reference} is not needed")

    recipes = Recipes(stages.plan(parse(text.encode()), {}, AMD64), fetch, has_context=True)
    assert recipes.target is recipes.ordered[-1]
    return [recipe.stage.number for recipe in recipes.ordered]


def test_only_what_is_needed_in_the_order_of_the_dockerfile():
    text = (
        "FROM scratch AS a\nFROM none AS unused\nFROM scratch AS b\nCOPY --from=a / /\n"
        "FROM unused\nFROM a AS c\nCOPY --from=b / /\nFROM c\nCOPY --from=a / /\n"
    )
    assert needed(text) == [0, 2, 4, 5]


@pytest.mark.parametrize(
    "line",
    ["FROM s{0} AS s{1}\nLABEL a=b", "FROM scratch AS s{1}\nCOPY --from=s{0} / /"],
    ids=["built on each other", "copied from each other"],
)
def test_a_chain_of_thousands(line):
    lines = "\n".join(line.format(number, number + 1) for number in range(2000))
    assert len(needed(f"FROM scratch AS s0\n{lines}\n")) == 2001


def test_ten_thousand_variables():
    """A config made anew for each took a minute."""
    lines = "".join(f"ENV A{number}=b\n" for number in range(10_000))
    planned = stages.plan(parse(f"FROM scratch\n{lines}ENV A0=c\n".encode()), {}, AMD64)

    def fetch(reference, _platform):
        raise AssertionError(f"{reference} is not needed")

    env = Recipes(planned, fetch, has_context=True).target.config.env
    assert (len(env), env[1], env[-1]) == (10_001, "A0=c", "A9999=b")
