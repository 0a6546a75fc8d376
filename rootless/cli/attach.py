"""`attach`, and `start -a`: a container's streams, here."""

from __future__ import annotations

import sys

from rootless.cli import words
from rootless.cli.lifecycle import find
from rootless.container import attach as attaching
from rootless.container import console, life
from rootless.errors import RootlessError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container


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
            hint=f"rootless start -a {container.name or container.short}",
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
    from _socket import AF_UNIX, SOCK_STREAM, socketpair

    from rootless.cli import run
    from rootless.container import monitor, networking

    typed = arguments.interactive and container.spec.interactive
    if container.is_running:
        return _join(store, container, arguments, typed=typed)
    search_path = given.environment.get("PATH", "")
    ids = networking.begin(store, (container.spec,), search_path).finish()
    ground = run.grounded(given, store, life.image(store, container), ids)
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    life.start(ground, container, monitor.Told(lambda _: None, warn=words.warn), [theirs])
    theirs.close()
    return _follow(store, container, ours, arguments, typed=typed)


def _follow(
    store: Store, container: Container, connection: socket, arguments: Arguments, *, typed: bool
) -> int:
    keys = attaching.DETACH_KEYS if arguments.detach_keys is None else arguments.detach_keys
    if arguments.sig_proxy:
        life.pass_signals(store, container)
    status = attaching.converse(
        connection,
        has_terminal=container.spec.terminal,
        typed=typed,
        keys=attaching.Keys(keys),
    )
    if status is None:
        print("read escape sequence", file=sys.stderr)
        return 0
    return status
