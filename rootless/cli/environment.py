"""Variables of a command's environment, labels, and files of lines like `NAME=VALUE`."""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def fill(
    given: Settings, arguments: Arguments, _spec: dict[str, Any], changes: dict[str, Any]
) -> None:
    """As `run_flags` has it: labels; the proxies known here, where wanted, then what is asked."""
    changes["labels"] = _labels(arguments)
    changes["env"] = read(given, arguments.env_file, arguments.env)
    if arguments.http_proxy:
        from rootless.cli import run_isolation

        changes["env"] = {**run_isolation.proxies(given.environment), **changes["env"]}


def _labels(arguments: Arguments) -> dict[str, str]:
    """Those of --label-file first, then --label, later ones winning."""
    texts = (*lines(arguments.label_file, "label"), *arguments.label)
    found = dict(text.partition("=")[::2] for text in texts)
    if "" in found:
        raise UsageError(f"invalid label '={found['']}': empty name", hint="write NAME=VALUE")
    return found


def read(given: Settings, files: tuple[str, ...], texts: tuple[str, ...]) -> dict[str, str]:
    """Those of `files` first, then `texts`, later ones winning; a bare NAME is the caller's, if
    set.
    """
    env: dict[str, str] = {}
    for text in (*lines(files, "variable"), *texts):
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"{text!r} is not an environment variable", hint="write -e NAME=VALUE")
        if equals:
            env[name] = value
        elif name in given.environment:
            env[name] = given.environment[name]
    return env


def lines(paths: tuple[str, ...], what: str) -> Iterator[str]:
    """The lines of files but for comments; `what` is how errors call the thing on one."""
    from rootless.cli import files

    for path in paths:
        for number, line in enumerate(
            files.read(path).decode(errors="surrogateescape").split("\n"), 1
        ):
            stripped = line.lstrip()
            if not stripped or stripped.startswith("#"):
                continue
            if " " in stripped.partition("=")[0].rstrip("\r"):
                raise UsageError(f"{path}:{number}: a {what}'s name holds a blank: {stripped!r}")
            yield stripped.rstrip("\r")
