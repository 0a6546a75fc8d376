"""Carrying a build out: steps become layers, layers and config become an image.

Runs in one process with one thread, uid 0 of its user and mount namespace. Commands run in
sandboxes that it spawns, layers are packed by a worker it forks. A crash leaves owned directories
in `tmp/`, and every finished step in the cache.
"""

from __future__ import annotations

import os
from time import gmtime, monotonic, strftime, time

from rootless.build import cache, keys, plan, steps, tree
from rootless.build import config as configs
from rootless.build.context import Context
from rootless.build.keys import Key
from rootless.build.recipes import Recipes
from rootless.build.request import Cached, Done, Exported, Started, Step, Warned
from rootless.build.stack import Entry, Stack
from rootless.build.steps import CopyFiles
from rootless.dockerfile import DockerfileError, parse
from rootless.dockerfile.ignore import Ignore
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.plan import Plan, Stage
    from rootless.build.request import Report, Request
    from rootless.build.steps import Action, Recipe
    from rootless.build.tree import Source
    from rootless.build.workbench import Workbench
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image


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
    dockerfile = parse(request.dockerfile, request.name)
    planned = plan.plan(dockerfile, request.build_args, request.platform, request.target)
    unused = planned.unused_arguments()
    if unused:
        report(Warned(f"one or more build-args [{' '.join(unused)}] were not consumed"))
    store.create()
    recipes = Recipes(planned, request.fetch)
    builder = _Builder(store, request, report, planned, recipes)
    try:
        return builder.build()
    finally:
        builder.close()


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
        self.number = 0
        self.total = sum(len(recipe.steps) for recipe in recipes.ordered)

    def build(self) -> Image:
        try:
            for recipe in self.recipes.ordered:
                self.stacks[recipe.stage.number] = self._build_stage(recipe)
        except RootlessError:
            self._finish()  # what was done before the step that failed stays cached
            raise
        self._finish()
        return self._export(self.recipes.target)

    def _finish(self) -> None:
        """Wait until all layers are published."""
        if self.bench:
            self.bench.finish()

    def close(self) -> None:
        """Let go of everything; what is unfinished is thrown away."""
        if self.bench:
            self.bench.close()
        if self.context:
            self.context.remember()
            self.context.close()

    def _build_stage(self, recipe: Recipe) -> Stack:
        stack = self._base(recipe.stage)
        is_probing = not self.request.no_cache
        for step in recipe.steps:
            event = self._event(recipe, step)
            with _Located(self.plan, step):
                sources = self._sources(step.action)
                key = self._key(recipe, step, stack, sources)
                is_probing = is_probing and key.is_known
                hit = cache.find(self.store, key.compute()) if is_probing else None
                if hit:
                    created = hit.created if self.request.epoch is None else self.created
                    stack.entries.append(Entry(hit.layer.path, hit.layer, created=created))
                    self.report(Cached(event))
                else:
                    is_probing = False
                    self._perform(event, step, stack, sources, key)
        return stack

    def _base(self, stage: Stage) -> Stack:
        """What the stage goes on from."""
        if stage.base is None:
            return Stack()
        if isinstance(stage.base, int):
            return self.stacks[stage.base].copy()
        return self._stack(self.recipes.image(stage.base, stage.platform))

    def _stack(self, image: Image) -> Stack:
        return Stack.of(images.layers_of(self.store, image), image.manifest.layers)

    def _event(self, recipe: Recipe, step: steps.Step) -> Step:
        self.number += 1
        title = recipe.stage.title if len(self.recipes.ordered) > 1 else recipe.stage.name
        return Step(self.number, self.total, title, step.text)

    def _sources(self, action: Action) -> tuple[Source, ...]:
        """The context's files that a COPY names; they are looked up once, hashed, then copied."""
        if not isinstance(action, CopyFiles) or action.origin is not None or not action.sources:
            return ()
        if self.context is None:
            raise RootlessError("there is no build context to copy from")
        return tree.select_all(
            self.context.fd, action.sources, self.context.ignore, parents=action.parents
        )

    def _key(
        self, recipe: Recipe, step: steps.Step, stack: Stack, sources: tuple[Source, ...]
    ) -> Key:
        action = step.action
        known = keys.canonical(action, recipe.stage.platform, self.request.network)
        inputs = self.context.digest(sources) if self.context and sources else ""
        beneath = [] if isinstance(action, CopyFiles) and action.link else [stack.copy()]
        if isinstance(action, CopyFiles) and action.origin is not None:
            beneath.append(self._origin(action.origin, recipe.stage))
        return Key(known, inputs, tuple(beneath))

    def _origin(self, origin: int | Reference, stage: Stage) -> Stack:
        """The layers that COPY --from reads."""
        if isinstance(origin, int):
            return self.stacks[origin]
        return self._stack(self.recipes.image(origin, stage.platform))

    def _perform(
        self, event: Step, step: steps.Step, stack: Stack, sources: tuple[Source, ...], key: Key
    ) -> None:
        """Make the step's layer and put it on the stack."""
        self.report(Started(event))
        started = monotonic()
        self._bench().perform(event, step.action, stack, sources, key)
        self.report(Done(event, monotonic() - started))

    def _bench(self) -> Workbench:
        """A build that finds everything in the cache does without one."""
        if self.bench is None:
            from rootless.build.workbench import Workbench

            context_fd = self.context.fd if self.context else -1
            self.bench = Workbench(self.store, self.request, self.report, context_fd, self.created)
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


class _Located:
    """Gives the errors of a step its place in the Dockerfile."""

    def __init__(self, planned: Plan, step: steps.Step) -> None:
        self._dockerfile = planned.dockerfile
        self._location = step.location

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, RootlessError) and not isinstance(error, DockerfileError):
            raise self._dockerfile.error(error.message, self._location, error.hint) from error
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise self._dockerfile.error(str(error), self._location) from error


def _open_context(store: Store, request: Request) -> Context | None:
    if request.context_dir is None:
        return None
    directory = os.path.abspath(request.context_dir)
    name = Digest.of(os.fsencode(directory)).hex[:16]
    ignore = Ignore.parse(request.ignore) if request.ignore.strip() else None
    return Context(directory, ignore, store.path("cache", "contexts", f"{name}.json"))
