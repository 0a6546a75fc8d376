"""Carrying a build out: steps become layers, layers and config become an image.

Runs in a process with one thread, uid 0 of its user and mount namespace; stages that can be built
at the same time are each built by a fork of it (`crew`). What is cached needs no more than this
file; the rest is carried out on a `workbench`. A crash leaves owned directories in `tmp/`, and
every published step in the cache.
"""

from __future__ import annotations

import os
from errno import EMFILE, ENFILE
from time import gmtime, monotonic, strftime, time

from rootless.build import cache, keys, plan, steps
from rootless.build import config as configs
from rootless.build.context import Context
from rootless.build.crew import Crew, ignore_interrupts
from rootless.build.keys import Key
from rootless.build.origins import Origins
from rootless.build.recipes import Recipes
from rootless.build.request import Cached, Done, Exported, Failed, Started, Step, Warned
from rootless.build.selection import Selection
from rootless.build.stack import Entry, Stack
from rootless.build.steps import CopyFiles
from rootless.dockerfile import DockerfileError, parse
from rootless.dockerfile.ignore import Ignore
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.plan import Plan, Stage
    from rootless.build.request import Event, Report, Request
    from rootless.build.steps import Action, Recipe
    from rootless.build.workbench import Workbench
    from rootless.store import Store
    from rootless.store.images import Image

_LIMITS = (EMFILE, ENFILE)


def build(store: Store, request: Request, report: Report) -> Image:
    """Build, tag and return an image; RootlessErrors have docker's exit code for builds, 1."""
    umask = os.umask(0o022)
    try:
        return _build(store, request, report)
    except RootlessError as error:
        error.exit_code = 1
        raise
    finally:
        os.umask(umask)


def _build(store: Store, request: Request, report: Report) -> Image:
    report = _warning_once(report)
    dockerfile = parse(request.dockerfile, request.name)
    planned = plan.plan(
        dockerfile, request.build_args, request.platform, request.target, request.has_image
    )
    for message in planned.warnings():
        report(Warned(message))
    store.hold(())  # before any stage is built by a fork: what that makes is then ours too
    recipes = Recipes(planned, request.fetch, has_context=request.context_dir is not None)
    builder = _Builder(store, request, report, planned, recipes)
    try:
        return builder.build()
    finally:
        builder.close()


def _warning_once(report: Report) -> Report:
    """A `report` that says nothing twice, whichever step or stage it comes from."""
    told: set[str] = set()

    def pass_on(event: Event) -> None:
        if isinstance(event, Warned):
            if event.message in told:
                return
            told.add(event.message)
        report(event)

    return pass_on


