"""Walking the graph: what is cached is taken, what is left is carried out, strand by strand.

Runs in a process with one thread, uid 0 of its user and mount namespace; strands that can be
carried out at the same time are each given to a fork of it (`crew`). A build that finds all in the
cache needs no more than this file: what carries out is imported when there is something to do. A
crash leaves owned directories in `tmp/`, and every published step in the cache.
"""

from __future__ import annotations

from time import monotonic

from rootless.build.cache import Cache, Hit, Miss
from rootless.build.carry.agenda import Agenda
from rootless.build.carry.crew import Crew, ignore_interrupts
from rootless.build.carry.graph import Graph
from rootless.build.carry.keyring import Keyring
from rootless.build.carry.narration import Narrator
from rootless.build.plan import times
from rootless.build.plan.actions import RunCommand
from rootless.build.request import Cached, Done, Started, Warned
from rootless.build.stack import Entry, Stack
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.cache import Hit
    from rootless.build.cache.key import Key
    from rootless.build.cache.remote import Known
    from rootless.build.carry.graph import Node, Strand
    from rootless.build.carry.workbench import Workbench
    from rootless.build.plan.actions import CopyFiles
    from rootless.build.plan.recipes import Recipes
    from rootless.build.plan.steps import Recipe
    from rootless.build.request import Report, Request
    from rootless.store import Store


