"""The flags of `run` and `create` as values: docker's spellings checked and understood."""

from __future__ import annotations

import os

from rootless.cli import run_network, run_words
from rootless.cli.table.run import OPTIONS, READERS
from rootless.container.overrides import Overrides
from rootless.container.spec import ContainerSpec, Restart
from rootless.errors import IntegrityError, RootlessError, UsageError
from rootless.oci.digest import Digest
from rootless.sandbox import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.network.choice import Choice
    from rootless.network.ports import PortMapping

_MAX_HOSTNAME = 64
GATEWAY = "host-gateway"


_NO_IMAGE_YET = Digest("sha256", "0" * 64)
_NOT_GIVEN = (None, False, ())
_POLICIES = ("no", "always", "unless-stopped", "on-failure")


def read(given: Settings, arguments: Arguments) -> tuple[ContainerSpec, Overrides]:
    """What the flags ask for: a container still without image, id and config, and what they change
    in the image's config. UsageError or RootlessError names the flag that is wrong.
    """
    if arguments.attach or arguments.detach_keys:
        from rootless.cli import attach

        attach.check_streams(arguments)
    network = run_network.choose(given, arguments)
    mappings = run_network.published(arguments, network)
    spec: dict[str, Any] = {
        "id": "",
        "name": arguments.name or "",
        "image": arguments.image,
        "image_id": _NO_IMAGE_YET,
        "created": 0,
        "ports": mappings,
        "reaches_host": any(GATEWAY in text for text in arguments.add_host),
        "hosts": tuple(host_line(text, network) for text in arguments.add_host),
        "dns": tuple(map(address, arguments.dns)),
        "read_only": arguments.read_only,
        "init": arguments.init,
        "terminal": arguments.tty,
        "interactive": arguments.interactive,
        "detached": arguments.detach,
        "remove": arguments.rm,
        "cidfile": arguments.cidfile or "",
        "stop_timeout": _seconds(arguments.stop_timeout),
        "timeout": _timeout(arguments.timeout or "0"),
        "annotations": dict(map(_annotation, arguments.annotation)),
        "restart": restart(arguments.restart or "no", remove=arguments.rm),
        "created_by": run_words.spelled(OPTIONS, arguments),
        "pod": arguments.pod or "",
        "requires": tuple(filter(None, ",".join(arguments.requires).split(","))),
        "capabilities": caps.chosen(arguments.cap_add, arguments.cap_drop),
        **run_network.fields(given, arguments, network, _hostname(arguments)),
    }
    changes = _changes(arguments, mappings)
    for name, fields in READERS.items():
        if any(getattr(arguments, field) not in _NOT_GIVEN for field in fields):
            reader = __import__(f"rootless.cli.{name}", fromlist=["fill"])
            reader.fill(given, arguments, spec, changes)
    return ContainerSpec(**spec), Overrides(**changes)


def _changes(arguments: Arguments, mappings: tuple[PortMapping, ...]) -> dict[str, Any]:
    """The fields of Overrides, but for those of `READERS`."""
    return {
        "command": tuple(arguments.command),
        "entrypoint": _entrypoint(arguments.entrypoint),
        "user": arguments.user,
        "working_dir": arguments.workdir or "",
        "exposed_ports": (
            *(f"{one.container_port}/{one.protocol}" for one in mappings),
            *run_network.exposed(arguments),
        ),
        "stop_signal": _signal(arguments.stop_signal),
    }


def _signal(text: str | None) -> str:
    """The name of a signal, checked. RootlessError."""
    if text:
        from rootless.container import life

        life.signal_number(text)
    return text or ""


def restart(text: str, *, remove: bool = False) -> Restart:
    """`--restart POLICY[:MOST]`."""
    policy, colon, most = text.partition(":")
    if policy not in _POLICIES or (colon and (policy != "on-failure" or not most.isdecimal())):
        raise UsageError(
            f"invalid restart policy: {text!r}",
            hint="it may be no, always, unless-stopped, on-failure or on-failure:TIMES",
        )
    if remove and policy != "no":
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    return Restart(policy, int(most[:9] or 0))


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal():
        raise UsageError(
            f"--stop-timeout {text!r} is not a number of seconds", hint="write --stop-timeout 10"
        )
    return int(text[:9])


def _timeout(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--timeout {text!r} is not a number of seconds", hint="0 is for ever")
    return int(text[:9])


def _annotation(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(
            "invalid Annotations: the empty string is not permitted as an annotation key",
            hint="write --annotation NAME=VALUE",
        )
    return name, value


def check_terminal(arguments: Arguments) -> None:
    """RootlessError where a terminal is to be typed on and this is none."""
    here = arguments.tty and arguments.interactive and not arguments.detach
    if here and not os.isatty(0):
        raise RootlessError(
            "the input device is not a TTY", hint="leave out -t when the input is a pipe or file"
        )


def _entrypoint(text: str | None) -> tuple[str, ...] | None:
    """One word as in docker, or a list in JSON as in podman; the empty string: no entrypoint."""
    if text is None:
        return None
    if text.startswith("["):
        from rootless import leanjson
        from rootless.oci.descriptor import text_list

        try:
            return text_list(leanjson.loads(text, "--entrypoint"), "--entrypoint")
        except IntegrityError as error:
            raise UsageError(error.message) from None
    return (text,) if text else ()


def _hostname(arguments: Arguments) -> str:
    name = os.uname().nodename if arguments.uts == "host" else arguments.hostname
    if name and (len(name) > _MAX_HOSTNAME or not name.replace("-", "").replace(".", "").isalnum()):
        raise UsageError(
            f"{name!r} is not a host name", hint="use at most 64 letters, digits, '-' and '.'"
        )
    return name or ""


def address(text: str) -> str:
    """An IP address, as a resolver's must be."""
    if not _is_address(text):
        raise UsageError(f"{text!r} is not an IP address", hint="write --dns 9.9.9.9")
    return text


def _is_address(text: str) -> bool:
    import _socket

    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in text else _socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def host_line(text: str, network: Choice) -> tuple[str, str]:
    """(address, name) of `NAME:ADDRESS` or `NAME=ADDRESS`; IPv6 may stand in brackets."""
    name, separator, address = text.partition("=" if "=" in text else ":")
    wrong = ""
    if address == GATEWAY:
        from rootless.network import gateway

        address = gateway.address(network.mode)
    if not separator or not name or not name.isprintable():
        wrong = f'bad format for add-host: "{text}"'
    elif not _is_address(address := address[1:-1] if address[:1] == "[" else address):
        wrong = f'invalid IP address in add-host: "{address}"'
    if wrong:
        raise UsageError(
            f'invalid argument "{text}" for "--add-host" flag: {wrong}',
            hint=f"write --add-host NAME:ADDRESS, or NAME:{GATEWAY} for this machine",
        )
    return address, name
