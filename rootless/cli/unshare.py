"""`unshare`: a command of this machine as root of the namespace that containers' files are in."""

from __future__ import annotations

import os

from rootless import runspec, userns
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_NOT_EXECUTABLE, _NOT_FOUND = 126, 127


class NotStartedError(RootlessError):
    """A command that cannot be executed; the exit code is a shell's."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unshare(given: Settings, arguments: Arguments) -> int:
    """Become the command, a shell if there is none; mounts it makes are gone with it."""
    shell = given.environment.get("SHELL", "/bin/sh")
    argv = arguments.command or (shell,)
    userns.enter()
    runspec.check_root()
    _execute(argv, {**given.environment, "ROOTLESS_ROOT": given.root})
    return _NOT_FOUND


def _execute(argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
    try:
        os.execvpe(argv[0], argv, environment)
    except FileNotFoundError:
        raise NotStartedError(f"{argv[0]}: command not found", _NOT_FOUND) from None
    except OSError as error:
        raise NotStartedError(f"{argv[0]}: {error.strerror}", _NOT_EXECUTABLE) from None