class _Builder:
    """What the steps of one build share."""

    def __init__(
        self,
        store: Store,
        request: Request,
        report: Report,
        planned: Plan,
        recipes: Recipes,
    ) -> None:
        self.store = store
        self.request = request
        self.report = report
        self.plan = planned
        self.recipes = recipes
        seconds = time() if request.epoch is None else request.epoch
        self.created = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))
        self.bench: Workbench | None = None
        self.context = _open_context(store, request)
        self.stacks: dict[int, Stack] = {}
        self.unfinished: dict[int, Stack] = {}
        self.origins = Origins(store)
        self.selection = Selection(self.context, recipes.ordered)
        self.numbers = _numbers(recipes)
        self.total = sum(map(_places, recipes.ordered))

    def build(self) -> Image:
        try:
            self._build_stages()
        except RootlessError:
            self._finish()  # what was done before the step that failed stays cached
            raise
        self._finish()
        return self._export(self.recipes.target)

    def _build_stages(self) -> None:
        """All that is cached is taken first; of the stages that are left, `jobs` run at a time."""
        crew = Crew(self.report)
        waiting = list(self.recipes.ordered)
        works: list[_Work] = []
        try:
            while waiting or works or crew.size:
                works += self._take_ready(waiting)
                if works and not crew.size and 1 in (len(works), self.request.jobs):
                    self._carry_out(works.pop(0))
                    continue
                self._finish()
                self.request.enter()
                while works and crew.size < self.request.jobs:
                    work = works.pop(0)
                    crew.start(work.recipe.stage.number, self._body(work))
                    self.unfinished[work.recipe.stage.number] = work.stack
                if crew.size:
                    self._join(*crew.next_result())
        finally:
            crew.close()

    def _finish(self) -> None:
        """Wait until all layers are published."""
        if self.bench:
            self.bench.finish()
        self.origins.record()

    def _clear_bench(self) -> None:
        if self.bench:
            self.bench.close()

    def close(self) -> None:
        """Let go of everything; what is unfinished is thrown away."""
        self._clear_bench()
        if self.context:
            self.context.remember()
            self.context.close()

    def _take_ready(self, waiting: list[Recipe]) -> list[_Work]:
        """Start the stages that can start; those with steps to carry out are returned."""
        works = []
        while ready := [one for one in waiting if one.needs <= self.stacks.keys()]:
            waiting.remove(ready[0])
            work = self._take_cached(ready[0])
            if work.steps:
                works.append(work)
            else:
                self.stacks[work.recipe.stage.number] = work.stack
        return works

    def _take_cached(self, recipe: Recipe) -> _Work:
        """The beginning of a stage, as far as its steps are cached."""
        stack = self._begin(recipe)
        left = list(recipe.steps)
        while left and not self.request.no_cache:
            with _Located(self, recipe, left[0]):
                key = self._key_with_inputs(recipe, left[0], stack)
                hit = cache.find(self.store, key.compute()) if key.is_known else None
            if not hit:
                break
            created = hit.created if self.request.epoch is None else self.created
            stack.entries.append(Entry(hit.layer.path, hit.layer, created=created))
            self.report(Cached(self.event(recipe, left.pop(0))))
        return _Work(recipe, stack, tuple(left))

    def _carry_out(self, work: _Work) -> None:
        """Make the layers of all steps that are left."""
        for step in work.steps:
            with _Located(self, work.recipe, step):
                key = self._key(work.recipe, step, work.stack)
                self._perform(self.event(work.recipe, step), step.action, work.stack, key)
        self.stacks[work.recipe.stage.number] = work.stack

    def _body(self, work: _Work) -> Callable[[Report], list[tuple[str, str]]]:
        """What a child does for a stage, with a workbench of its own."""

        def body(report: Report) -> list[tuple[str, str]]:
            self.report, self.bench = report, None
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
        """Put the layers that a child made on its stage's stack."""
        stack = self.unfinished.pop(number)
        for diff_id, created in new:
            layer = layers.adopt(self.store, Digest.parse(diff_id))
            if layer is None:
                raise RootlessError(f"the layer {diff_id} vanished from the store")
            stack.entries.append(Entry(layer.path, layer, created=created))
        self.stacks[number] = stack

    def _begin(self, recipe: Recipe) -> Stack:
        """What the stage goes on from; an image is told as a step, with the time it took."""
        if not isinstance(recipe.stage.base, Reference):
            return self._base(recipe.stage)
        event = self.event(recipe, None)
        self.report(Started(event))
        started = monotonic()
        stack = self._base(recipe.stage)
        seconds = self.recipes.seconds(recipe.stage.base, recipe.stage.platform)
        self.report(Done(event, seconds + monotonic() - started))
        return stack

    def _base(self, stage: Stage) -> Stack:
        """What the stage goes on from."""
        if stage.base is None:
            return Stack()
        if isinstance(stage.base, int):
            return self.stacks[stage.base].copy()
        return self._stack(self.recipes.image(stage.base, stage.platform))

    def _stack(self, image: Image) -> Stack:
        found = images.layers_here(self.store, image)
        if not all(found):
            self.request.enter()  # what must be unpacked again belongs to many ids
            found = images.layers_of(self.store, image)
        return Stack.of(tuple(one for one in found if one), image.manifest.layers)

    def event(self, recipe: Recipe, step: steps.Step | None) -> Step:
        """How people see a step of a stage; None is its FROM."""
        stage, places = recipe.stage, _places(recipe)
        title = stage.title if len(self.recipes.ordered) > 1 else stage.name
        if step is None:
            place, text = 0, f"FROM {stage.base}"
        else:
            place = next(at for at, one in enumerate(recipe.steps) if one is step)
            place, text = place + places - len(recipe.steps), step.text
        number = self.numbers[stage.number] + place
        return Step(number, self.total, title, place + 1, places, text)

    def _key(self, recipe: Recipe, step: steps.Step, stack: Stack) -> Key:
        """What the step is recorded under; without `inputs` if nobody has read them yet."""
        action = step.action
        known = keys.canonical(action, recipe.stage.platform, self.request.network)
        beneath = None if isinstance(action, CopyFiles) and action.link else stack.copy()
        if not isinstance(action, CopyFiles):
            return Key(known, "", beneath)
        if action.origin is not None:
            origin = self._origin(action.origin, recipe.stage)
            return Key(known, self.origins.find(action, origin), beneath, origin)
        sources = self.selection.of(action)
        inputs = self.context.digest(sources) if self.context and sources else ""
        return Key(known, inputs, beneath)

    def _key_with_inputs(self, recipe: Recipe, step: steps.Step, stack: Stack) -> Key:
        """The same; a stage that is copied from is looked into where nobody has done so yet."""
        key = self._key(recipe, step, stack)
        action = step.action
        if key.inputs is None and key.origin and isinstance(action, CopyFiles):
            key.inputs = self._bench().contents(action, key.origin)
            self.origins.keep(action, key.origin, key.inputs)
        return key

    def _origin(self, origin: int | Reference, stage: Stage) -> Stack:
        """The layers that COPY --from reads."""
        if isinstance(origin, int):
            return self.stacks[origin]
        return self._stack(self.recipes.image(origin, stage.platform))

    def _perform(self, event: Step, action: Action, stack: Stack, key: Key) -> None:
        """Make the step's layer and put it on the stack."""
        self.report(Started(event))
        started = monotonic()
        self._bench().perform(event, action, stack, self.selection.of(action), key)
        if isinstance(action, CopyFiles) and key.origin and key.inputs is not None:
            self.origins.keep(action, key.origin, key.inputs)
        self.report(Done(event, monotonic() - started))

    def _bench(self) -> Workbench:
        """A build that finds everything in the cache does without one."""
        if self.bench is None:
            from rootless.build.workbench import Workbench

            self.bench = Workbench(
                self.store, self.request, self.report, self.context, self.created
            )
        return self.bench

    def _export(self, recipe: Recipe) -> Image:
        """Config, manifest and names."""
        stack = self.stacks[recipe.stage.number]
        times = tuple(entry.created for entry in stack.entries)
        config = steps.stamped(recipe.config, times).replace(diff_ids=stack.diff_ids)
        config = configs.with_labels(config, self.request.labels)
        image = images.commit(self.store, config, stack.descriptors, self.request.tags)
        self.report(Exported(image))
        return image