class Builder:
    """What the strands of one build share."""

    def __init__(self, store: Store, request: Request, report: Report, recipes: Recipes) -> None:
        self._store = store
        self._request = request
        self._report = report
        self._recipes = recipes
        self._graph = Graph(recipes.ordered, request.network, self._is_fresh)
        self._narrator = Narrator(self._graph, request.plan.dockerfile)
        self._cache = Cache(store, request.caching)
        self._begun: dict[int, _Work] = {}
        self._done: dict[int, Stack] = {}
        self._unfinished: dict[int, Stack] = {}
        self._stages: dict[int, Stack] = {}
        self._reasons: dict[Node, str] = {}
        self._told: set[Node] = set()
        self._keys = Keyring(store, request, recipes, self._graph, self._cache, self._stages)
        self._bench: Workbench | None = None
        self._has_warned = False

    def build(self) -> Stack:
        """The layers of the target, all published."""
        crew = Crew(self._report)
        try:
            self._walk(crew)
        except RootlessError:
            self._finish()  # what was done before the step that failed stays cached
            raise
        finally:
            crew.close()
        self._finish()
        for node in self._graph.shown:
            if node not in self._told:  # nobody had to look at it: what it leads to is cached
                self._report(Cached(self._narrator.event(node)))
        return self._stages[self._recipes.target.stage.number]

    def known(self, *, whole: bool, mounts: bool) -> Known:
        """What another machine has to know to build the same from its cache: of the `whole` graph
        or of the target's own layers; and what is in cache `mounts`. All is published.
        """
        from rootless.build.carry import sharing

        wanted = self._graph.nodes
        if not whole:
            target = self._graph.ends[self._recipes.target.stage.number]
            wanted = [*target.line()]
        steps = sharing.Steps(self._graph, self._keys, self._cache)
        known = steps.known(wanted, self._done)
        if mounts:
            self._request.enter()
            known = known.replace(mounts=sharing.mounts(self._store, self._graph))
        return known

    def close(self) -> None:
        """Let go of everything; what is unfinished is thrown away."""
        if self._bench:
            from rootless.build.cache import trails

            self._bench.close()
            trails.forget_unused(self._store)
        self._keys.close()

    def _walk(self, crew: Crew) -> None:
        """All that is cached is taken first; of the strands that are left, `jobs` run at a time."""
        agenda = Agenda(self._graph, self._recipes.target, whole=self._request.caching.whole)
        works: list[_Work] = []
        while agenda or works or crew.size:
            works += self._take_ready(agenda)
            if works and not crew.size and 1 in (len(works), self._request.jobs):
                work = works.pop(0)
                self._carry_out(work)
                self._end(work.strand, work.stack)
                continue
            if not (works or crew.size):
                continue
            self._finish()
            self._request.enter()
            while works and crew.size < self._request.jobs:
                work = works.pop(0)
                crew.start(work.strand.number, self._body(work))
                self._unfinished[work.strand.number] = work.stack
            self._join(*crew.next_result())

    def _take_ready(self, agenda: Agenda) -> list[_Work]:
        """Look at the strands that can be looked at; those with steps to carry out are returned.

        What a strand copies from is only wanted when that strand is not cached.
        """
        works = []
        while strand := agenda.next(self._done.keys()):
            work = self._begun.pop(strand.number, None) or self._begin(strand)
            work = self._take_cached(work)
            if work.nodes:
                agenda.missed(strand)
                self._check(agenda, work)
            if not work.nodes:
                agenda.settled(strand)
                self._end(strand, work.stack)
            elif strand.needs <= self._done.keys():
                agenda.settled(strand)
                self._fetch_mounts(work)
                works.append(work)
            else:
                self._begun[strand.number] = work
        return works

    def _check(self, agenda: Agenda, work: _Work) -> None:
        """Refuse a command that cannot be run here before anything else is carried out."""
        above = (node for strand in agenda.waiting() for node in strand.nodes)
        for node in (*work.nodes, *above):
            if node.step and isinstance(node.step.action, RunCommand):
                from rootless import runspec

                self._request.enter()
                with self._narrator.located(node, self._report):
                    runspec.check()
                if not self._has_warned and (text := runspec.losses()):
                    self._has_warned = True
                    self._report(Warned(text))

    def _fetch_mounts(self, work: _Work) -> None:
        """Bring what machines share of the caches that commands will find new here."""
        if not self._request.caching.sources:
            return
        from rootless.build.carry import sharing

        for name in sharing.missing(self._store, work.nodes):
            if self._cache.shares_mount(name):
                self._request.enter()
                self._cache.fetch_mount(name)

    def _end(self, strand: Strand, stack: Stack) -> None:
        """A strand's layers are there; the stages that end with it are ready."""
        self._done[strand.number] = stack
        self._stages |= dict.fromkeys(self._graph.stages_of(strand), stack)

    def _take_cached(self, work: _Work) -> _Work:
        """Go on with a strand as far as its steps are cached."""
        stack, left = work.stack, list(work.nodes)
        self._told |= set(left)
        depth = len(stack.entries)
        promised: list[Entry] = []
        while left and not (self._request.caching.no_cache or left[0].is_fresh):
            _, found = self._look(left[0], stack)
            if isinstance(found, Miss):
                self._reasons[left[0]] = found.reason
                break
            if self._is_too_new(found):
                self._reasons[left[0]] = "its files were newer than SOURCE_DATE_EPOCH"
                break
            entry = Entry(found.layer.path, found.layer, created=found.created)
            promised += [entry] if found.elsewhere else []
            stack.add(entry)
            del left[0]
        taken = work.nodes[: len(work.nodes) - len(left)]
        if promised and not self._bring(promised):
            here = stack.entries.index(promised[0])
            taken = taken[: here - depth]
            stack, left = stack.upto(here), [*work.nodes[len(taken) :]]
        for node in taken:
            self._report(Cached(self._narrator.event(node)))
        return _Work(work.strand, stack, tuple(left))

    def _bring(self, promised: list[Entry]) -> bool:
        """Fetch layers of shared caches; without one that cannot be had, nothing is lost."""
        self._request.enter()
        try:
            self._cache.bring(promised)
        except RootlessError as error:
            self._report(Warned(f"a shared cache is not used any more: {error.message}"))
            self._cache.forsake()
            return False
        return True

    def _look(self, node: Node, stack: Stack) -> tuple[Key, Hit | Miss]:
        """What the cache knows of a step."""
        with self._narrator.located(node, self._report):
            key = self._keys.key(node, stack)
            self._keys.read(node, key, self._contents)
            return key, self._cache.find(key)

    def _begin(self, strand: Strand) -> _Work:
        """A strand of which nothing has been done yet."""
        below = strand.below
        stack = self._done[below.number].copy() if below else self._root(strand.nodes[0])
        return _Work(strand, stack, tuple(node for node in strand.nodes if node.step))

    def _root(self, root: Node) -> Stack:
        """The layers of a FROM; an image is told as a step, with the time it took."""
        self._told.add(root)
        stage = root.recipe.stage
        if not isinstance(stage.base, Reference):
            return Stack()
        event = self._narrator.event(root)
        self._report(Started(event))
        started = monotonic()
        stack = self._keys.stack(self._recipes.image(stage.base, stage.platform))
        seconds = self._recipes.seconds(stage.base, stage.platform)
        self._report(Done(event, seconds + monotonic() - started))
        return stack

    def _carry_out(self, work: _Work) -> None:
        """Make the layers of all steps that are left."""
        for node in work.nodes:
            with self._narrator.located(node, self._report):
                self._perform(node, work.stack)

    def _perform(self, node: Node, stack: Stack) -> None:
        """Make the step's layer and put it on the stack."""
        assert node.step is not None
        event, action = self._narrator.event(node), node.step.action
        self._report(Started(event, self._reason(node)))
        started = monotonic()
        key = self._keys.key(node, stack)  # may have to fetch something
        key.moment = self._keys.moment(action, key)
        if isinstance(action, RunCommand):
            self._keys.read(node, key, self._contents)
        self._workbench().perform(event, action, stack, self._keys.sources, key)
        self._keys.keep(node, key)
        self._report(Done(event, monotonic() - started))

    def _body(self, work: _Work) -> Callable[[Report], list[tuple[str, str]]]:
        """What a child does for a strand, with a workbench of its own."""

        def body(report: Report) -> list[tuple[str, str]]:
            self._report, self._bench = report, None
            depth = len(work.stack.entries)
            try:
                self._carry_out(work)
            except KeyboardInterrupt:
                ignore_interrupts()
                raise
            except RootlessError:
                self._finish()
                raise
            else:
                self._finish()
            finally:
                self._clear_bench()
            new = work.stack.entries[depth:]
            return [(str(one.layer.diff_id), one.created) for one in new if one.layer]

        return body

    def _join(self, number: int, new: list[tuple[str, str]]) -> None:
        """Put the layers that a child made on its strand's stack."""
        stack = self._unfinished.pop(number)
        for diff_id, created in new:
            layer = layers.adopt(self._store, Digest.parse(diff_id))
            if layer is None:
                raise RootlessError(f"the layer {diff_id} vanished from the store")
            stack.add(Entry(layer.path, layer, created=created))
        self._end(self._graph.strands[number], stack)

    def _finish(self) -> None:
        """Wait until all layers are published."""
        if self._bench:
            self._bench.finish()
        self._keys.record()

    def _clear_bench(self) -> None:
        if self._bench:
            self._bench.close()

    def _contents(self, action: CopyFiles, origin: Stack) -> str:
        """What a COPY --from finds."""
        return self._workbench().contents(action, origin)

    def _workbench(self) -> Workbench:
        """A build that finds everything in the cache does without one."""
        if self._bench is None:
            from rootless.build.carry.workbench import Workbench

            self._bench = Workbench(
                self._store,
                self._request,
                self._report,
                self._keys.context,
                self._keys.remotes,
                self._cache,
            )
        return self._bench

    def _reason(self, node: Node) -> str:
        """Why a step is carried out, where somebody asked."""
        if not self._request.caching.why:
            return ""
        if self._request.caching.no_cache:
            return "--no-cache"
        if node.is_fresh:
            return "--no-cache-filter"
        return self._reasons.get(node) or "it rests on a step that is carried out"

    def _is_too_new(self, hit: Hit) -> bool:
        """Whether a layer was made of files that are newer than the epoch."""
        epoch = self._request.epoch
        return epoch is not None and times.seconds(hit.created) > epoch

    def _is_fresh(self, recipe: Recipe) -> bool:
        """--no-cache-filter: none of this stage's own steps may come from the cache."""
        return recipe.stage.title in self._request.caching.fresh


class _Work(Record):
    """A strand begun: `nodes` are left to carry out on `stack`."""

    strand: Strand
    stack: Stack
    nodes: tuple[Node, ...]
