"""Which Dockerfile and which .dockerignore a build reads, and reading them.

What lies in a context is read as somebody else's: links end inside it. A Dockerfile that -f names
elsewhere is the user's own word, and has its directory for a root instead.
"""

from __future__ import annotations

import os

from rootless.cli import files
from rootless.errors import NotFoundError, UsageError
from rootless.record import Record

_NAMES = ("Dockerfile", "dockerfile", "Containerfile")


class Written(Record):
    """What was read: contents, and how errors call the Dockerfile."""

    name: str
    content: bytes
    ignore: bytes = b""


def find(context: str | None, shown: str, file: str | None) -> Written:
    """The Dockerfile of a build: `context` is the directory, which the user calls `shown`, or
    None for standard input; `file` is what -f says.
    """
    if context is None and file not in (None, "-"):
        raise UsageError("-f cannot be used when the context is standard input")
    if context is None:
        return Written("Dockerfile", files.read_input(_refuse_archive))
    if file == "-":
        content = files.read_input(lambda _start: None)
        return Written("Dockerfile", content, _general_ignore(context, shown))
    path = os.path.normpath(file or os.path.join(shown, _default(context)))
    try:
        content, ignore = _read(context, path)
    except NotFoundError as error:
        hint = _elsewhere(context, shown, file) if file else _alike(context)
        raise NotFoundError(error.message, hint=hint) from None
    if ignore is None:
        ignore = _general_ignore(context, shown)
    return Written(path, content, ignore)


def _default(context: str) -> str:
    """docker's name, in docker's second spelling, or podman's."""
    there = (name for name in _NAMES if os.path.lexists(os.path.join(context, name)))
    return next(there, _NAMES[0])


def _read(context: str, path: str) -> tuple[bytes, bytes | None]:
    """The Dockerfile, and the .dockerignore of its own beside it, if any."""
    folder, name = context, os.path.relpath(path, context)
    if name.split("/", 1)[0] == "..":
        folder, name = os.path.split(os.path.abspath(path))
        content = files.read(path)
    else:
        content = files.read_inside(folder, name, path)
    try:
        return content, files.read_inside(folder, f"{name}.dockerignore", f"{path}.dockerignore")
    except NotFoundError:
        return content, None


def _general_ignore(context: str, shown: str) -> bytes:
    try:
        name = ".dockerignore"
        return files.read_inside(context, name, os.path.normpath(os.path.join(shown, name)))
    except NotFoundError:
        return b""


def _refuse_archive(start: bytes) -> None:
    from rootless.archive import codecs

    if codecs.recognise(start[: codecs.ENOUGH]) != "none" or start[257:262] == b"ustar":
        raise UsageError(
            "a build context from an archive on standard input is not implemented yet",
            hint="unpack it and name the directory",
        )


def _elsewhere(context: str, shown: str, file: str) -> str:
    """-f counts from the working directory, as docker's does; podman's from the context."""
    if os.path.lexists(os.path.join(context, file)):
        return f"-f counts from the working directory: -f {os.path.join(shown, file)}"
    return _alike(os.path.dirname(os.path.abspath(file)), os.path.basename(file))


def _alike(folder: str, name: str = _NAMES[0]) -> str:
    from rootless import nearest

    try:
        found = nearest.names(name, os.listdir(folder))
    except OSError:
        found = ()
    if found:
        return f"did you mean -f {os.path.relpath(os.path.join(folder, found[0]))}?"
    return "name it with -f, or put a file called Dockerfile into the context"
