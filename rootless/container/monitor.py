"""The only parent of a container's supervisor: from its start to its end, and again by its policy.

`supervise` runs in the command's own process for a container in the foreground, and in a small
process of its own (`detached`) for one that outlives its command; both are uid 0 of the user
namespace and have one thread. Whatever kills this process kills the container; its directory is let
go of by the kernel, so that the next command sees what it is, and sweeps what was to be removed.
"""

from __future__ import annotations

import os
import time

from rootless.container import events, foreground, health, limiting, networking, start
from rootless.container.state import ContainerState
from rootless.errors import RootlessError
from rootless.record import Record
from rootless.sandbox import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from rootless.container.checking import Watch
    from rootless.container.connecting import Connection
    from rootless.container.homes import Home
    from rootless.container.leftovers import Leftovers
    from rootless.container.spec import Restart
    from rootless.container.start import Ground
    from rootless.sandbox.spawn import Child

    class Streams(Protocol):
        """What a container's standard streams are tied to, over all its starts."""

        def open(self) -> tuple[int, int, int]:
            """Descriptors for the next start, ours until `follow`."""

        @property
        def terminal_fd(self) -> int:
            """Where the container sends its terminal, or -1. Known once they are open."""

        def start(self) -> None:
            """The container has its ends: close them here, and carry what comes from now on."""

        def follow(self, child: Child) -> int:
            """From the start of the command to its exit status."""


_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0  # seconds between two starts, doubled each time
_LONG_ENOUGH = 10.0  # seconds of running after which the pauses begin anew
_GLANCE = 0.1
_TIMED_OUT = 255  # podman's exit code of what has run for too long
_NOT_EXECUTED, _NOT_STARTED = (126, 127), 128  # exit codes of what did not run


class Told(Record):
    """What a supervisor tells: words for the user, each step before it happens, that it runs.

    `warn` is given what the user should know before all that.
    """

    words: Callable[[str], object]
    explain: Callable[[list[str]], object] | None = None
    running: Callable[[], object] = lambda: None
    warn: Callable[[str], object] = lambda _: None


def supervise(
    ground: Ground, home: Home, streams: Streams, told: Told, begun: Connection | None = None
) -> int:
    """Start the container in `home` and stay until it has ended for good; its exit status.

    RootlessError, with docker's exit code, when it cannot be started. `home` stays held. `begun` is
    the network of its first start, where that has been begun.
    """
    start.furnish(ground, home.spec)
    state, pause = ContainerState("created"), _FIRST_PAUSE
    while True:
        life, begun = _Life(ground, home, streams, told, begun), None
        state = _once(life, ground, home, state)
        if not (home.begins_again() or _is_due(home.policy(), state)):
            is_told = home.tell(state)
            home.ended()
            if not is_told:  # a disk that is full has the room of what is gone with its end
                home.tell(state)
            break
        home.tell(state.replace(status="restarting"))
        pause = _FIRST_PAUSE if state.finished - state.started > _LONG_ENOUGH else pause
        if home.ended() or _is_told_to_stop(home, pause):
            home.tell(state)
            break
        pause = min(2 * pause, _LONGEST_PAUSE)
        state = state.replace(restarts=state.restarts + 1)
    limiting.leave(ground.cgroup)
    return state.exit_code


def _once(life: _Life, ground: Ground, home: Home, state: ContainerState) -> ContainerState:
    """One start and its end. Only the first start may fail: then its error is raised."""
    running = state.replace(status="running", started=time.time(), error="", oom_killed=False)
    killed = limiting.oom_kills(ground.cgroup)
    try:
        status, error = life.run(running), ""
    except RootlessError as failure:
        status, error = failure.exit_code, failure.message
        if not state.restarts:
            home.tell(refused(home.before, status, error))
            home.ended()
            raise
    out_of_memory = limiting.oom_kills(ground.cgroup) > killed
    if out_of_memory:
        events.tell(ground.store, "oom", home.spec)
    if not error:
        lasted = {"execDuration": str(int(time.time() - running.started))}
        events.tell(ground.store, "die", home.newest(), exitCode=str(status), **lasted)
    return ended(running, status, error).replace(oom_killed=out_of_memory)


