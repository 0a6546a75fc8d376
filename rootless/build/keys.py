"""What makes two steps the same: the canonical form of an action, for its cache key. Pure.

Files count by what they hold, wherever they come from: a stage that was built anew and gave the
same files repeats nothing after a COPY of them.
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
            flags = (action.link, action.parents, action.unpacks, action.origin is not None)
            place = (action.destination, action.owner, str(action.mode) if action.mode else "")
            return ("copy", len(action.sources), action.contents, place, flags)


class Key:
    """The cache key of one step, known as soon as all layers it rests on are published.

    `inputs` is the digest of the files it reads, `origin` the layers that --from names. Whoever
    carries the step out sets `inputs` to what was really read.
    """

    def __init__(
        self,
        action: tuple[object, ...],
        inputs: str | None,
        beneath: Stack | None,
        origin: Stack | None = None,
    ) -> None:
        self._action = action
        self._beneath = beneath
        self.inputs = inputs
        self.origin = origin

    @property
    def is_known(self) -> bool:
        """Whether it can be computed now."""
        is_published = self._beneath is None or self._beneath.is_published
        return self.inputs is not None and is_published

    def compute(self) -> str:
        """The key, in hex."""
        assert self.inputs is not None
        chains = () if self._beneath is None else (self._beneath.chain_id,)
        return cache.key(self._action, self.inputs, chains)