class _Work(Record):
    """A stage begun: `steps` are left to carry out on `stack`."""

    recipe: Recipe
    stack: Stack
    steps: tuple[steps.Step, ...]


class _Located:
    """Tells of a step that fails, and gives its error the place in the Dockerfile."""

    def __init__(self, builder: _Builder, recipe: Recipe, step: steps.Step) -> None:
        self._builder = builder
        self._recipe = recipe
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if not isinstance(error, RootlessError | OSError) or isinstance(error, BrokenPipeError):
            return
        message = error.message if isinstance(error, RootlessError) else str(error)
        event = self._builder.event(self._recipe, self._step)
        self._builder.report(Failed(event, message))
        if isinstance(error, DockerfileError):
            return
        if isinstance(error, OSError) and error.errno in _LIMITS:
            return  # the line is not at fault, and there is no descriptor left to find words with
        hint = error.hint if isinstance(error, RootlessError) else None
        dockerfile = self._builder.plan.dockerfile
        raise dockerfile.error(message, self._step.location, hint) from error


def _numbers(recipes: Recipes) -> dict[int, int]:
    """The number of each stage's first step, counted from 1 through all needed stages."""
    numbers, following = {}, 1
    for recipe in recipes.ordered:
        numbers[recipe.stage.number] = following
        following += _places(recipe)
    return numbers


def _places(recipe: Recipe) -> int:
    """How many steps people see: its own and, as in docker, the FROM that names an image."""
    return len(recipe.steps) + isinstance(recipe.stage.base, Reference)


def _open_context(store: Store, request: Request) -> Context | None:
    if request.context_dir is None:
        return None
    directory = os.path.abspath(request.context_dir)
    name = Digest.of(os.fsencode(directory)).hex[:16]
    ignore = Ignore.parse(request.ignore) if request.ignore.strip() else None
    return Context(directory, ignore, store.path("cache", "contexts", f"{name}.json"))
