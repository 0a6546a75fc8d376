"""Which Dockerfile and which .dockerignore a build reads, and reading them.

What lies in a context is read as somebody else's: links end inside it. A Dockerfile that -f names
elsewhere is the user's own word, and has its directory for a root instead.
"""

from __future__ import annotations

import os

from rootless.cli import files
from rootless.errors import NotFoundError
from rootless.record import Record

_NAMES = ("Dockerfile", "dockerfile", "Containerfile")
_IGNORES = (".dockerignore", ".containerignore")


class Written(Record):
    """What was read: contents, and how errors call the Dockerfile."""

    name: str
    content: bytes
    ignore: bytes = b""


def find(context: str | None, shown: str, file: str | None, *, fetched: bool = False) -> Written:
    """The Dockerfile of a build: `context` is the directory, which the user calls `shown`; `file`
    is what -f says, which counts from the working directory if there is such a file, else from the
    context. As in docker, nothing of a context that was `fetched` is left out.
    """
    if file == "-":
        return beside(context, shown, files.read_input(), fetched)
    assert context is not None
    if fetched:
        return _in_fetched(context, shown, file)
    path = os.path.normpath(_chosen(context, shown, file))
    try:
        content, ignore = _read(context, path)
    except NotFoundError as error:
        hint = _alike(*os.path.split(os.path.abspath(file))) if file else _alike(context)
        raise NotFoundError(error.message, hint=hint) from None
    if ignore is None:
        ignore = general_ignore(context, shown)
    return Written(path, content, ignore)


def beside(context: str | None, shown: str, content: bytes, fetched: bool) -> Written:  # noqa: FBT001
    """A Dockerfile that came in another way than the context."""
    ignore = b"" if fetched or context is None else general_ignore(context, shown)
    return Written("Dockerfile", content, ignore)


def _chosen(context: str, shown: str, file: str | None) -> str:
    if file is None:
        return os.path.join(shown, _default(context))
    if not os.path.lexists(file) and os.path.lexists(os.path.join(context, file)):
        return os.path.join(shown, file)
    return file


def _in_fetched(context: str, shown: str, file: str | None) -> Written:
    """Of a context that lies in a place of ours; an absolute path is the user's own file."""
    if file and os.path.isabs(file):
        return Written(file, files.read(file))
    name = os.path.normpath(file or _default(context))
    try:
        return Written(name, files.read_inside(context, name, name))
    except NotFoundError:
        message = f"{name}: there is no such file in {shown}"
        raise NotFoundError(message, hint=_alike_in(context, name)) from None


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


def general_ignore(context: str, shown: str) -> bytes:
    """What docker's file says, or podman's where there is only that."""
    for name in _IGNORES:
        try:
            path = os.path.normpath(os.path.join(shown, name))
            return files.read_inside(context, name, path)
        except NotFoundError:
            continue
    return b""


def _alike(folder: str, name: str = _NAMES[0]) -> str:
    from rootless import nearest

    try:
        found = nearest.names(name, os.listdir(folder))
    except OSError:
        found = ()
    if found:
        return f"did you mean -f {os.path.relpath(os.path.join(folder, found[0]))}?"
    return "name it with -f, or put a file called Dockerfile into the context"


def _alike_in(context: str, path: str) -> str:
    """The same of a context whose own place nobody knows."""
    from rootless import nearest

    folder, name = os.path.split(path)
    try:
        beside = os.listdir(os.path.join(context, folder)) if ".." not in path.split("/") else []
    except OSError:
        beside = []
    found = nearest.names(name, beside)
    if found:
        return f"did you mean -f {os.path.join(folder, found[0])}?"
    return "name it with -f, as it is called in the context"
