"""Devices of this machine for containers and build steps: nodes, and what CDI files say of a name.

CDI (the Container Device Interface, cncf-tags/container-device-interface) describes devices in
JSON and YAML files of two folders of this machine: nodes, files to mount and variables. An ordinary
user can show a node only as it is, so who may open it, and how, is for its owner to say: `rwm` is
checked and changes nothing. Hooks, which are programs for root, are not run. Only reads; runs in
the command's process and in the builder.
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

FOLDERS = ("/var/run/cdi", "/etc/cdi")
"""Where CDI files lie; what stands in the first goes before the second."""
_GPUS = ("nvidia.com/gpu", "amd.com/gpu")
_LARGEST = 4 << 20
_MOST_NODES = 1000  # of a folder
_OF_CONTAINERS = frozenset(
    [
        "console",
        "fd",
        "full",
        "mqueue",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    ]
)
_ACCESS = frozenset("rwm")


class Granted(Record):
    """What a command gets with a device."""

    binds: tuple[Bind, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


def of_flag(text: str, folders: Sequence[str] = FOLDERS) -> Granted:
    """`PATH[:PATH-INSIDE][:rwm]`, or a CDI name. A folder stands for all nodes in it."""
    if not text.startswith("/"):
        return _cdi(text, folders)
    source, inside = split(text)
    if not os.path.isdir(source):
        return Granted((_node(source, inside),))
    nodes = _nodes(source)
    if not nodes:
        raise NotFoundError(f"there is no device in {source}")
    return Granted(tuple(_node(one, inside + one.removeprefix(source)) for one in nodes))


def split(text: str) -> tuple[str, str]:
    """The paths outside and inside of `PATH[:PATH-INSIDE][:rwm]`; UsageError."""
    words = text.split(":")
    access = words.pop() if len(words) > 1 and set(words[-1]) <= _ACCESS else "rwm"
    if len(words) > 2 or not access or not words[-1].startswith("/"):
        raise UsageError(
            f"{text!r} is not a device", hint="write --device /dev/NAME[:/PATH/INSIDE][:rwm]"
        )
    return words[0].rstrip("/") or "/", words[-1].rstrip("/") or "/"


def every() -> tuple[Bind, ...]:
    """All nodes of /dev that this user may open, but for those every container has of its own."""
    return tuple(_node(path, path) for path in _nodes("/dev") if os.access(path, os.R_OK))


def gpus(count: int | None, names: Sequence[str], folders: Sequence[str] = FOLDERS) -> list[str]:
    """The CDI names of `count` processors (None: all), or of those that are named."""
    kinds = [told.get("kind") for _, told in _specs(folders)]
    kind = next((one for one in _GPUS if one in kinds), None)
    if kind is None:
        raise NotFoundError(
            "no CDI file of this machine describes a GPU",
            hint="its driver's tool writes one: nvidia-ctk cdi generate --output=/etc/cdi/gpu.yaml",
        )
    if names:
        return [f"{kind}={name}" for name in names]
    return [f"{kind}=all"] if count is None else [f"{kind}={at}" for at in range(count)]


def _nodes(folder: str) -> list[str]:
    found: list[str] = []
    for path, folders, files in os.walk(folder):
        if path == "/dev":
            folders[:] = [name for name in folders if name not in _OF_CONTAINERS]
        for name in files:
            if path == "/dev" and (name in _OF_CONTAINERS or name.startswith("tty")):
                continue
            mode = os.lstat(f"{path}/{name}").st_mode
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found.append(f"{path}/{name}")
        if len(found) > _MOST_NODES:
            raise RootlessError(f"{folder} holds more than {_MOST_NODES} devices")
    return sorted(found)


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
        or f"CDI files (*.json, *.yaml) are looked for in {', '.join(folders)}",
    )


def _granted(path: str, edits: list[dict[str, Any]]) -> Granted:
    binds, env = [], []
    try:
        for edit in edits:
            for one in _list(edit, "deviceNodes"):
                inside = str(one["path"])
                binds.append(_node(str(one.get("hostPath") or inside), inside))
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
            if name.endswith((".json", ".yaml", ".yml")) and os.path.isfile(path):
                told = _read(path)
                if isinstance(told, dict):
                    yield path, told


def _read(path: str) -> Any:
    """What a file of the machine's root says; IntegrityError when it cannot be understood."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST)
    except OSError as error:
        raise RootlessError(f"{path} cannot be read: {error.strerror}") from None
    if path.endswith(".json"):
        return leanjson.loads(content, path)
    import yaml

    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is no YAML: {str(error).splitlines()[0]}") from None


def _list(told: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = told.get(key) or []
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, dict)]


def _node(source: str, target: str) -> Bind:
    try:
        mode = os.stat(source).st_mode
    except OSError as error:
        raise NotFoundError(
            f"the device {source} cannot be shown: {error.strerror}",
            hint="ls /dev shows those of this machine",
        ) from None
    if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
        raise RootlessError(f"{source} is not a device", hint="mount files with --volume")
    return Bind(source, target, why="a device of this machine")
