"""--log-driver and --log-opt of `run` and `create`: docker's words, checked."""

from __future__ import annotations

from rootless.container import logs
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_DRIVERS = ("json-file", "local", "k8s-file", "none")
_OPTIONS = (
    *("compress", "env", "env-regex", "labels", "labels-regex", "max-buffer-size", "max-file"),
    *("max-size", "mode", "path", "size", "tag"),
)
"""docker's and podman's; max-size, max-file, labels and env do something."""


def fill(
    _given: Settings, arguments: Arguments, spec: dict[str, Any], _changes: dict[str, Any]
) -> None:
    """As `run_flags` has it."""
    spec["log_driver"] = driver(arguments.log_driver)
    spec["log_options"] = options(arguments)


def driver(text: str | None) -> str:
    """What keeps the log. All but none keep it in one form."""
    if text is None:
        return "json-file"
    if text not in _DRIVERS:
        raise UsageError(
            f'error looking up logging plugin {text}: plugin "{text}" not found',
            hint="json-file keeps a log, none keeps none",
        )
    return text


def options(arguments: Arguments) -> dict[str, str]:
    """NAME=VALUE as a mapping; UsageError for what docker has not either, or a wrong size."""
    word = driver(arguments.log_driver)
    given = dict(text.partition("=")[::2] for text in arguments.log_opt)
    if given and word == "none":
        raise UsageError("invalid logging opts for driver none", hint="leave out --log-opt")
    for name in given:
        if name not in _OPTIONS:
            raise UsageError(
                f"unknown log opt '{name}' for {word} log driver",
                hint="there are max-size=10m, max-file=3, labels=NAME,… and env=NAME,…",
            )
    try:
        logs.limits(given)
    except ValueError as error:
        raise UsageError(
            f"--log-opt: {error}", hint="write --log-opt max-size=10m --log-opt max-file=3"
        ) from None
    return given
