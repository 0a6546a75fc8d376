"""What a build would do with each step, found by walking as it walks and carrying nothing out.

Layers may be looked into, mounted, where a step copies from them: only that tells whether it is
cached. Shared caches are not asked, as looking there brings layers. Runs where the builder does.
"""

from __future__ import annotations

from rootless.build.cache import Hit
from rootless.build.carry.agenda import Agenda
from rootless.build.carry.builder import Builder
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.cache import Miss
    from rootless.build.cache.key import Key
    from rootless.build.carry.graph import Node
    from rootless.build.plan.recipes import Recipes
    from rootless.build.plan.steps import Recipe
    from rootless.build.request import Request
    from rootless.build.stack import Stack
    from rootless.store import Store

_RESTS = "it rests on a step that is carried out"


class Foreseen(Record):
    """A step is `cached`, or carried out for a `reason`, or, with neither, needed by nobody.

    `key` is what it is recorded under, in hex; empty where that is not known beforehand. `layer`
    is the directory of what is cached.
    """

    cached: bool = False
    reason: str = ""
    key: str = ""
    layer: str = ""


class Forecast(Builder):
    """Of one build; `look` first, then ask `of` each stage."""

    def __init__(self, store: Store, request: Request, recipes: Recipes) -> None:
        caching = request.caching.replace(sources=(), why=True)
        super().__init__(store, request.replace(caching=caching), lambda _event: None, recipes)
        self._seen: dict[Node, Foreseen] = {}

    def look(self) -> None:
        """Find out. RootlessError shows the line of a step that cannot even begin."""
        agenda = Agenda(self._graph, self._recipes.target, whole=self._request.caching.whole)
        begun = {work.strand for work in self._take_ready(agenda)}
        for strand in self._graph.strands:
            if strand in begun or strand in agenda:
                for node in strand.nodes:
                    self._await(node)

    def of(self, recipe: Recipe) -> list[Foreseen]:
        """Each step of a stage; one that equals another stage's is that."""
        end = self._graph.ends[recipe.stage.number]
        nodes = [node for node in end.line() if node.step][: len(recipe.steps)]
        return [self._seen.get(node, Foreseen()) for node in reversed(nodes)]

    def _await(self, node: Node) -> None:
        """A step is carried out in its turn; what it takes from the context is there, or not."""
        if node.step and node not in self._seen:
            with self._narrator.located(node, self._report):
                self._keys.sources(node.step.action)
            self._seen[node] = Foreseen(reason=self._reason(node))

    def _look(self, node: Node, stack: Stack) -> tuple[Key, Hit | Miss]:
        key, found = super()._look(node, stack)
        name = key.compute() if key.is_known else ""
        if isinstance(found, Hit):
            self._seen[node] = Foreseen(cached=True, key=name, layer=found.layer.path)
        else:
            self._seen[node] = Foreseen(reason=found.reason or _RESTS, key=name)
        return key, found
