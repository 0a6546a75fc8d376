"""The keys of steps: what each does, rests on and reads, looked up once.

Runs in the builder, and in a process that carries out a strand; only reads. What other stages hold
is looked into, mounted, where nobody has done so yet.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.build.cache.key import Key, contents_key
from rootless.build.cache.origins import Origins
from rootless.build.inputs import contents, context, tree
from rootless.build.inputs.selection import Selection
from rootless.build.plan import keys, times
from rootless.build.plan.actions import CopyFiles, RunCommand
from rootless.build.plan.stages import HOSTNAME
from rootless.build.stack import Stack
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rootless.build.cache import Cache
    from rootless.build.carry.graph import Graph, Node
    from rootless.build.inputs.remotes import Remotes
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import Action
    from rootless.build.plan.recipes import Recipes
    from rootless.build.plan.stages import Stage
    from rootless.build.request import Request
    from rootless.store import Store
    from rootless.store.images import Image


class Keyring:
    """Everything that the steps of one build may read."""

    def __init__(
        self,
        store: Store,
        request: Request,
        recipes: Recipes,
        graph: Graph,
        cache: Cache,
        stages: Mapping[int, Stack],
    ) -> None:
        """`stages` has the layers of those stages, by number, that are ready."""
        self._store = store
        self._request = request
        self._recipes = recipes
        self._stages = stages
        self._graph = graph
        self._origins = Origins(cache)
        self._listings: dict[Action, str] = {}
        self._definitions: dict[Node, str] = {}
        self._fresh: set[Node | None] | None = None
        self.context = context.of(store, request.context) if request.context else None
        self._remotes: Remotes | None = None
        self._selection = Selection(self.context, recipes.ordered)

    @property
    def remotes(self) -> Remotes:
        """What comes from elsewhere; most builds take nothing from there."""
        if self._remotes is None:
            from rootless.build.inputs.remotes import Remotes

            self._remotes = Remotes(
                self._store, self._request.reach, self._request.folders, self._request.pins
            )
        return self._remotes

    def sources(self, action: Action) -> tuple[Source, ...]:
        """The context's files that an action takes."""
        return self._selection.of(action)

    def key(self, node: Node, stack: Stack) -> Key:
        """What a step is recorded under; without `inputs` if nobody has read them yet."""
        assert node.step is not None
        key = self._key(node, stack)
        epoch = self._request.epoch
        if epoch is not None:
            key.moment = self.moment(node.step.action, key)
            if key.moment == epoch:
                key.action = (*key.action, epoch)
        return key

    def moment(self, action: Action, key: Key) -> int:
        """The time of what a step makes, in seconds."""
        return times.moment(self._natural(action, key), self._request.epoch)

    def _natural(self, action: Action, key: Key) -> int:
        """The newest of what a step rests on and copies, in seconds; 0 where that is not known."""
        found = key.beneath.moment if key.beneath else 0
        if not isinstance(action, CopyFiles):
            return found
        if action.remotes and self._request.epoch is not None:
            return 0  # how old they are is known when they are here
        if action.remotes:
            found = max(found, self.remotes.newest(action.remotes))
        if key.origin:
            return max(found, key.origin.moment)
        return max(found, tree.newest(self.sources(action)))

    def _key(self, node: Node, stack: Stack) -> Key:
        assert node.step is not None
        action, stage = node.step.action, node.recipe.stage
        known = keys.canonical(action, stage.platform, self._request.network)
        beneath = None if isinstance(action, CopyFiles) and action.link else stack.copy()
        key = Key(known, "", beneath)
        key.place, key.text = self._place(node), node.step.text
        if isinstance(action, RunCommand):
            if self._request.plan.hostname != HOSTNAME:
                key.action = (*key.action, self._request.plan.hostname)
            self._mount(key, action, stage)
        elif isinstance(action, CopyFiles) and action.origin is not None:
            key.origin = self._origin(action.origin, stage)
            key.inputs = self._copied(action, key.origin)
        else:
            key.listing, key.inputs = self._listing(action), self._inputs(action)
            sources = self.sources(action)
            key.folder = sources[0].path if len(sources) == 1 and sources[0].folders else ""
        return key

    def _mount(self, key: Key, action: RunCommand, stage: Stage) -> None:
        """Of a RUN that shows files: their contents count, wherever they come from."""
        if not action.mounts:
            return
        for one in action.read:
            origin = None if one.origin is None else self._origin(one.origin, stage)
            if origin:
                key.mounted[one] = origin
        key.shown = action.shown
        for one in action.shown:
            is_here = one.origin is None
            known = self._inputs(one) if is_here else self._copied(one, key.mounted.get(one))
            key.parts[one] = known
        key.combine()

    def read(self, node: Node, key: Key, look: Callable[[CopyFiles, Stack], str]) -> None:
        """Find out by `look` what a stage has that is copied from, unless that was done before."""
        assert node.step is not None
        action = node.step.action
        if key.inputs is None and key.origin and isinstance(action, CopyFiles):
            key.inputs = look(action, key.origin)
            self.keep(node, key)
        for one, part in list(key.parts.items()):
            if part is None and one in key.mounted:
                key.parts[one] = found = look(one, key.mounted[one])
                self._origins.keep(one, key.mounted[one], found, self._definition(one))
        if key.parts:
            key.combine()

    def keep(self, node: Node, key: Key) -> None:
        """Remember what a step has read of another stage."""
        assert node.step is not None
        action = node.step.action
        if isinstance(action, CopyFiles) and key.origin and key.inputs is not None:
            self._origins.keep(action, key.origin, key.inputs, self._definition(action))

    def contents(self, node: Node, key: Key) -> dict[str, str]:
        """What the cache knows of what a step reads of another stage, to be shared."""
        assert node.step is not None
        action = node.step.action
        read = dict(key.parts)
        origins = dict(key.mounted)
        if isinstance(action, CopyFiles):
            read[action] = key.inputs
            origins |= {action: key.origin} if key.origin else {}
        found = {}
        for one, digest in read.items():
            if digest is not None and isinstance(one.origin, int):
                chain = origins[one].chain_id if one in origins else ""
                for name in filter(None, (chain, self._definition(one))):
                    found[contents_key(name, one.selection)] = digest
        return found

    def record(self) -> None:
        """Tell later builds what was read of layers that are published by now."""
        self._origins.record()

    def stack(self, image: Image) -> Stack:
        """The layers of an image."""
        found = images.layers_here(self._store, image)
        if not all(found):
            self._request.enter()  # what must be unpacked again belongs to many ids
            found = images.layers_of(self._store, image)
        return Stack.of(tuple(one for one in found if one), image.manifest.layers, image.created)

    def close(self) -> None:
        """Let go of the context, and of what came from elsewhere."""
        if self._remotes:
            self._remotes.close()
        if self.context:
            self.context.remember()
            self.context.close()

    def _origin(self, origin: int | Reference, stage: Stage) -> Stack | None:
        """The layers that COPY --from reads; None while a stage is not ready."""
        if isinstance(origin, int):
            return self._stages.get(origin)
        return self.stack(self._recipes.image(origin, stage.platform))

    def _copied(self, action: CopyFiles, origin: Stack | None) -> str | None:
        """What a COPY --from finds, as far as that is known; of a stage that is not ready, what
        was found when it came about in the same way.
        """
        if origin:
            return self._origins.find(action, origin)
        definition = self._definition(action)
        if not definition or self._is_fresh(action.origin):
            return None
        return self._origins.find_defined(action, definition)

    def _inputs(self, action: Action) -> str:
        """The digest of what an action reads of the context and of what is elsewhere."""
        if isinstance(action, RunCommand):
            parts = [self._inputs(one) for one in action.shown if one.origin is None]
            return contents.digest("\n".join(parts)) if parts else ""
        inputs = contents.digest(self._listing(action)) if action.reads_context else ""
        remotes = action.remotes if isinstance(action, CopyFiles) else ()
        return self.remotes.digest(inputs, remotes) if remotes else inputs

    def _listing(self, action: Action) -> str:
        """What an action reads of the context."""
        if not action.reads_context:
            return ""
        if action not in self._listings:
            sources = self.sources(action)
            listed = self.context.listing(sources) if self.context and sources else ""
            self._listings[action] = listed
        return self._listings[action]

    def _is_fresh(self, origin: int | Reference | None) -> bool:
        """Whether what earlier builds found in a stage does not count for this one."""
        if self._request.caching.no_cache:
            return True
        if self._fresh is None:
            self._fresh = set()
            for node in self._graph.nodes:
                if node.is_fresh or not self._fresh.isdisjoint((node.below, *node.reads)):
                    self._fresh.add(node)
        return isinstance(origin, int) and self._graph.ends[origin] in self._fresh

    def _definition(self, action: CopyFiles) -> str:
        """How the stage that is copied from comes about; empty where that cannot be told."""
        if not isinstance(action.origin, int):
            return ""
        if not self._definitions:
            for node in self._graph.nodes:  # each comes after all that it uses
                self._definitions[node] = self._defined(node)
        return self._definitions[self._graph.ends[action.origin]]

    def _defined(self, node: Node) -> str:
        stage = node.recipe.stage
        if node.step is None:
            if not isinstance(stage.base, Reference):
                return "scratch"
            return self.stack(self._recipes.image(stage.base, stage.platform)).chain_id or "empty"
        below = [self._definitions[one] for one in (node.below, *node.reads) if one]
        if "" in below:
            return ""
        action = node.step.action
        known = keys.canonical(action, stage.platform, self._request.network)
        try:
            inputs = self._inputs(action)
        except (RootlessError, OSError):  # told with its line when the step is looked at
            return ""
        images = [one for one in action.origins if isinstance(one, Reference)]
        read = [self.stack(self._recipes.image(one, stage.platform)).chain_id for one in images]
        named = [str(one) for one in action.named]
        text = leanjson.dumps([known, named, inputs, below, read])
        return Digest.of(text).hex

    def _place(self, node: Node) -> str:
        """Where a step stands, for `cache.trails`."""
        stage = node.recipe.stage
        name = self._request.plan.dockerfile.name
        given = self._request.context
        folder = given.directory if given and not given.fetched else ""
        where = (folder, name, str(stage.platform), stage.title)
        return Digest.of(leanjson.dumps([*where, node.place])).hex[:32]
