"""`ps`, `rm` and `container prune`: containers that run or have run."""

from __future__ import annotations

import time

from rootless.cli import listing, words
from rootless.container import records
from rootless.errors import RootlessError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.records import Container

_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}
_COMMAND_WIDTH = 20


def ps(given: Settings, arguments: Arguments) -> int:
    """List containers, newest first."""
    found = records.listing(Store(given.root))
    shown = [one for one in found if arguments.all or one.exit_code is None]
    if arguments.quiet:
        for one in shown:
            print(one.id if arguments.no_trunc else one.short)
        return 0
    rows = [_row(one, full=arguments.no_trunc) for one in shown]
    listing.show(rows, _HEADERS, tuple(_HEADERS), arguments.format or "")
    return 0


def rm(given: Settings, arguments: Arguments) -> int:
    """Remove stopped containers; goes on after an error, which is raised at the end."""
    from rootless import userns

    store = Store(given.root)
    userns.enter()
    errors: list[RootlessError] = []
    for name in arguments.names:
        try:
            _remove(store, name)
        except RootlessError as error:
            if not arguments.force:
                errors.append(error)
        else:
            print(name)
    if errors:
        raise RootlessError("\n".join(error.message for error in errors), hint=errors[0].hint)
    return 0


def prune(given: Settings, arguments: Arguments) -> int:
    """Remove every stopped container."""
    from rootless import userns
    from rootless.cli import system

    if not arguments.force and not system.agreed(["all stopped containers"]):
        return 0
    userns.enter()
    for container in records.prune(Store(given.root)):
        print(container.id)
    return 0


def _remove(store: Store, name: str) -> None:
    container = records.find(store, name)
    if container.exit_code is None:
        raise RootlessError(
            f"container {container.name or container.short} is running",
            hint="end its command first",
        )
    records.remove(store, container)


def _row(container: Container, *, full: bool) -> dict[str, str]:
    command = " ".join(container.command)
    if not full and len(command) > _COMMAND_WIDTH:
        command = command[: _COMMAND_WIDTH - 1] + "…"
    now = time.time()
    running = words.age(now - container.created)
    ended = f"Exited ({container.exit_code}) {words.age(now - container.finished)}"
    up = f"Up {running.removesuffix(' ago')}"
    return {
        "ID": container.id if full else container.short,
        "Image": container.image,
        "Command": f'"{command}"',
        "RunningFor": running,
        "Status": up if container.exit_code is None else ended,
        "Ports": ", ".join(container.ports),
        "Names": container.name,
    }
