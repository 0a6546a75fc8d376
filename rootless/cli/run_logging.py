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
"""docker's and podman's; path and size do nothing, nor do mode and max-buffer-size: a log never
holds up a container.
"""
_OF_LOCAL = ("compress", "max-buffer-size", "max-file", "max-size", "mode")


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
    known = _OF_LOCAL if word == "local" else _OPTIONS
    for name in given:
        if name not in known:
            raise UsageError(
                f"unknown log opt '{name}' for {word} log driver",
                hint=f"there are {', '.join(known)}",
            )
    _check_mode(given)
    try:
        logs.limits(given, word)
    except ValueError as error:
        raise UsageError(
            f"--log-opt: {error}", hint="write --log-opt max-size=10m --log-opt max-file=3"
        ) from None
    _check_details(given)
    return given


def _check_mode(given: dict[str, str]) -> None:
    mode = given.get("mode", "blocking")
    if mode not in ("blocking", "non-blocking"):
        raise UsageError(
            f"logger: logging mode not supported: {mode}", hint="it may be blocking or non-blocking"
        )
    if "max-buffer-size" in given and mode == "blocking":
        raise UsageError(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
            hint="write --log-opt mode=non-blocking, too",
        )


def _check_details(given: dict[str, str]) -> None:
    """Of what is kept with each line: what is a pattern, and the fields of a tag."""
    from rootless.container import log_details

    try:
        log_details.tag(given.get("tag", ""), dict.fromkeys(log_details.FIELDS, ""))
    except ValueError as error:
        raise UsageError(
            f"--log-opt tag: {error}",
            hint=f"there are {', '.join(f'{{{{.{one}}}}}' for one in log_details.FIELDS)}",
        ) from None
    for name in ("env-regex", "labels-regex"):
        if name in given:
            import re

            try:
                re.compile(given[name])
            except re.error as error:
                raise UsageError(f"--log-opt {name}: error parsing regexp: {error}") from None
