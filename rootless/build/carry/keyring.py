"""The keys of steps: what each does, rests on and reads, looked up once.

Runs in the builder, and in a process that carries out a strand; only reads. What other stages hold
is looked into, mounted, where nobody has done so yet.
"""

from __future__ import annotations

from rootless.build.cache.key import Key
from rootless.build.cache.origins import Origins
from rootless.build.inputs import context
from rootless.build.inputs.remotes import Remotes
from rootless.build.inputs.selection import Selection
from rootless.build.plan import keys
from rootless.build.plan.actions import CopyFiles, RunCommand
from rootless.build.stack import Stack
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.build.carry.graph import Node
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import Action
    from rootless.build.plan.recipes import Recipes
    from rootless.build.plan.stages import Stage
    from rootless.build.request import Request
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image


class Keyring:
    """Everything that the steps of one build may read."""

    def __init__(
        self, store: Store, request: Request, recipes: Recipes, stages: Mapping[int, Stack]
    ) -> None:
        """`stages` has the layers of those stages, by number, that are ready."""
        self._store = store
        self._request = request
        self._recipes = recipes
        self._stages = stages
        self._origins = Origins(store)
        self.context = context.of(store, request.context) if request.context else None
        self.remotes = Remotes(store, request.reach, request.folders)
        self._selection = Selection(self.context, recipes.ordered)

    def sources(self, action: Action) -> tuple[Source, ...]:
        """The context's files that an action takes."""
        return self._selection.of(action)

    def key(self, node: Node, stack: Stack) -> Key:
        """What a step is recorded under; without `inputs` if nobody has read them yet."""
        assert node.step is not None
        action, stage = node.step.action, node.recipe.stage
        known = keys.canonical(action, stage.platform, self._request.network)
        beneath = None if isinstance(action, CopyFiles) and action.link else stack.copy()
        if isinstance(action, RunCommand) and action.mounts:
            return self._of_command(known, action, stage, beneath)
        if not isinstance(action, CopyFiles):
            return Key(known, "", beneath)
        if action.origin is not None:
            origin = self._origin(action.origin, stage)
            return Key(known, self._origins.find(action, origin), beneath, origin)
        sources = self.sources(action)
        inputs = self.context.digest(sources) if self.context and sources else ""
        if action.remotes:
            inputs = self.remotes.digest(inputs, action.remotes)
        return Key(known, inputs, beneath)

    def _of_command(
        self, known: tuple[object, ...], action: RunCommand, stage: Stage, beneath: Stack | None
    ) -> Key:
        """Of a RUN that shows files: their contents count, wherever they come from."""
        mounted = {
            one: self._origin(one.origin, stage) for one in action.read if one.origin is not None
        }
        key = Key(known, None, beneath, mounted=mounted)
        for one in action.shown:
            if one in mounted:
                key.parts[one] = self._origins.find(one, mounted[one])
            else:
                sources = self.sources(one)
                key.parts[one] = self.context.digest(sources) if self.context else ""
        key.combine()
        return key

    def read(self, node: Node, key: Key, contents: Callable[[CopyFiles, Stack], str]) -> None:
        """Look by `contents` into a stage that is copied from, unless that was done before."""
        assert node.step is not None
        action = node.step.action
        if key.inputs is None and key.origin and isinstance(action, CopyFiles):
            key.inputs = contents(action, key.origin)
            self.keep(action, key)
        for one, part in list(key.parts.items()):
            if part is None:
                found = contents(one, key.mounted[one])
                key.parts[one] = found
                self._origins.keep(one, key.mounted[one], found)
        if key.parts:
            key.combine()

    def keep(self, action: Action, key: Key) -> None:
        """Remember what a step has read of another stage."""
        if isinstance(action, CopyFiles) and key.origin and key.inputs is not None:
            self._origins.keep(action, key.origin, key.inputs)

    def record(self) -> None:
        """Tell later builds what was read of layers that are published by now."""
        self._origins.record()

    def stack(self, image: Image) -> Stack:
        """The layers of an image."""
        found = images.layers_here(self._store, image)
        if not all(found):
            self._request.enter()  # what must be unpacked again belongs to many ids
            found = images.layers_of(self._store, image)
        return Stack.of(tuple(one for one in found if one), image.manifest.layers)

    def close(self) -> None:
        """Let go of the context, and of what came from elsewhere."""
        self.remotes.close()
        if self.context:
            self.context.remember()
            self.context.close()

    def _origin(self, origin: int | Reference, stage: Stage) -> Stack:
        """The layers that COPY --from reads."""
        if isinstance(origin, int):
            return self._stages[origin]
        return self.stack(self._recipes.image(origin, stage.platform))
