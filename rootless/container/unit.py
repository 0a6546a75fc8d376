"""A container as a service of the user's systemd: the text of its unit. Pure.

The unit runs the container in the foreground, so that systemd sees it start, end and fail; what
is delegated to the unit holds the container's cgroup. systemd.service(5), systemd.unit(5).
"""

from __future__ import annotations

from rootless.record import Record

_GRACE = 60  # seconds that systemd waits longer than the container may take


class Wishes(Record):
    """What is wanted of the unit; times are in seconds, None is systemd's default.

    `folder` is where it works, "" for systemd's choice.
    """

    restart: str = "on-failure"
    restart_sec: int | None = None
    start_timeout: int | None = None
    stop_timeout: int = 10
    after: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    folder: str = ""


class Commands(Record):
    """What starts and what ends the container, as argument vectors."""

    start: tuple[str, ...]
    stop: tuple[str, ...]
    afterwards: tuple[str, ...]


def text(name: str, commands: Commands, folder: str, wishes: Wishes, header: str = "") -> str:
    """The unit that keeps the container `name`, whose store is in `folder`."""
    network = "network-online.target"
    sections = {
        "Unit": [
            f"Description=Container {_plain(name)}",
            f"Wants={' '.join((network, *wishes.wants))}",
            f"After={' '.join((network, *wishes.after))}",
            *([f"Requires={' '.join(wishes.requires)}"] if wishes.requires else []),
            f"RequiresMountsFor={quoted(folder)}",
        ],
        "Service": [
            "Type=exec",
            *([f"WorkingDirectory={_plain(wishes.folder)}"] if wishes.folder else []),
            *(f"Environment={quoted(line)}" for line in wishes.environment),
            f"Restart={wishes.restart}",
            *_seconds("RestartSec", wishes.restart_sec),
            *_seconds("TimeoutStartSec", wishes.start_timeout),
            f"TimeoutStopSec={wishes.stop_timeout + _GRACE}",
            "Delegate=yes",
            "KillMode=mixed",
            "SuccessExitStatus=143",
            f"ExecStart={command(commands.start)}",
            f"ExecStop=-{command(commands.stop)}",
            f"ExecStopPost=-{command(commands.afterwards)}",
        ],
        "Install": ["WantedBy=default.target"],
    }
    written = (f"[{title}]\n" + "\n".join(lines) for title, lines in sections.items())
    return header + "\n\n".join(written) + "\n"


def _seconds(key: str, value: int | None) -> list[str]:
    return [] if value is None else [f"{key}={value}"]


def command(argv: tuple[str, ...]) -> str:
    """A command line of a unit: systemd expands % everywhere, $ in all but the program's path."""
    return " ".join((quoted(argv[0]), *(quoted(word).replace("$", "$$") for word in argv[1:])))


def quoted(word: str) -> str:
    """One word, as systemd reads it."""
    escaped = _plain(word).replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(one if one.isprintable() else _hex(one) for one in escaped)
    simple = escaped and not set(escaped) & set(" '\"\\;#") and escaped == _plain(word)
    return escaped if simple else f'"{escaped}"'


def _hex(one: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in one.encode(errors="surrogateescape"))


def _plain(text: str) -> str:
    return text.replace("%", "%%")
