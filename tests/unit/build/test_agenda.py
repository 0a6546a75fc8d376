"""Which strands are looked at, and in which order."""

from __future__ import annotations

from rootless.build.carry.agenda import Agenda
from tests.unit.build.test_graph import graph

TWO = "FROM x AS a\nRUN 1\nFROM y\nRUN 2\nCOPY --from=a /f /f\nRUN 3\n"


def walk(text: str, cached: set[int], *, whole: bool = False) -> list[int]:
    """The strands that are carried out, in order, when those of `cached` need not be."""
    found = graph(text)
    last = found.nodes[-1].recipe
    agenda = Agenda(found, last, whole=whole)
    done: set[int] = set()
    carried = []
    while agenda:
        strand = agenda.next(done)
        assert strand is not None, "nobody can go on"
        if strand.number not in cached:
            agenda.missed(strand)
        if strand.number in cached or strand.needs <= done:
            agenda.settled(strand)
            done.add(strand.number)
            carried += [strand.number] if strand.number not in cached else []
    return carried


def test_a_stage_that_is_copied_from_is_not_looked_at_for_a_copy_that_is_cached():
    assert walk(TWO, {1, 2}) == []


def test_it_is_where_the_copy_is_not():
    assert walk(TWO, {1}) == [0, 2]


def test_all_at_once_where_nothing_is_cached():
    found = graph(TWO)
    agenda = Agenda(found, found.nodes[-1].recipe, whole=False)
    first = agenda.next(set())
    assert first is not None
    agenda.missed(first)
    agenda.settled(first)
    second = agenda.next(set())
    assert second is not None
    assert {first.number, second.number} == {0, 1}


def test_a_whole_graph_is_looked_at():
    assert walk(TWO, {1, 2}, whole=True) == [0]
