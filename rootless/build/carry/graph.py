"""A build as a graph: a node for every FROM and every step, cut into strands. Pure.

Steps that do the same to the same are one node, whichever stages they stand in, so each is carried
out once (BuildKit merges equal vertices likewise). That is known without reading anything: a node
is what it does, what it rests on, and which nodes it reads from.

A strand is a run of nodes that one process carries out, each on the one before. It ends where a
stage ends and where stages part, and begins anew where it has to wait for another: a stage's own
steps run beside the stage that it copies from.
"""

from __future__ import annotations

from rootless.build.plan import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rootless.build.plan.steps import Recipe, Step


class Node:
    """A step of `recipe`, the first that has it, on the node `below`; without `step`, its FROM.

    `place` is its place in the stage, from 1; `reads` are the nodes at the ends of the stages that
    it copies from. `is_fresh` forbids the cache.
    """

    def __init__(
        self,
        recipe: Recipe,
        step: Step | None,
        below: Node | None,
        place: int,
        reads: tuple[Node, ...] = (),
        *,
        is_fresh: bool = False,
    ) -> None:
        self.recipe = recipe
        self.step = step
        self.below = below
        self.place = place
        self.reads = reads
        self.is_fresh = is_fresh

    def line(self) -> Iterator[Node]:
        """It, and those that it lies on, topmost first."""
        node: Node | None = self
        while node:
            yield node
            node = node.below

    @property
    def is_shown(self) -> bool:
        """Whether people see it as a step: not FROM scratch, and not FROM another stage."""
        return self.step is not None or self.recipe.has_image


class Strand:
    """Nodes in a row; `below` is the strand they go on from, `needs` are all it must wait for."""

    def __init__(self, number: int, below: Strand | None) -> None:
        self.number = number
        self.below = below
        self.nodes: list[Node] = []
        self.needs: set[int] = set() if below is None else {below.number}


class Graph:
    """The nodes of the needed stages, each after all that it uses, and their `strands`.

    `ends` has the last node of each stage, by its number.
    """

    def __init__(
        self, recipes: Sequence[Recipe], network: str, is_fresh: Callable[[Recipe], bool]
    ) -> None:
        """`is_fresh` says of a stage that none of its own steps may come from the cache."""
        self.nodes: list[Node] = []
        self.ends: dict[int, Node] = {}
        self._known: dict[tuple[object, ...], Node] = {}
        for recipe in recipes:
            self._add(recipe, network, is_fresh=is_fresh(recipe))
        self.strands, self._strand_of = _strands(self.nodes, set(self.ends.values()))
        self._stages_of: dict[int, list[int]] = {}
        for stage, end in self.ends.items():
            self._stages_of.setdefault(self._strand_of[end].number, []).append(stage)

    def strand_of(self, stage: int) -> Strand:
        """The strand that a stage ends with."""
        return self._strand_of[self.ends[stage]]

    def stages_of(self, strand: Strand) -> list[int]:
        """The numbers of the stages that end with a strand."""
        return self._stages_of.get(strand.number, [])

    @property
    def shown(self) -> list[Node]:
        """The nodes that people see as steps, in their order."""
        return [node for node in self.nodes if node.is_shown]

    def _add(self, recipe: Recipe, network: str, *, is_fresh: bool) -> None:
        stage = recipe.stage
        head = self._head(recipe)
        first = 1 + recipe.has_image
        for place, step in enumerate(recipe.steps, first):
            action = step.action
            reads = tuple(self.ends[one] for one in action.origins if isinstance(one, int))
            known = keys.canonical(action, stage.platform, network)
            identity = (head, known, action.named, reads, is_fresh, str(stage.platform))
            head = self._node(identity, Node(recipe, step, head, place, reads, is_fresh=is_fresh))
        self.ends[stage.number] = head

    def _head(self, recipe: Recipe) -> Node:
        """What a stage goes on from."""
        base = recipe.stage.base
        if isinstance(base, int):
            return self.ends[base]
        identity = (str(base), str(recipe.stage.platform))
        return self._node(identity, Node(recipe, None, None, 1))

    def _node(self, identity: tuple[object, ...], node: Node) -> Node:
        known = self._known.setdefault(identity, node)
        if known is node:
            self.nodes.append(node)
        return known


def _strands(nodes: list[Node], ends: set[Node]) -> tuple[list[Strand], dict[Node, Strand]]:
    """Cut the graph into strands; each comes after those that it needs."""
    above: dict[Node, int] = {}
    for node in nodes:
        if node.below:
            above[node.below] = above.get(node.below, 0) + 1
    parted = ends.union(*(node.reads for node in nodes))
    strands: list[Strand] = []
    found: dict[Node, Strand] = {}
    for node in nodes:
        below = found[node.below] if node.below else None
        is_alone = node.below is not None and above[node.below] == 1 and node.below not in parted
        needs = {found[one].number for one in node.reads} - ({below.number} if below else set())
        if below is None or needs or not is_alone:
            below = Strand(len(strands), below)
            below.needs |= needs
            strands.append(below)
        below.nodes.append(node)
        found[node] = below
    return strands, found
