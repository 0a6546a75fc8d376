"""`generate systemd`: a unit for the user's systemd that runs a container, also after a reboot."""

from __future__ import annotations

import os
import sys

from rootless import __version__
from rootless.cli.finding import find
from rootless.cli.words import escape
from rootless.container import unit
from rootless.errors import RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container

_UNIT_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@")


def systemd(given: Settings, arguments: Arguments) -> int:
    """Print the unit, or write it to a file here."""
    container = find(Store(given.root), arguments.container)
    called = container.name if arguments.name else container.id
    title = f"{arguments.container_prefix}{arguments.separator}{called}"
    if not title or not _UNIT_NAME.issuperset(title):
        raise UsageError(
            f"{title!r} cannot be the name of a unit", hint="use letters, digits, '-', '_' and '.'"
        )
    header = f"# {title}.service\n" + ("" if arguments.no_header else _header())
    wishes = _wishes(arguments)
    commands = _commands(given, arguments, container, wishes.stop_timeout)
    folder = os.getcwd() if arguments.new else ""  # flags may name what is there
    text = unit.text(called, commands, given.root, wishes.replace(folder=folder), header)
    if not arguments.files:
        print(escape(text, lines=True), end="")
        return 0
    path = os.path.abspath(f"{title}.service")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RootlessError(f"{path} cannot be written: {error.strerror}") from None
    print(escape(path))
    return 0


def _header() -> str:
    return (
        f"# Made by rootless {__version__}. To run it after every boot, put this file into\n"
        "# ~/.config/systemd/user and type: systemctl --user daemon-reload;\n"
        "# systemctl --user enable --now NAME.service; loginctl enable-linger\n\n"
    )


def _wishes(arguments: Arguments) -> unit.Wishes:
    stop = _seconds("--stop-timeout", arguments.stop_timeout)
    return unit.Wishes(
        restart=arguments.restart_policy,
        restart_sec=_seconds("--restart-sec", arguments.restart_sec),
        start_timeout=_seconds("--start-timeout", arguments.start_timeout),
        stop_timeout=10 if stop is None else stop,
        after=tuple(arguments.after),
        wants=tuple(arguments.wants),
        requires=tuple(arguments.requires),
        environment=tuple(arguments.env),
    )


def _seconds(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{name} {text!r} is not a number of seconds", hint=f"write {name} 10")
    return int(text)


def _commands(
    given: Settings, arguments: Arguments, container: Container, patience: int
) -> unit.Commands:
    """Where it is made anew, it is known by its name."""
    rootless = (*_program(), "--root", given.root)
    name = container.name
    stop = (*rootless, "stop", "-t", str(patience), name)
    if not arguments.new:
        return unit.Commands((*rootless, "start", "--attach", name), stop, stop)
    if not container.spec.created_by:
        raise RootlessError(
            "with what flags this container was made is not known",
            hint="leave out --new: the unit then starts this very container",
        )
    if not container.name:
        raise RootlessError(
            "--new needs a container with a name", hint="make it with: rootless create --name NAME"
        )
    run = (*rootless, "run", "--rm", "--name", name, *container.spec.created_by)
    remove = (*rootless, "rm", "--force", name)
    return unit.Commands(run, stop, remove)


def _program() -> tuple[str, ...]:
    """How this program is started by its full path."""
    path = os.path.abspath(sys.argv[0])
    if os.path.basename(path) == "rootless" and os.access(path, os.X_OK):
        return (path,)
    return (os.path.abspath(sys.executable), "-m", "rootless")
