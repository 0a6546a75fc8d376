"""Where a container's monitor lives: in this process, or in one that outlives it.

Runs in the command's process, uid 0 of the user namespace. `home` is held by whoever monitors.
"""

from __future__ import annotations

from rootless import runspec
from rootless.container import limiting, monitor, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.connecting import Connection
    from rootless.container.front import Front
    from rootless.container.homes import Home
    from rootless.container.logs import Log
    from rootless.container.monitor import Streams, Told
    from rootless.container.spec import ContainerSpec
    from rootless.container.start import Ground


def in_foreground(ground: Ground, home: Home, told: Told, begun: Connection | None = None) -> int:
    """Run it in the foreground, tied to this process and its standard streams; its exit status.

    `begun` is the network of its first start, where that has been begun.
    """
    _warn(told, home.spec)
    ground = ground.replace(cgroup=limiting.enter(home.spec, told.warn))
    status = monitor.supervise(ground, home, _own_streams(home, told), told, begun)
    home.release()
    return status


def in_background(ground: Ground, home: Home, told: Told, front: Front | None = None) -> None:
    """Run it in a process of its own; returns when the command runs. `front` is attached from the
    beginning. RootlessError, with docker's exit code, when it cannot be started.
    """
    from rootless.container import detached
    from rootless.container.console import Console

    spec = home.spec
    _warn(told, spec)
    grouped = ground.replace(cgroup=limiting.enter(spec, told.warn))

    def body(report: detached.Report) -> None:
        streams = Console(
            home.path,
            _log(home),
            terminal=spec.terminal,
            interactive=spec.interactive,
            keeps_input=spec.detached,
            front=front.in_monitor() if front else None,
        )
        explain = report.tell if told.explain else None
        silent = told.replace(words=lambda _: None, explain=explain, running=report.running)
        monitor.supervise(grouped, home, streams, silent)
        home.release()

    detached.begin(body, "the container's monitor", told.explain or (lambda _: None))


def _warn(told: Told, spec: ContainerSpec) -> None:
    if caveat := runspec.caveat():
        told.warn(f"WARNING: {caveat}")
        if lost := mounts.losses(spec.mounts):
            told.warn(f"WARNING: {lost}")


def _own_streams(home: Home, told: Told) -> Streams:
    """Ours. They go through our hands only where what comes is kept."""
    spec = home.spec
    log = None if spec.remove else _log(home)
    if spec.terminal:
        from rootless.container import terminal

        keep = (lambda content: log.write("stdout", content)) if log else (lambda _: None)
        return terminal.Own(interactive=spec.interactive, tell=told.words, keep=keep)
    if log is None:
        from rootless.container.streams import Handed

        return Handed(interactive=spec.interactive)
    from rootless.container.console import Console

    return Console(home.path, log, terminal=False, interactive=spec.interactive, local=True)


def _log(home: Home) -> Log | None:
    """Its log, where one is kept."""
    if home.spec.log_driver == "none":
        return None
    from rootless.container import logs

    spec, options = home.spec, home.spec.log_options
    kept: dict[str, str] = {}
    if options:
        from rootless.container import log_details

        kept = log_details.details(spec, options)
    return logs.Log(home.path, logs.limits(options, spec.log_driver), kept)
