"""`bake`: which files define what, and what of it is asked for; carrying it out is `ovens`.

The files are read, and everything in them understood, before the first build begins.
"""

from __future__ import annotations

import os
import sys

from rootless import interrupts
from rootless.cli import bake_allowed, bake_lists, builders, files, words
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.bake.definition import Resolved
    from rootless.bake.reading import File
    from rootless.cli.bake_allowed import Allowed
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def bake(given: Settings, arguments: Arguments) -> int:
    """Build the targets; or print or list them."""
    interrupts.catch()
    from rootless.bake import overrides, printing, reading

    if arguments.print and arguments.list:
        raise UsageError("--print and --list cannot be used together")
    builders.check(given, arguments.builder)
    environment = _environment(given.environment, arguments.var)
    found = _files(given.environment, arguments.file)
    definition = reading.definition(found, environment, _given(), _read_text)
    for warning in definition.warnings:
        print(f"warning: {words.escape(warning)}", file=sys.stderr)
    if arguments.list:
        print(bake_lists.table(definition, arguments.list), end="")
        return 0
    changes = overrides.parse(_changes(arguments), given.environment)
    resolved = definition.resolve(arguments.targets, changes)
    _add_epoch(resolved, given.environment)
    if arguments.print:
        print(printing.text(resolved))
        return 0
    allowed = bake_allowed.parse(arguments.allow, changes, given.environment)
    for name, target in sorted(resolved.targets.items()):
        allowed.check(name, target)
    return _build(given, arguments, resolved, allowed)


def names(environment: Mapping[str, str], named: tuple[str, ...]) -> list[str]:
    """The groups and targets that files define: what a shell completes."""
    from rootless.bake import reading

    around = _environment(environment, ())
    definition = reading.definition(_files(environment, named), around, _given(), _read_text)
    return definition.names


def _build(given: Settings, arguments: Arguments, resolved: Resolved, allowed: Allowed) -> int:
    from rootless.cli import bake_run

    bake_run.check(resolved)
    if arguments.on:
        made = _on(given, arguments, resolved, allowed)
    elif arguments.dry_run:
        made = None
        for line in bake_run.commands(resolved):
            print(line)
    else:
        how = str(arguments.progress)
        if len(resolved.targets) > 1:
            how = _shared(how, given.environment.get("BUILDKIT_PROGRESS", ""))
        made = bake_run.run(given, resolved, how, _jobs(arguments.jobs), allowed)
    if made is None:
        return 0
    if arguments.metadata_file:
        with files.replacing(arguments.metadata_file) as fd:
            files.write_all(fd, bake_run.metadata_text(made), arguments.metadata_file)
    return 0


def _on(
    given: Settings, arguments: Arguments, resolved: Resolved, allowed: Allowed
) -> dict[str, dict[str, Any]] | None:
    """The same by the jobs of a scheduler; None where they are only printed."""
    from rootless.cli import bake_on

    on = bake_on.parse(arguments.on)
    if arguments.dry_run:
        for text in bake_on.commands(given, on, resolved):
            print(text)
        return None
    how = _shared(str(arguments.progress), given.environment.get("BUILDKIT_PROGRESS", ""))
    at_once = 0 if arguments.jobs is None else _jobs(arguments.jobs)
    return bake_on.build(given, on, resolved, how, at_once, allowed)


def _shared(asked: str, around: str) -> str:
    """How each of several builds shows itself: in lines, unless something else is asked for."""
    if asked == "tty":
        raise UsageError("--progress=tty is for one build", hint="write --progress=plain")
    return "plain" if asked == "auto" and around not in ("quiet", "none", "rawjson") else asked


def _jobs(text: str | None) -> int:
    """How many targets at a time."""
    if text is None:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or int(text[:9]) == 0:
        raise UsageError(f"--jobs {text!r} is not a number of targets", hint="write 1 or more")
    return int(text[:9])


def _environment(around: Mapping[str, str], given: tuple[str, ...]) -> dict[str, str]:
    """The values that variables take: --var, else what is around, else the file `.env`."""
    from rootless.bake import interpolation

    lookup = around.get("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP", "") not in ("1", "true")
    found = dict(around) if lookup else {}
    if os.path.isfile(".env"):
        found = {**interpolation.dotenv(_read_text(".env"), found), **found}
    for word in given:
        name, equals, value = word.partition("=")
        if not name or (not equals and name not in around):
            raise UsageError(f"--var {word!r} has no value", hint="write --var NAME=VALUE")
        found[name] = value if equals else around[name]
    return found


def _given() -> dict[str, str]:
    """The variables that every file has."""
    from rootless.oci.platform import Platform

    return {"BAKE_CMD_CONTEXT": "cwd://", "BAKE_LOCAL_PLATFORM": str(Platform.host())}


def _files(environment: Mapping[str, str], named: tuple[str, ...]) -> list[File]:
    """The files that are named, by -f or by docker's variable, else all usual ones there are."""
    from rootless.bake.reading import NAMES, File

    if not named and (listed := environment.get("BUILDX_BAKE_FILE")):
        named = tuple(listed.split(environment.get("BUILDX_BAKE_PATH_SEPARATOR") or os.pathsep))
    if named:
        return [File(name, _read_text(name)) for name in named]
    found = [File(name, _read_text(name)) for name in NAMES if os.path.lexists(name)]
    if not found:
        raise NotFoundError(
            "there is no bake file here", hint="write docker-bake.hcl, or name a file with -f"
        )
    return found


def _read_text(name: str) -> str:
    try:
        content = files.read_input() if name == "-" else files.read(name)
    except NotFoundError as error:
        raise NotFoundError(
            error.message, hint="-f names a bake file: docker-bake.hcl, a .json or a compose file"
        ) from None
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RootlessError(f"{name} is no text: it is not UTF-8") from None


def _changes(arguments: Arguments) -> list[str]:
    """The flags that are short for --set."""
    from rootless.bake import entries

    found = list(arguments.set)
    for key in ("push", "load", "no_cache", "pull"):
        if getattr(arguments, key):
            found.append(f"*.{key.replace('_', '-')}=true")
    if call := "lint" if arguments.check else arguments.call:
        found.append(f"*.call={call}")
    for kind in ("sbom", "provenance"):
        if value := getattr(arguments, kind):
            found.append(f"*.attest={entries.attest_of(kind, value)}")
    return found


def _add_epoch(resolved: Resolved, environment: Mapping[str, str]) -> None:
    """SOURCE_DATE_EPOCH is a build argument of every target that has none of its own."""
    epoch = environment.get("SOURCE_DATE_EPOCH")
    for target in resolved.targets.values():
        if epoch:
            target["args"] = {"SOURCE_DATE_EPOCH": epoch, **target.get("args", {})}
