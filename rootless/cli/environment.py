"""Variables of a command's environment, and files of lines like `NAME=VALUE`."""

from __future__ import annotations

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.cli.settings import Settings


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
