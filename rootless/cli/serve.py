"""`registry serve`: the store's images for other machines and tools, over the distribution API."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress

from rootless import userns
from rootless.cli import words
from rootless.errors import RootlessError, UsageError
from rootless.image.serve import Rules, Server
from rootless.image.shelf import Shelf
from rootless.registry.trust import is_loopback
from rootless.store import Store, gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def serve(given: Settings, arguments: Arguments) -> int:
    """Serve until Ctrl-C, or TERM."""
    host, port = _address(arguments.listen)
    store = Store(given.root)
    store.create()
    userns.enter()
    rules = Rules(arguments.writable, is_loopback(host))
    try:
        server = Server(Shelf(store), (host, port), _log(arguments), rules)
    except OSError as error:
        raise RootlessError(
            f"cannot listen on {arguments.listen}: {error.strerror}",
            hint="choose another with --listen HOST:PORT; port 0 takes any that is free",
        ) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server, suppress(KeyboardInterrupt):
        _announce(server, host, arguments)
        server.serve_forever()
    store.let_go()
    gc.collect(store)
    return 0


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port[:6]) > 65535:
        raise UsageError(f"--listen {text!r} is not HOST:PORT", hint="write 127.0.0.1:5000")
    return host.strip("[]") or "127.0.0.1", int(port)


def _announce(server: Server, host: str, arguments: Arguments) -> None:
    address = f"[{host}]" if ":" in host else host
    address += f":{server.server_address[1]}"
    how = "to read and change" if arguments.writable else "to read"
    who = "every user of this machine" if is_loopback(host) else "everybody"
    print(
        f"Serving {_count(server)} at http://{address} for {who} {how}; Ctrl-C ends it", flush=True
    )
    if not is_loopback(host):
        print(
            f"WARNING: there is no login and no encryption at {address}: whoever reaches it "
            "is let in",
            file=sys.stderr,
        )


def _count(server: Server) -> str:
    """How much there is."""
    count = len(server.shelf.repositories())
    return "1 repository" if count == 1 else f"{count} repositories"


def _log(arguments: Arguments) -> Callable[[str], None]:
    def log(line: str) -> None:
        if not arguments.quiet:
            print(words.escape(line), file=sys.stderr, flush=True)

    return log
