"""`healthcheck run`: one health check, now."""

from __future__ import annotations

from rootless.cli.finding import find
from rootless.container import checking, enter, health, homes
from rootless.errors import RootlessError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def run(given: Settings, arguments: Arguments) -> int:
    """Make a check of a container that runs; 0 when it succeeds, else 1. It counts as any other."""
    store = Store(given.root)
    container = find(store, arguments.container)
    rule = health.rule(container.spec.run.healthcheck)
    if rule is None:
        raise RootlessError(
            f"container {container.name} has no health check",
            hint="one comes with HEALTHCHECK of its image, or run --health-cmd",
        )
    enter.check(container)
    made = checking.check(store, container, rule)
    found = container.state.health or health.Health()
    found = found.after(made, rule, container.state.started)
    homes.tell_health(store, container, found)
    if found.status == health.UNHEALTHY:
        checking.react(store, container)
    if made.exit_code:
        print(health.UNHEALTHY)
    return int(made.exit_code != 0)
