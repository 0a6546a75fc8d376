"""What makes two steps the same: the canonical form of an action, for its cache key. Pure.

Proxy variables, times, owners on this machine and the Dockerfile's wording are not in it.
"""

from __future__ import annotations

from rootless.build import cache
from rootless.build.steps import CopyFiles, MakeFolder, RunCommand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.stack import Stack
    from rootless.build.steps import Action
    from rootless.oci.platform import Platform


def canonical(action: Action, platform: Platform, network: str) -> tuple[object, ...]:
    """Strings, numbers and tuples that say all of `action` but the contents it reads."""
    match action:
        case RunCommand():
            env = tuple(sorted(action.env.items()))
            where = (action.cwd, action.user, action.network, network, str(platform))
            return ("run", action.argv, action.script, env, where)
        case MakeFolder():
            return ("workdir", action.path, action.user)
        case CopyFiles():
            flags = (action.link, action.parents, action.unpacks)
            sources = action.sources if action.origin is not None else len(action.sources)
            mode = str(action.mode) if action.mode else ""
            return ("copy", sources, action.contents, action.destination, action.owner, mode, flags)


class Key:
    """The cache key of one step, known as soon as all layers it rests on are published."""

    def __init__(self, action: tuple[object, ...], inputs: str, beneath: tuple[Stack, ...]) -> None:
        self._action = action
        self._inputs = inputs
        self.beneath = beneath

    @property
    def is_known(self) -> bool:
        """Whether it can be computed now."""
        return all(stack.is_published for stack in self.beneath)

    def compute(self) -> str:
        """The key, in hex."""
        chains = tuple(stack.chain_id for stack in self.beneath)
        return cache.key(self._action, self._inputs, chains)
