"""What a user can meet when something goes wrong.

RootlessError                 a sentence, and a hint when there is a way out; exit code 125
├── UsageError                the command line itself is wrong; shows the verb's usage
├── NotFoundError             a named image, layer, file or blob does not exist
├── IntegrityError            bytes are not what their digest, size or format says
│   └── WrongContentError     as many as there should be, but others
├── NoRoomError               the disk is full
├── registry.RegistryError    an answer (or none) from a registry
├── dockerfile.DockerfileError  a place in a Dockerfile, and what is wrong there
└── sandbox.SandboxError      setting up or starting a process in a container

Errors are wrapped once, where the words change (syscall → sandbox, HTTP → registry). Only
`cli.main` prints them. Anything that is not a RootlessError is a bug and shows its traceback.
"""

from __future__ import annotations


class RootlessError(Exception):
    """One sentence naming the thing that failed; `hint` says what to do about it."""

    exit_code = 125

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RootlessError):
    """The command line cannot be understood."""


class NotFoundError(RootlessError):
    """The thing the user named is not there."""


class IntegrityError(RootlessError):
    """Bytes that are not what they were announced to be. Nothing of them is kept."""


class WrongContentError(IntegrityError):
    """Bytes that do not have the digest they were asked for by: another sender may have them."""


class NoRoomError(RootlessError):
    """The disk is full: who began what cannot be finished there takes it away."""
