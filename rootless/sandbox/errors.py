"""What can go wrong between clone and exec, with the exit code docker gives it."""

from __future__ import annotations

from rootless.errors import RootlessError


class SandboxError(RootlessError):
    """A container that could not be set up (125) or whose command could not start (126, 127)."""

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int = 125) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
