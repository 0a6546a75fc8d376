"""One more process in a container that runs: what `exec`, and a health check, are.

Runs in the command's process, which stays in its own namespaces: only the joiner that it clones
enters those of the container (`sandbox.joining`). Killed, it leaves what it has started, which ends
with the container at the latest.
"""

from __future__ import annotations

import os

from rootless import living, roots, runspec, userns
from rootless.container import events, own, records
from rootless.container.confinement import confine_process
from rootless.errors import RootlessError
from rootless.record import Record
from rootless.sandbox import caps, cgroup, spawn
from rootless.sandbox.joining import Enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.container.monitor import Streams
    from rootless.container.spec import Container, ContainerSpec
    from rootless.sandbox.spawn import Child
    from rootless.sandbox.spec import Spec
    from rootless.store import Store

    Explain = Callable[[list[str]], object] | None
    Warn = Callable[[str], object]

_NOT_ENTERED = 128  # docker's exit code of what could not even be tried
_SHAREABLE = ("user", "mount", "pid", "uts", "ipc", "net", "cgroup")
_FILES = {"mount": "mnt"}  # of /proc/PID/ns


class Entry(Record):
    """What is executed. `user` of None and `working_dir` of "" are the container's own.

    `privileged` has all of root's powers over the container, and no others.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    user: str | None = None
    working_dir: str = ""
    privileged: bool = False
    terminal: bool = False


def in_foreground(
    store: Store,
    container: Container,
    entry: Entry,
    streams: Streams,
    explain: Explain = None,
    warn: Warn = lambda _: None,
) -> int:
    """Execute it on these streams, and wait for it; its exit status.

    `explain` gets the plan in words, `warn` a sentence where the container's limits do not hold.

    RootlessError, with docker's exit code, when it cannot be executed.
    """
    stdio = streams.open()
    child = begin(store, container, entry, stdio, streams.terminal_fd, explain, warn)
    try:
        executed = events.Executed(store, container.spec, entry.argv)  # while it is on its way
        streams.start()
        child.await_exec()
    except BaseException:
        child.kill()
        raise
    status = streams.follow(child)
    executed.died(status)
    return status


def in_background(
    store: Store,
    container: Container,
    entry: Entry,
    explain: Explain = None,
    warn: Warn = lambda _: None,
) -> None:
    """Execute it with nothing to read, and nobody who reads; returns when it runs.

    A process of its own waits for its end, which is told; killed, it only leaves that untold.
    """
    from rootless.container import detached

    def body(report: detached.Report) -> None:
        plan = report.tell if explain else None
        child = begin(store, container, entry, (0, 1, 2), explain=plan, warn=report.tell)
        executed = events.Executed(store, container.spec, entry.argv)
        child.await_exec()
        report.running()
        executed.died(child.wait())

    def see(told: Any) -> None:
        if explain and not isinstance(told, str):
            explain(told)
        else:
            warn(told)

    detached.begin(body, "who waits for it", see)


def begin(
    store: Store,
    container: Container,
    entry: Entry,
    stdio: tuple[int, int, int],
    terminal_fd: int = -1,
    explain: Explain = None,
    warn: Warn = lambda _: None,
) -> Child:
    """Start the joiner, and through it what is to be executed; the caller awaits that."""
    process = _inside(store, container)
    pidfd = _open(process, container)
    try:
        there, ids = _entrance(store, process.pid, pidfd, container, warn)
        spec = runspec.entry(there, ids, _process(container.spec, entry), terminal_fd)
        if explain:
            explain(_in_words(spec))
        return spawn.spawn(spec, *stdio)
    finally:
        os.close(pidfd)


def _in_words(spec: Spec) -> list[str]:
    from rootless.sandbox import explain

    return list(explain.explain(spec))


def check(container: Container) -> None:
    """RootlessError, in docker's words, where nothing can be executed in it."""
    status = container.state.status
    if status == "paused":
        raise RootlessError(
            f"container {container.name} is paused, unpause the container before exec",
            hint=f"rootless unpause {container.name}",
        )
    if status == "restarting":
        raise RootlessError(
            f"container {container.id} is restarting, wait until the container is running"
        )
    if not container.is_running:
        raise _stopped(container)


def _stopped(container: Container) -> RootlessError:
    return RootlessError(
        f"container {container.id} is not running",
        hint=f"start it with: rootless start {container.name}",
    )


def _inside(store: Store, container: Container) -> living.Process:
    """The process whose namespaces are entered; one that is just being started is waited for."""
    from time import monotonic, sleep

    check(container)
    until = monotonic() + records.PATIENCE
    while True:
        if process := records.inside(store, container):
            return process
        if monotonic() > until or not records.is_running(store.path("containers", container.id)):
            raise _stopped(container)
        sleep(0.01)


def _open(process: living.Process, container: Container) -> int:
    """What stands for it, and for nobody else who may have its number later."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        raise _stopped(container) from None
    if not living.is_alive(process):  # `pidfd` is whoever has the number since before this question
        os.close(pidfd)
        raise _stopped(container)
    return pidfd


def _entrance(
    store: Store, pid: int, pidfd: int, container: Container, warn: Warn
) -> tuple[Enter, userns.IdMap]:
    """What is entered, and the ids there; RootlessError where it has ended meanwhile."""
    tree = roots.unfolded(store.path("containers", container.id))
    own_numbers = not (container.spec.confinement.pid or tree)
    try:
        names, group, ids = _own_namespaces(pid), _group(pid, warn), userns.of(pid)
        answered = not ids.is_range
        return Enter(pidfd, pid, names, group, own_numbers, answered, tree), ids
    except PermissionError:  # another user's, and we have no power over it: then not over any other
        if not tree:
            raise
        return Enter(pidfd, pid, (), own_numbers=False, tree=tree), userns.current()
    except (FileNotFoundError, ProcessLookupError):
        raise _stopped(container) from None


def _group(pid: int, warn: Warn) -> str:
    """The directory of its cgroup, where that is the container's own and can be entered."""
    theirs = cgroup.around(pid)
    if theirs:
        try:
            cgroup.approach(theirs)
        except cgroup.NoGroupError as error:
            warn(f"WARNING: the container's limits do not hold for it: {error.message}")
            return ""
    return theirs


def _own_namespaces(pid: int) -> tuple[str, ...]:
    """Those that it does not share with us."""
    return tuple(
        name for name in _SHAREABLE if _namespace(pid, name) != _namespace(os.getpid(), name)
    )


def _namespace(pid: int, name: str) -> tuple[int, int]:
    found = os.stat(f"/proc/{pid}/ns/{_FILES.get(name, name)}")
    return found.st_dev, found.st_ino


def _process(spec: ContainerSpec, entry: Entry) -> runspec.Process:
    """As the container's own, but for what is asked for."""
    mine = confine_process(own.process(spec), spec.confinement)
    if not (entry.working_dir or "/").startswith("/"):
        from rootless.sandbox.errors import SandboxError

        raise SandboxError(
            "Cwd must be an absolute path",
            hint="begin it with / : it is a path of the container",
            exit_code=_NOT_ENTERED,
        )
    return mine.replace(
        argv=entry.argv,
        env={**own.environment(spec, terminal=entry.terminal), **entry.env},
        user=mine.user if entry.user is None else entry.user,
        working_dir=entry.working_dir or mine.working_dir,
        capabilities=caps.ALL if entry.privileged else mine.capabilities,
    )
