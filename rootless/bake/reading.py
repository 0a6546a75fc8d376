"""Bake files of every kind → one Definition. Pure: texts come in, `read` brings further ones."""

from __future__ import annotations

from rootless.bake import compose, evaluation
from rootless.bake.definition import Definition
from rootless.bake.errors import BakeError
from rootless.bake.hcl import document, parser
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.bake.hcl.nodes import Body

NAMES = (
    *("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    *("docker-bake.json", "docker-bake.hcl"),
    *("docker-bake.override.json", "docker-bake.override.hcl"),
)
"""The files that are read when none is named, in their order; all that are there."""


class File(Record):
    """A file's name, which says its kind, and its text."""

    name: str
    text: str


def definition(
    files: Sequence[File],
    environment: Mapping[str, str],
    given: Mapping[str, str],
    read: compose.Read,
) -> Definition:
    """What all files define together, a later one over an earlier.

    `environment`: values for variables; `given`: names that no file can set; `read`: the text of
    a file that a compose service extends.
    """
    composed: list[tuple[str, str]] = []
    bodies: list[Body] = []
    for file in files:
        body = None if compose.is_compose(file.name) else _body(file)
        if body is None:
            composed.append((file.name, file.text))
        else:
            bodies.append(body)
    try:
        base = compose.parse(composed, environment, read) if composed else Definition({}, {})
        return evaluation.evaluate(bodies, environment, given, base) if bodies else base
    except RecursionError:
        raise BakeError("what is defined needs what is defined, too deeply") from None


def _body(file: File) -> Body | None:
    """The body of an HCL or JSON file; None for what must be a compose file."""
    name = file.name.lower()
    try:
        return _parsed(file, name)
    except RecursionError:
        raise BakeError(f"{file.name} is nested too deeply") from None


def _parsed(file: File, name: str) -> Body | None:
    if name.endswith(".json"):
        return document.parse(file.text, file.name)
    if name.endswith(".hcl"):
        return parser.parse(file.text, file.name)
    if file.text.lstrip().startswith(("{", "[")):
        return document.parse(file.text, file.name)
    try:
        return parser.parse(file.text, file.name)
    except BakeError as error:
        if _looks_like_compose(file.text):
            return None
        raise error from None


def _looks_like_compose(text: str) -> bool:
    return any(line.startswith("services:") for line in text.splitlines())
