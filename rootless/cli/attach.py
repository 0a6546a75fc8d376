"""`attach`, and `start -a`: a container's streams, here."""

from __future__ import annotations

import sys

from rootless.cli import words
from rootless.cli.finding import find
from rootless.container import attach as attaching
from rootless.container import console, foreground, frames, homes, life
from rootless.errors import RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from rootless.cli.parser import Arguments
    from rootless.cli.run import Made
    from rootless.cli.settings import Settings
    from rootless.container.front import Front
    from rootless.container.monitor import Told
    from rootless.container.spec import Container

_STREAMS = {"STDIN": frames.INPUT, "STDOUT": frames.OUTPUT, "STDERR": frames.ERRORS}


def attach(given: Settings, arguments: Arguments) -> int:
    """Show what a container writes from now on, and give it what is typed."""
    store = Store(given.root)
    container = find(store, arguments.container)
    typed = container.spec.interactive and not arguments.no_stdin
    return _join(store, container, arguments, typed=typed)


def _join(store: Store, container: Container, arguments: Arguments, *, typed: bool) -> int:
    """Attach to a container that runs."""
    if not container.is_running:
        raise RootlessError(
            "cannot attach to a stopped container, start it first",
            hint=f"rootless start -a {container.name}",
        )
    if container.state.status == "paused":
        raise RootlessError(
            "cannot attach to a paused container, unpause it first",
            hint=f"rootless unpause {container.name}",
        )
    try:
        connection = console.connect(store.path("containers", container.id))
    except OSError:
        raise RootlessError(
            f"container {container.short} runs in the foreground of another command",
            hint="look at its output there, or with: rootless logs",
        ) from None
    return _follow(store, container, connection, arguments, typed=typed)


def start(given: Settings, store: Store, container: Container, arguments: Arguments) -> int:
    """Start a container and stay attached to it."""
    from rootless.cli import run
    from rootless.container import monitor, networking
    from rootless.container.front import Front

    typed = arguments.interactive and container.spec.interactive
    if container.is_running:
        return _join(store, container, arguments, typed=typed)
    search_path = given.environment.get("PATH", "")
    ids = networking.begin(store, (container.spec,), search_path).finish()
    ground = run.grounded(given, store, life.image(store, container), ids)
    front = Front(tied=False)
    try:
        life.start(ground, container, monitor.Told(lambda _: None, warn=words.warn), front)
    except RootlessError as error:
        error.exit_code = 1  # as docker's start says it of any number, attached or not
        raise
    return _follow(store, container, front.in_command(), arguments, typed=typed)


def run(made: Made, told: Told, arguments: Arguments, *, tied: bool) -> int:
    """Start a new container that has a monitor of its own, and stay attached to it. One that is
    `tied` ends with this process, unless the user leaves it by the detach keys.
    """
    from rootless.cli.run import begin
    from rootless.container.front import Front
    from rootless.container.spec import Container
    from rootless.container.state import ContainerState

    spec, store = made.home.spec, made.ground.store
    shown = _streams(arguments)
    front = Front(tied=tied)
    begin(made, told, front)
    container = Container(spec, ContainerState("running"))
    return _follow(
        store,
        container,
        front.in_command(),
        arguments,
        typed=spec.interactive,
        shown=shown,
        tied=front if tied else None,
    )


def _streams(arguments: Arguments) -> frozenset[int]:
    """Those of --attach; all where it is not given."""
    named = {text.upper() for text in arguments.attach}
    return frozenset(_STREAMS[name] for name in named or _STREAMS) - {frames.INPUT}


def check_streams(arguments: Arguments) -> None:
    """UsageError for an --attach that names no stream, or goes with --detach."""
    for text in arguments.attach:
        if text.upper() not in _STREAMS:
            raise UsageError(
                f'invalid argument "{text}" for "-a, --attach" flag: '
                "valid streams are STDIN, STDOUT and STDERR"
            )
    if arguments.attach and arguments.detach:
        raise UsageError("conflicting options: cannot specify both --attach and --detach")
    attaching.Keys(arguments.detach_keys or "")


def _follow(
    store: Store,
    container: Container,
    connection: socket,
    arguments: Arguments,
    *,
    typed: bool,
    shown: frozenset[int] = attaching.BOTH,
    tied: Front | None = None,
) -> int:
    """Stay attached until the container ends, or is left; the exit status of this command."""
    if tied:
        foreground.forward_signals(life.Distant(store, container), _tell)
    elif arguments.sig_proxy:
        life.pass_signals(store, container)
    keys = attaching.DETACH_KEYS if arguments.detach_keys is None else arguments.detach_keys
    status = attaching.converse(
        connection,
        has_terminal=container.spec.terminal,
        typed=typed,
        keys=attaching.Keys(keys),
        shown=shown,
    )
    if status is None:
        if tied:
            tied.let_go()
        print("read escape sequence", file=sys.stderr)
        return 0
    if container.spec.remove:
        homes.await_release(store, container)
    return status


def _tell(text: str) -> None:
    """On a line of its own, in a terminal that is raw."""
    print(f"\r\n{text}\r", file=sys.stderr, flush=True)
