"""Metadata instructions as pure functions from one image config to the next.

Operands come with their variables replaced. `steps` calls these and writes the history.
"""

from __future__ import annotations

from rootless.dockerfile.instructions import ShellForm
from rootless.errors import RootlessError
from rootless.oci.config import Healthcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from rootless.dockerfile.instructions import Command
    from rootless.dockerfile.instructions import Healthcheck as HealthcheckInstruction
    from rootless.oci.config import ImageConfig

DEFAULT_SHELL = ("/bin/sh", "-c")
_MAX_PORT = 65535
_MOST = 2**63
_PROTOCOLS = ("tcp", "udp", "sctp")


def argv(config: ImageConfig, command: Command) -> tuple[str, ...]:
    """A command as the kernel wants it: shell forms go through the config's SHELL."""
    return command.argv(config.shell or DEFAULT_SHELL)


def with_labels(
    config: ImageConfig, labels: Mapping[str, str], unset: Container[str] = ()
) -> ImageConfig:
    """--label, and --unsetlabel, which takes away before the others are added."""
    kept = {name: text for name, text in config.labels.items() if name not in unset}
    return config.replace(labels={**kept, **labels})


def ports(word: str) -> list[str]:
    """`80`, `80/udp` or `8000-8010/tcp`, also behind `ip:host:`, as config entries: EXPOSE.

    RootlessError for what is not a port.
    """
    *outside, inside = word.rsplit(":", 2)
    numbers, _, protocol = inside.partition("/")
    protocol = protocol.lower() or "tcp"
    found = _range(numbers)
    host = _range(outside[-1]) if outside and outside[-1] else found
    fits = found and host and (len(found) == 1 or len(found) == len(host))
    if not found or not fits or protocol not in _PROTOCOLS or not _is_address(outside[:-1]):
        raise RootlessError(
            f"{word!r} is not a port", hint="write it as in 80, 53/udp or 8000-8010/tcp"
        )
    return [f"{port}/{protocol}" for port in found]


def _range(text: str) -> range | None:
    """`80` or `80-82`."""
    first, dash, last = text.partition("-")
    ends = [one.removeprefix("+") for one in (first, last if dash else first)]
    if not all(one.isascii() and one.isdecimal() and len(one) < 9 for one in ends):
        return None
    low, high = map(int, ends)
    return range(low, high + 1) if low <= high <= _MAX_PORT else None


def _is_address(parts: list[str]) -> bool:
    """Whether what stands before `:host:port` is empty or an IP address."""
    text = "".join(parts)
    if not text:
        return True
    import ipaddress

    bare = text[1:-1] if text[0] + text[-1] == "[]" else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def with_entrypoint(
    config: ImageConfig, command: Command, *, cmd_is_inherited: bool
) -> ImageConfig:
    """ENTRYPOINT; it resets a CMD that comes from the base image."""
    changed = config.replace(entrypoint=argv(config, command))
    return changed.replace(cmd=None) if cmd_is_inherited else changed


def with_healthcheck(config: ImageConfig, check: HealthcheckInstruction) -> ImageConfig:
    """HEALTHCHECK; NONE also silences one that the base image has."""
    if check.command is None:
        return config.replace(healthcheck=Healthcheck(("NONE",)))
    shell = config.shell or DEFAULT_SHELL
    words = argv(config, check.command)
    is_shell = isinstance(check.command, ShellForm)
    test = ("CMD-SHELL", *words[len(shell) :]) if is_shell else ("CMD", *words)
    times = (check.interval, check.timeout, check.start_period, check.start_interval)
    return config.replace(healthcheck=Healthcheck(test, *times, check.retries))


def with_stop_signal(config: ImageConfig, signal: str) -> ImageConfig:
    """STOPSIGNAL, by name or number; docker takes every number but 0."""
    from signal import Signals

    name = signal.upper().removeprefix("SIG")
    digits = signal[1:] if signal[:1] in ("+", "-") else signal
    is_number = digits.isascii() and digits.isdecimal() and 0 < int(digits[:20]) < _MOST
    is_real_time = name.startswith(("RTMIN", "RTMAX"))
    if not is_number and not is_real_time and f"SIG{name}" not in Signals.__members__:
        from rootless import nearest

        hint = nearest.hint(f"SIG{name}", Signals.__members__) or "write a name such as SIGTERM"
        raise RootlessError(f"{signal!r} is not a signal", hint=hint)
    return config.replace(stop_signal=signal)