def refused(before: ContainerState, status: int, error: str) -> ContainerState:
    """The state of what could not be started: as it was, with docker's word for why."""
    code = status if status in _NOT_EXECUTED else _NOT_STARTED
    return before.replace(exit_code=code, error=error)


def ended(state: ContainerState, status: int, error: str = "") -> ContainerState:
    """The state of what ran until now."""
    return state.replace(
        status="exited", exit_code=status, error=error, finished=time.time(), ports=()
    )


def _is_told_to_stop(home: Home, seconds: float) -> bool:
    """Rest before the next start; whether somebody has asked meanwhile that there be none."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(min(_GLANCE, seconds))
        if home.is_to_stop():
            home.ended()
            return True
    return False


def _is_due(policy: Restart, state: ContainerState) -> bool:
    """Whether its policy starts it once more."""
    if policy.policy == "on-failure":
        return state.exit_code != 0 and (policy.most == 0 or state.restarts < policy.most)
    return policy.policy in ("always", "unless-stopped")


class _Life:
    """One start, to its end."""

    def __init__(
        self,
        ground: Ground,
        home: Home,
        streams: Streams,
        told: Told,
        begun: Connection | None,
    ) -> None:
        self._ground = ground
        self._home = home
        self._streams = streams
        self._told = told
        self._begun = begun
        self._root = start.root(ground, home.spec, home.path)
        self._checks: Watch | None = None
        self._has_volumes = any(one.kind == "volume" for one in home.spec.mounts)

    def run(self, state: ContainerState) -> int:
        """The exit status. Where it cannot be started, nothing of it is left."""
        self._network = networking.Network(self._ground, self._home.spec, self._begun)
        try:
            return self._run(state)
        finally:
            if self._checks:
                self._checks.end()
            self._network.close()
            self._tell_volumes("unmount")
            if not self._home.spec.remove:
                self._root.commit()

    def _tell_volumes(self, action: str) -> None:
        if self._has_volumes:
            events.tell_volumes(self._ground.store, action, self._home.spec)

    def _run(self, state: ContainerState) -> int:
        await_read, await_write = os.pipe() if self._network.is_awaited else (-1, -1)
        stdio = self._streams.open()
        links = self._network.links(await_read, self._streams.terminal_fd)
        spec = start.plan(self._ground, self._home.spec, self._home.path, links, self._root)
        if self._told.explain:
            from rootless.sandbox import explain

            self._told.explain(list(explain.explain(spec)))
        self._tell_volumes("mount")
        left = None if "pid" in spec.namespaces or not spec.is_apart else _leftovers()
        child = foreground.spawned(lambda: spawn.spawn(spec, *stdio), self._told.words)
        self._home.started(child.pid, child.last)
        self._home.tell(state.replace(ports=self._network.ports))
        try:
            if self._network.is_awaited:
                os.close(await_read)
                self._network.connect(child.pid)
                _let_go(await_write)
            self._streams.start()
            child.await_exec()
            self._home.entered(child.first)
            if left:
                left.know(child.pid)
            events.tell(self._ground.store, "start", self._home.spec)
            self._told.running()
            self._watch()
            status = self._follow(child)
            if left:
                left.end()
            return status
        except BaseException as error:
            child.kill()
            if isinstance(error, OSError | RootlessError):
                child.await_exec()  # where it failed before us, its own words say why
            child.wait()
            raise

    def _follow(self, child: Child) -> int:
        """Until its end, or until its time is over."""
        if not self._home.spec.timeout:
            return self._streams.follow(child)
        is_over = foreground.end_after(self._home.spec.timeout, child)
        status = self._streams.follow(child)
        return _TIMED_OUT if is_over() else status

    def _watch(self) -> None:
        """Make its health checks, where it has any."""
        spec = self._home.spec
        if rule := health.rule(spec.run.healthcheck):
            from rootless.container.checking import Watch

            self._checks = Watch(self._ground.store, spec.id, rule)


def _leftovers() -> Leftovers:
    from rootless.container.leftovers import Leftovers

    return Leftovers()


def _let_go(await_fd: int) -> None:
    """Tell the container that its network is there; where it was killed meanwhile, nobody hears."""
    try:
        os.write(await_fd, b"x")
    except BrokenPipeError:
        pass
    os.close(await_fd)
