"""Devices for commands: a node of this machine, or what a CDI file says of a name.

CDI (the Container Device Interface, cncf-tags/container-device-interface) describes devices in
JSON files of two folders of this machine: nodes, files to mount and variables. An ordinary user
can show a node only as it is, so who may open it is for its owner to say. Hooks, which are programs
for root, are not run. Only reads; runs in the command's process and in the builder.
"""

from __future__ import annotations

import os
import stat

from rootless import leanjson, nearest
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.record import Record
from rootless.sandbox.operations.tree import Bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

FOLDERS = ("/etc/cdi", "/var/run/cdi")
_LARGEST = 4 << 20
_ACCESS = frozenset("rwm")


class Granted(Record):
    """What a command gets with a device."""

    binds: tuple[Bind, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def of_flag(text: str, folders: Sequence[str] = FOLDERS) -> Granted:
    """`PATH[:PATH-INSIDE][:rwm]`, or a CDI name."""
    if not text.startswith("/"):
        return _cdi(text, folders)
    words = text.split(":")
    access = words.pop() if len(words) > 1 and set(words[-1]) <= _ACCESS else "rwm"
    if len(words) > 2 or not access or not words[-1].startswith("/"):
        raise UsageError(
            f"{text!r} is not a device", hint="write --device /dev/NAME[:/PATH/INSIDE][:rwm]"
        )
    return Granted((_node(words[0], words[-1], read_only="w" not in access),))


def of_step(text: str, folders: Sequence[str] = FOLDERS) -> Granted:
    """RUN --device=[name=]NAME[,required[=true|false]]."""
    name, required = "", True
    for number, field in enumerate(text.split(",")):
        key, equals, value = field.partition("=")
        if key == "name" and equals:
            name = value
        elif key == "required" and value in ("", "true", "false"):
            required = value != "false"
        elif not number:
            name = field
        else:
            raise RootlessError(f"--device: unexpected key '{key}' in '{field}'")
    try:
        return _cdi(name, folders)
    except NotFoundError:
        if required:
            raise
        return Granted()


def _cdi(name: str, folders: Sequence[str]) -> Granted:
    kind, equals, device = name.partition("=")
    vendor, slash, cls = kind.partition("/")
    if not (equals and device and slash and vendor and cls):
        raise UsageError(
            f"{name!r} is not a device",
            hint="name one as /dev/NAME, or as CDI does: VENDOR/CLASS=NAME",
        )
    known: list[str] = []
    for path, told in _specs(folders):
        if told.get("kind") != kind:
            continue
        for one in _list(told, "devices"):
            known.append(f"{kind}={one.get('name')}")
            if str(one.get("name")) == device:
                edits = [told.get("containerEdits"), one.get("containerEdits")]
                return _granted(path, [edit for edit in edits if isinstance(edit, dict)])
    raise NotFoundError(
        f"there is no CDI device {name}",
        hint=nearest.hint(name, known)
        or f"CDI files (*.json) are looked for in {', '.join(folders)}",
    )


def _granted(path: str, edits: list[dict[str, Any]]) -> Granted:
    binds, env = [], []
    try:
        for edit in edits:
            for one in _list(edit, "deviceNodes"):
                inside = str(one["path"])
                read_only = "w" not in str(one.get("permissions") or "rwm")
                binds.append(_node(str(one.get("hostPath") or inside), inside, read_only=read_only))
            for one in _list(edit, "mounts"):
                options = one.get("options") or []
                source, target = str(one["hostPath"]), str(one["containerPath"])
                why = "what a CDI device needs"
                binds.append(Bind(source, target, read_only="ro" in options, why=why))
            for word in edit.get("env") or []:
                variable, _, value = str(word).partition("=")
                env.append((variable, value))
    except (KeyError, TypeError):
        raise IntegrityError(f"{path} is no CDI file") from None
    return Granted(tuple(binds), tuple(env))


def _specs(folders: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".json") and os.path.isfile(path):
                with open(path, "rb") as file:
                    told = leanjson.loads(file.read(_LARGEST), path)
                if isinstance(told, dict):
                    yield path, told


def _list(told: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = told.get(key) or []
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, dict)]


def _node(source: str, target: str, *, read_only: bool) -> Bind:
    try:
        mode = os.stat(source).st_mode
    except OSError as error:
        raise NotFoundError(f"the device {source} cannot be shown: {error.strerror}") from None
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        raise RootlessError(f"{source} is not a device", hint="mount files with --volume")
    return Bind(source, target, read_only=read_only, why="a device of this machine")
