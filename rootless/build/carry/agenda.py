"""Which strands are to be looked at, and when: those that the target turns out to need. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set

    from rootless.build.carry.graph import Graph, Strand
    from rootless.build.plan.steps import Recipe


class Agenda:
    """The strands that are wanted and not settled yet."""

    def __init__(self, graph: Graph, target: Recipe, *, whole: bool) -> None:
        """At first the target's, with all that it lies on; or the `whole` graph's."""
        self._graph = graph
        self._wanted: list[int] = []  # ascending: each comes after those that it needs
        self._waiting: set[int] = set()
        self._known: set[int] = set()
        if whole:
            self._add({strand.number for strand in graph.strands})
        else:
            self._add(self._line(graph.strand_of(target.stage.number)))

    def __len__(self) -> int:
        return len(self._wanted)

    def __contains__(self, strand: Strand) -> bool:
        return strand.number in self._wanted

    def next(self, done: Set[int]) -> Strand | None:
        """One that can be looked at: what it lies on is there, and, if it was looked at before,
        all else that it needs.
        """
        for number in self._wanted:
            strand = self._graph.strands[number]
            lies_on = set() if strand.below is None else {strand.below.number}
            if (strand.needs if number in self._waiting else lies_on) <= done:
                return strand
        return None

    def missed(self, strand: Strand) -> None:
        """A strand is not cached: it, and all that lies on it, must wait for all that they need."""
        self._waiting.add(strand.number)
        before = -1
        while before != len(self._known):
            before = len(self._known)
            for number in tuple(self._wanted):
                self._spread(self._graph.strands[number])

    def waiting(self) -> list[Strand]:
        """Those that lie on one that is not cached."""
        strands = [self._graph.strands[number] for number in sorted(self._waiting)]
        return [one for one in strands if one.below and one.below.number in self._waiting]

    def _spread(self, strand: Strand) -> None:
        if strand.below and strand.below.number in self._waiting:
            self._waiting.add(strand.number)
        if strand.number in self._waiting:
            for number in strand.needs - self._known:
                self._add(self._line(self._graph.strands[number]))

    def settled(self, strand: Strand) -> None:
        """Nothing of a strand is left to look at."""
        self._wanted.remove(strand.number)

    def _line(self, strand: Strand | None) -> set[int]:
        """A strand and those that it lies on."""
        found = set()
        while strand and strand.number not in self._known:
            found.add(strand.number)
            strand = strand.below
        return found

    def _add(self, numbers: set[int]) -> None:
        new = numbers - self._known
        self._known |= new
        self._wanted = sorted([*self._wanted, *new])
