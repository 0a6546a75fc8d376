"""What an image holds: a saved archive's layers, applied without any of our own code."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """`content` is None for a directory, `-> target` for a symbolic link."""

    content: str | None
    mode: int
    uid: int
    gid: int


def read(archive: Path) -> tuple[dict[str, File], dict]:
    """All files by path without a leading slash, and the image config, of a docker archive."""
    with tarfile.open(archive) as outer:
        (entry,) = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(outer.extractfile(entry["Config"]))  # type: ignore[arg-type]
        files: dict[str, File] = {}
        for name in entry["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                _apply(files, layer)
    return files, config


def layer_names(archive: Path) -> list[list[str]]:
    """The names in each layer, base first."""
    with tarfile.open(archive) as outer:
        (entry,) = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        found = []
        for name in entry["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                found.append(layer.getnames())
    return found


def _apply(files: dict[str, File], layer: tarfile.TarFile) -> None:
    members = layer.getmembers()
    for member in members:
        folder, _, base = member.name.rpartition("/")
        if base == ".wh..wh..opq":
            _remove_below(files, folder)
        elif base.startswith(".wh."):
            hidden = f"{folder}/{base[4:]}".lstrip("/")
            _remove_below(files, hidden)
            files.pop(hidden, None)
    for member in members:
        if not member.name.rpartition("/")[2].startswith(".wh."):
            files[member.name.removeprefix("./")] = _file(files, layer, member)


def _remove_below(files: dict[str, File], folder: str) -> None:
    for path in [path for path in files if path.startswith(f"{folder}/")]:
        del files[path]


def _file(files: dict[str, File], layer: tarfile.TarFile, member: tarfile.TarInfo) -> File:
    if member.islnk():
        return files[member.linkname]
    content = None
    if member.issym():
        content = f"-> {member.linkname}"
    elif member.isfile():
        content = layer.extractfile(member).read().decode(errors="replace")
    return File(content, member.mode & 0o7777, member.uid, member.gid)
