"""A target as the words of a `rootless build` command. Pure but for a look at what contexts are.

So a target can do what `build` can, and nothing else: a flag that `build` does not have is an
error that names the target and the attribute, before the first build begins.
"""

from __future__ import annotations

import os

from rootless.cli import parser, table
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from rootless.bake.attributes import Target

    Flag = tuple[str, str | None]

_LISTS = {
    "tags": "--tag",
    "no-cache-filter": "--no-cache-filter",
    "ulimits": "--ulimit",
    "annotations": "--annotation",
}
_MAPS = {"args": "--build-arg", "labels": "--label", "extra-hosts": "--add-host"}
_TEXTS = {"target": "--target", "network": "--network", "shm-size": "--shm-size"}
_BOOLS = {"no-cache": "--no-cache", "pull": "--pull"}
_ENTRIES = {
    "cache-from": "--cache-from",
    "cache-to": "--cache-to",
    "secret": "--secret",
    "output": "--output",
}
_ATTESTATIONS = ("provenance", "sbom")
_HERE = ("docker", "image")  # outputs that an image in the store is


class Command(Record):
    """The words after `rootless build`, and what the command reads from standard input."""

    words: tuple[str, ...]
    stdin: str = ""


def command(name: str, target: Target, images: Mapping[str, str], *, linked: bool) -> Command:
    """The command for a target; `images` are the ids of targets that it is made from.

    A `linked` target is built for others only, and gets no name. RootlessError when `build`
    cannot do it.
    """
    words: list[str] = []
    for flag, value in _flags(target, images, linked=linked):
        words += [flag] if value is None else [flag, value]
    inline = target.get("dockerfile-inline", "")
    words += ["--file", "-" if inline else dockerfile_of(target)]
    context = target["context"]
    words += ["--", context] if context.startswith("-") else [context]
    found = Command(tuple(words), inline)
    arguments(name, found)
    return found


def arguments(name: str, found: Command) -> parser.Arguments:
    """The command as `build` takes it; its complaints name the target."""
    try:
        return parser.parse(table.load("build"), found.words)
    except RootlessError as error:
        raise RootlessError(f"target {name}: {error.message}", hint=error.hint) from None


def dockerfile_of(target: Target) -> str:
    """The path of the Dockerfile, as -f takes it; a relative one counts from the context where that
    is elsewhere.
    """
    written: str = target["dockerfile"]
    is_here = is_local(target["context"])
    if written.startswith("cwd://"):
        path = os.path.normpath(written.removeprefix("cwd://"))
        return path if is_here else os.path.abspath(path)
    return os.path.normpath(os.path.join(target["context"], written)) if is_here else written


def is_local(context: str) -> bool:
    """Whether a context is a path here, not a URL, a repository, an image or a target.

    As in `build`, what is there is a path, however it is called.
    """
    elsewhere = ("target:", "docker-image:", "oci-layout:", "git@")
    if os.path.lexists(context) or context.startswith("cwd://"):
        return True
    return not ("://" in context or context.startswith(elsewhere))


def _flags(target: Target, images: Mapping[str, str], *, linked: bool) -> Iterator[Flag]:
    """(flag, value or None) for all that the target says."""
    if linked:
        target = {**target, "tags": (), "output": ()}
    elif _is_default(target.get("output", ())):
        target = {**target, "output": ()}
    yield from _simple(target)
    yield from _listed(target)
    yield from _contexts(target, images)
    yield from _wider(target)


def _simple(target: Target) -> Iterator[Flag]:
    for attribute, flag in _LISTS.items():
        for one in target.get(attribute, ()):
            yield flag, one
    for attribute, flag in _MAPS.items():
        for key, value in sorted(target.get(attribute, {}).items()):
            yield flag, f"{key}={value}"
    for attribute, flag in _TEXTS.items():
        if value := target.get(attribute):
            yield flag, value
    for attribute, flag in _BOOLS.items():
        if target.get(attribute):
            yield flag, None


def _listed(target: Target) -> Iterator[Flag]:
    if target.get("platforms"):
        yield "--platform", ",".join(target["platforms"])
    for attribute, flag in _ENTRIES.items():
        for entry in target.get(attribute, ()):
            yield flag, text_of(entry)
    for key in target.get("ssh", ()):
        yield "--ssh", ssh_text(key)


def _contexts(target: Target, images: Mapping[str, str]) -> Iterator[Flag]:
    for name, context in sorted(target.get("contexts", {}).items()):
        if "=" in name:
            raise RootlessError(f"contexts: {name!r} is no name: there is an = in it")
        other = context.removeprefix("target:")
        place = f"docker-image://{images[other]}" if other != context else context
        yield "--build-context", f"{name}={place.removeprefix('cwd://')}"


def _wider(target: Target) -> Iterator[Flag]:
    for attest in target.get("attest", ()):
        if attest["type"] not in _ATTESTATIONS:
            raise RootlessError(f"attest: there is no type {attest['type']!r}")
        if attest.get("disabled"):
            yield f"--{attest['type']}", "false"
        else:
            yield "--attest", text_of(attest)
    for one in target.get("entitlements", ()):
        if one != "network.host":  # a build has the host's network anyway
            yield "--allow", one
    call = target.get("call", "build")
    if call in ("check", "lint"):
        yield "--check", None
    elif call != "build":
        yield "--call", call


def _is_default(outputs: Sequence[Mapping[str, str]]) -> bool:
    """Whether the output is what `build` makes anyway: an image in the store."""
    return len(outputs) == 1 and outputs[0].get("type") in _HERE and len(outputs[0]) == 1


def text_of(entry: Mapping[str, Any]) -> str:
    """An entry as one line of CSV, its type first."""

    def field(text: str) -> str:
        quoted = text.replace('"', '""')
        return f'"{quoted}"' if set(text) & set(',"\r\n') else text

    first = [f"type={entry['type']}"] if "type" in entry else []
    fields = first + [f"{key}={entry[key]}" for key in sorted(entry) if key != "type"]
    return ",".join(map(field, fields))


def ssh_text(key: Mapping[str, Any]) -> str:
    """A key as --ssh takes it."""
    paths = ",".join(key.get("paths", ()))
    return f"{key['id']}={paths}" if paths else str(key["id"])
