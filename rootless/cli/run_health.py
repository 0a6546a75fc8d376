"""The flags of health checks, as a value."""

from __future__ import annotations

from rootless.dockerfile import flags
from rootless.errors import UsageError
from rootless.oci.config import Healthcheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_ACTIONS = ("none", "kill", "restart", "stop")
_TIMES = ("health_interval", "health_timeout", "health_start_period", "health_start_interval")


def fill(
    _given: Settings, arguments: Arguments, spec: dict[str, Any], changes: dict[str, Any]
) -> None:
    """As `run_flags` has it."""
    changes["healthcheck"] = read(arguments)
    spec["on_unhealthy"] = _action(arguments.health_on_failure or "none")


def _action(text: str) -> str:
    """podman's word for what is done; "" for nothing. UsageError."""
    if text not in _ACTIONS:
        raise UsageError(
            f'invalid on-failure action "{text}" for health check',
            hint=f"supported actions are {', '.join(_ACTIONS)}",
        )
    return "" if text == "none" else text


def read(arguments: Arguments) -> Healthcheck | None:
    """What they ask for; None where they say nothing. UsageError in docker's words."""
    given = any(getattr(arguments, name) for name in ("health_cmd", "health_retries", *_TIMES))
    if arguments.no_healthcheck:
        if given:
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return Healthcheck(("NONE",))
    if not given:
        return None
    test = ("CMD-SHELL", arguments.health_cmd) if arguments.health_cmd else ()
    interval, timeout, period, start = (_time(name, getattr(arguments, name)) for name in _TIMES)
    retries = _retries(arguments.health_retries or "0")
    return Healthcheck(test, interval, timeout, period, start, retries)


def _time(field: str, text: str | None) -> int:
    """Nanoseconds."""
    if not text:
        return 0
    name = "--" + field.replace("_", "-")
    nanoseconds = flags.nanoseconds(text.removeprefix("-"))
    if nanoseconds is None or nanoseconds > flags.MAX_DURATION:
        raise UsageError(
            f'invalid argument "{text}" for "{name}" flag: time: invalid duration "{text}"',
            hint="write it as in 30s, 1m30s or 500ms",
        )
    if text.startswith("-"):
        raise UsageError(f"{name} cannot be negative")
    if 0 < nanoseconds < flags.MILLISECOND:
        raise UsageError(f"{name} cannot be less than 1ms")
    return nanoseconds


def _retries(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise UsageError(
            f'invalid argument "{text}" for "--health-retries" flag', hint="write a number"
        )
    if text.startswith("-"):
        raise UsageError("--health-retries cannot be negative")
    return int(text)
