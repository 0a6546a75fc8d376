"""What a build knows that other machines may use: steps, what they read, what cache mounts hold.

Runs in the builder, when all layers are published; the contents of cache mounts are made layers of
in the user namespace. A crash leaves owned directories in `tmp/`.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.build.cache import mounts as kept
from rootless.build.cache.remote import Known, Shared
from rootless.build.carry.mounts import copy_tree
from rootless.build.plan.actions import RunCommand, reading
from rootless.build.plan.mounts import Cache
from rootless.build.stack import Stack
from rootless.store import layers
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from rootless.build.cache import Cache as StepCache
    from rootless.build.carry.graph import Graph, Node
    from rootless.build.carry.keyring import Keyring
    from rootless.oci.digest import Digest
    from rootless.store import Store


class Steps:
    """The steps of a graph that this store has the layers of."""

    def __init__(self, graph: Graph, keys: Keyring, cache: StepCache) -> None:
        self._graph = graph
        self._keys = keys
        self._cache = cache

    def known(self, wanted: Collection[Node], done: Mapping[int, Stack]) -> Known:
        """Those of `wanted` nodes in strands that are `done`, by number."""
        nodes = set(wanted)
        known = Known()
        for number, stack in done.items():
            own = [node for node in self._graph.strands[number].nodes if node.step]
            for depth, node in enumerate(own, len(stack.entries) - len(own)):
                if node in nodes:
                    known |= self._step(node, stack, depth)
        return known

    def _step(self, node: Node, stack: Stack, depth: int) -> Known:
        """One step, whose layer is the entry of `stack` at `depth`."""
        entry = stack.entries[depth]
        key = self._keys.key(node, stack.upto(depth))
        if entry.layer is None or not key.is_known:
            return Known()
        made = self._cache.made(key, entry.layer.diff_id)
        if made is None:
            return Known()
        steps = {key.compute(): Shared(entry.layer.diff_id, entry.created, made)}
        return Known(steps, self._keys.contents(node, key))


def mounts(store: Store, graph: Graph) -> Mapping[str, Digest]:
    """A layer for what is in each cache mount of a graph, by the mount's name."""
    found = {}
    for name in dict.fromkeys(_names(graph.nodes)):
        held = kept.look(store, name)
        if held:
            try:
                found[name] = _layer(store, held.path)
            finally:
                held.release()
    return found


def missing(store: Store, nodes: Iterable[Node]) -> list[str]:
    """The names of cache mounts that commands will find new in this store."""
    names = dict.fromkeys(_names(nodes))
    return [name for name in names if not os.path.exists(store.path("cache", "mounts", name))]


def _names(nodes: Iterable[Node]) -> Iterable[str]:
    """Of cache mounts that begin with nothing: what others begin with is theirs."""
    for node in nodes:
        action = node.step.action if node.step else None
        if isinstance(action, RunCommand):
            for one in action.mounts:
                if isinstance(one, Cache) and reading(one) is None:
                    yield kept.name(one, "")


def _layer(store: Store, directory: str) -> Digest:
    """A copy of a directory as a layer of the store, held."""
    with store.writing(), Staging(store, ("diff",)) as staged:
        diff = os.path.join(staged.path, "diff")
        copy_tree(directory, diff)
        linux.syncfs(diff)
        return layers.publish(store, staged, layers.measure(diff)).diff_id
