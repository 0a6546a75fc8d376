"""`exec`: a command in a container that runs."""

from __future__ import annotations

import _signal
import os
import sys

from rootless.cli import environment
from rootless.cli.finding import find
from rootless.cli.parser import CommandLineError
from rootless.container import enter
from rootless.errors import RootlessError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.monitor import Streams


def exec_(given: Settings, arguments: Arguments) -> int:
    """Execute a command in a container that runs; its exit status."""
    if not arguments.command:
        raise CommandLineError(
            "'rootless exec' requires at least 2 arguments",
            hint="name a container, and a command: rootless exec CONTAINER COMMAND",
        )
    store = Store(given.root)
    entry = _entry(given, arguments)
    container = find(store, arguments.container)
    enter.check(container)
    explain = _explain if arguments.explain else None
    if arguments.detach:
        try:
            enter.in_background(store, container, entry, explain, _warn)
        except RootlessError as error:
            error.exit_code = 1  # as docker's, whatever has kept it from running
            raise
        return 0
    _check_terminal(arguments)
    return enter.in_foreground(store, container, entry, _streams(arguments), explain, _warn)


def _entry(given: Settings, arguments: Arguments) -> enter.Entry:
    return enter.Entry(
        argv=arguments.command,
        env=environment.read(given, arguments.env_file, arguments.env),
        user=arguments.user or None,
        working_dir=arguments.workdir or "",
        privileged=arguments.privileged,
        terminal=arguments.tty,
    )


def _check_terminal(arguments: Arguments) -> None:
    if arguments.tty and arguments.interactive and not os.isatty(0):
        raise RootlessError(
            "the input device is not a TTY", hint="leave out -t when the input is a pipe or file"
        )


def _streams(arguments: Arguments) -> Streams:
    if not arguments.tty:
        from rootless.container.carried import Carried

        return Carried(interactive=arguments.interactive)
    from rootless.container import terminal

    for number in (_signal.SIGHUP, _signal.SIGTERM):  # the caller's terminal is to be restored
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _end)
    from rootless.container.attach import DETACH_KEYS, Keys

    keys = Keys(DETACH_KEYS if arguments.detach_keys is None else arguments.detach_keys)
    return terminal.Outliving(interactive=arguments.interactive, tell=_tell, sift=keys.pass_on)


def _end(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _tell(text: str) -> None:
    print(f"\n{text}", file=sys.stderr, flush=True)


def _warn(text: str) -> None:
    from rootless.cli import words

    words.warn(text)


def _explain(steps: list[str]) -> None:
    from rootless.cli import words

    print(*map(words.escape, steps), sep="\n", file=sys.stderr, flush=True)
