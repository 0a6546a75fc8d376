"""Containers that stay paused: every process stopped, until somebody lets them go on.

Runs in the command's process, outside the namespace. The file `paused` in the container's folder
says that it is, and whom to let go on; who ends the container removes it. A command that is killed
between the two leaves stopped processes and no file: pausing again, or ending, puts that right.
"""

from __future__ import annotations

import fcntl
import os

from rootless import leanjson, living
from rootless.container import events, pause, records
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import Container
    from rootless.store import Store


def pause_for_good(store: Store, container: Container) -> None:
    """Stop all its processes. RootlessError where it does not run, or is paused."""
    supervisor = records.process_of(store, container) if container.is_running else None
    if supervisor is None or container.state.status == "restarting":
        raise RootlessError(f"container {container.id} is not running")
    path = store.path("containers", container.id)
    with _Alone(path):
        if os.path.exists(f"{path}/{records.PAUSED}"):
            raise RootlessError(
                f"Container {container.id} is already paused",
                hint=f"let it go on with: rootless unpause {container.name}",
            )
        stopped: list[pause.Member] = []
        try:
            pause.stop(supervisor, stopped)
            ours = [[one.pid, one.started.decode()] for one in stopped if not one.was_stopped]
            _write(f"{path}/{records.PAUSED}", leanjson.dumps({"stopped": ours}))
        except BaseException:
            pause.let_go(stopped)
            raise
    if not living.is_alive(supervisor):
        raise RootlessError(f"container {container.id} is not running")
    events.tell(store, "pause", container.spec)


def unpause(store: Store, container: Container) -> None:
    """Let its processes go on. RootlessError where it is not paused."""
    path = store.path("containers", container.id)
    if container.state.status != "paused":
        raise RootlessError(
            f"Container {container.id} is not paused",
            hint="it runs: there is nothing to do"
            if container.is_running
            else f"start it with: rootless start {container.name}",
        )
    with _Alone(path):
        value = records.read(f"{path}/{records.PAUSED}") or {}
        stopped = [
            pause.Member(pid, str(started).encode(), was_stopped=False)
            for pid, started in value.get("stopped", [])
        ]
        pause.let_go(stopped)
        try:
            os.unlink(f"{path}/{records.PAUSED}")
        except FileNotFoundError:  # it has ended meanwhile
            pass
    events.tell(store, "unpause", container.spec)


class _Alone:
    """The lock that `pause` has while a container is committed, for as long as `with` is."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(f"{path}/container.json", os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _write(path: str, content: bytes) -> None:
    with open(f"{path}.new", "wb", buffering=0) as file:
        file.write(content)
    os.rename(f"{path}.new", path)
