"""What makes two steps the same: the canonical form of an action, for its cache key. Pure.

Files count by what they hold, wherever they come from: a stage that was built anew and gave the
same files repeats nothing after a COPY of them.
Proxy variables, secrets, extra hosts, limits, times, owners on this machine and the Dockerfile's
wording are not in it.
"""

from __future__ import annotations

from rootless.build.plan import mounts
from rootless.build.plan.actions import CopyFiles, MakeFolder, RunCommand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.plan.actions import Action
    from rootless.oci.platform import Platform


def canonical(action: Action, platform: Platform, network: str) -> tuple[object, ...]:
    """Strings, numbers and tuples that say all of `action` but the contents it reads."""
    match action:
        case RunCommand():
            env = tuple(sorted(action.env.items()))
            where = (action.cwd, action.user, action.network, network, str(platform))
            run = ("run", action.argv, action.script, env, where)
            given = tuple(map(mounts.canonical, action.mounts))
            if not (given or action.insecure or action.devices):
                return run
            return (*run, given, action.insecure, action.devices)
        case MakeFolder():
            return ("workdir", action.path, action.user)
        case CopyFiles():
            flags = (action.link, action.parents, action.unpacks, action.origin is not None)
            place = (action.destination, action.owner, str(action.mode) if action.mode else "")
            return ("copy", len(action.sources), action.contents, place, flags)
