"""`update`: other limits and another restart policy for containers that are there."""

from __future__ import annotations

import os

from rootless.cli import run_limits
from rootless.cli.finding import find
from rootless.cli.lifecycle import each
from rootless.container import events, homes, limits, records
from rootless.errors import RootlessError, UsageError
from rootless.sandbox import cgroup
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.limits import Limits
    from rootless.container.spec import Container, ContainerSpec, Restart


def update(given: Settings, arguments: Arguments) -> int:
    """Keep what is given, and let it count at once where one runs; goes on after an error."""
    asked = run_limits.parse(arguments)
    policy = _policy(arguments.restart)
    if asked == limits.Limits() and policy is None:
        raise UsageError(
            "you must provide one or more flags when using this command",
            hint="as in: rootless update --memory 512m NAME",
        )
    limits.check(asked.replace(memory_swap=asked.memory_swap if asked.memory else 0), _processors())
    store = Store(given.root)
    return each(arguments.names, lambda name: _update(store, find(store, name), asked, policy))


def _processors() -> int:
    return os.cpu_count() or 1


def _policy(text: str | None) -> Restart | None:
    from rootless.cli import run_flags

    return None if text is None else run_flags.restart(text)


def _update(
    store: Store, container: Container, asked: Limits, policy: Restart | None
) -> str | None:
    spec = container.spec
    if policy and spec.remove and policy.policy != "no":
        raise RootlessError(
            "Restart policy cannot be updated because AutoRemove is enabled for the container"
        )
    changed = limits.check(asked.over(spec.limits), _processors())
    if changed != spec.limits and container.is_running:
        _apply(records.pid(store, container), container, changed)

    def updated(now: ContainerSpec) -> ContainerSpec:
        changed = limits.check(asked.over(now.limits), _processors())
        return now.replace(limits=changed, restart=policy or now.restart)

    homes.rewrite(store, container, updated)
    events.tell(store, "update", spec)
    return None


def _apply(pid: int, container: Container, changed: Limits) -> None:
    """RootlessError where the container cannot be limited as it runs."""
    group = cgroup.of_container(pid) if pid else None
    if group is None:
        raise RootlessError(
            f"container {container.name} runs without a cgroup of its own",
            hint="stop it, update it, and start it: then it gets one, where that can be had",
        )
    group.set(limits.files(changed))
