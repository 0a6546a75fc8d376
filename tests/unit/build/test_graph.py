"""Which steps are one, and which run beside each other."""

from __future__ import annotations

from rootless.build.carry.graph import Graph
from rootless.build.plan import stages, steps
from rootless.dockerfile import parse
from rootless.oci.config import ImageConfig
from rootless.oci.platform import Platform

AMD64 = Platform.parse("linux/amd64")


def graph(text: str, fresh: str = "") -> Graph:
    """Of all stages of a Dockerfile, needed or not."""
    planned = stages.plan(parse(text.encode()), {}, AMD64)
    recipes: list[steps.Recipe] = []
    for stage in planned.stages:
        base = recipes[stage.base] if isinstance(stage.base, int) else ImageConfig(AMD64)
        recipes.append(steps.resolve(planned, stage, base))
    return Graph(recipes, "default", lambda recipe: recipe.stage.title == fresh)


def shown(text: str, fresh: str = "") -> list[str]:
    """Each strand's steps, after the strand it goes on from and those it waits for."""
    return [
        f"{strand.number}{sorted(strand.needs)}: "
        + ", ".join(node.step.text if node.step else "FROM" for node in strand.nodes)
        for strand in graph(text, fresh).strands
    ]


def test_one_stage_is_one_strand():
    assert shown("FROM x\nRUN a\nENV b=c\nRUN d") == ["0[]: FROM, RUN a, RUN d"]


def test_equal_steps_on_equal_layers_are_one():
    two = "FROM x AS a\nRUN 1\nRUN 2\nFROM x AS b\nRUN 1\nRUN 3\n"
    assert shown(two) == ["0[]: FROM, RUN 1", "1[0]: RUN 2", "2[0]: RUN 3"]


def test_equal_stages_are_one_and_both_end_there():
    found = graph("FROM x AS a\nRUN 1\nFROM x AS b\nRUN 1\nFROM scratch\nCOPY --from=a / /\n")
    assert found.ends[0] is found.ends[1]
    assert found.stages_of(found.strands[0]) == [0, 1]


def test_an_environment_or_another_base_makes_a_difference():
    assert len(shown("FROM x\nRUN 1\nFROM x\nENV a=b\nRUN 1")) == 3
    assert len(shown("FROM x\nRUN 1\nFROM y\nRUN 1")) == 2


def test_sources_of_a_copy_make_a_difference():
    assert len(shown("FROM x\nCOPY a /d\nFROM x\nCOPY b /d")) == 3
    assert len(shown("FROM x\nCOPY a /d\nFROM x\nCOPY a /d")) == 1
    assert len(shown("FROM x\nCOPY --from=i a /d\nFROM x\nCOPY --from=j a /d")) == 3
    assert len(shown("FROM x\nCOPY --from=i a /d\nFROM x\nCOPY --from=i a /d")) == 1


def test_steps_before_a_copy_do_not_wait_for_what_it_copies():
    text = "FROM x AS a\nRUN 1\nFROM y\nRUN 2\nCOPY --from=a /f /f\nRUN 3\n"
    assert shown(text) == [
        "0[]: FROM, RUN 1",
        "1[]: FROM, RUN 2",
        "2[0, 1]: COPY --from=a /f /f, RUN 3",
    ]


def test_a_copy_from_what_it_rests_on_waits_for_nothing_else():
    text = "FROM x AS a\nRUN 1\nFROM a\nCOPY --from=a /f /g\n"
    assert shown(text) == ["0[]: FROM, RUN 1", "1[0]: COPY --from=a /f /g"]


def test_a_stage_that_goes_on_from_another_does_not_delay_who_copies_from_that():
    text = "FROM x AS a\nRUN 1\nFROM a AS b\nRUN 2\nFROM x\nCOPY --from=a /f /\n"
    assert shown(text) == [
        "0[]: FROM",
        "1[0]: RUN 1",
        "2[1]: RUN 2",
        "3[0, 1]: COPY --from=a /f /",
    ]


def test_a_fresh_stage_shares_nothing_with_one_that_may_be_cached():
    two = "FROM x AS a\nRUN 1\nFROM x AS b\nRUN 1\n"
    assert len(shown(two)) == 1
    assert len(shown(two, fresh="b")) == 3


def test_stages_without_steps_end_at_their_base():
    found = graph("FROM x AS a\nFROM a AS b\nFROM scratch\nCOPY --from=b / /\n")
    assert found.stages_of(found.strands[0]) == [0, 1]
    assert [node.is_shown for node in found.nodes] == [True, False, True]


def test_thousands_of_stages():
    text = "FROM x AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\nRUN {n}\n" for n in range(2000))
    assert len(graph(text).strands) == 2001
