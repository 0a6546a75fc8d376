"""What an image is, as text that can be kept and compared; read without any of our own code.

A saved docker archive is flattened with Python's tarfile. Every path becomes one line:

    d 755 0:0                       a directory, its permissions and owner
    f 4755 0:0 5 2cf24dba x=… h=/a  size and begin of sha256; attributes, first of its names
                                    when it has several, and t=1000000000, its time
    l 0:0 -> target                 a symbolic link
    p 644 0:0                       a FIFO

Only `OLD` times are told, they were copied: any other is the moment of the build. Docker keeps
those of files; whether it does those of directories depends on how it got their content.
Names that are not UTF-8 carry surrogate escapes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

OLD = 1_400_000_000  # May 2014: what the tests make on purpose is older, what builds make is newer
_DIGITS = 10
_PAX_XATTR = "SCHILY.xattr."
_WINDOWS = "ArgsEscaped"  # docker says it of every shell form; it means nothing on Linux


class Node(NamedTuple):
    """One file; all names of a hard link share one."""

    kind: str
    line: str


class Image(NamedTuple):
    """`tree` is line by path, `config` the `config` object of the image without empty fields.

    `history` is what made each layer, base first, with `- ` before those that made none.
    """

    tree: dict[str, str]
    config: dict[str, Any]
    history: tuple[str, ...] = ()


class Reader:
    """Reads archives; the `depth` lowest layers of an image are remembered for the next one."""

    def __init__(self, depth: int = 3) -> None:
        self._depth = depth
        self._stacks: dict[tuple[str, ...], dict[str, Node]] = {}

    def read(self, archive: Path) -> Image:
        """The only image of a docker archive."""
        (image,) = self.read_all(archive).values()
        return image

    def read_all(self, archive: Path) -> dict[str, Image]:
        """All images of a docker archive, by each of their names; "" without one."""
        found: dict[str, Image] = {}
        with tarfile.open(archive) as outer:
            for entry in json.load(_file(outer, "manifest.json")):
                image = self._read(outer, entry)
                found |= dict.fromkeys(entry.get("RepoTags") or [""], image)
        return found

    def _read(self, outer: tarfile.TarFile, entry: dict[str, Any]) -> Image:
        document = json.load(_file(outer, entry["Config"]))
        files: dict[str, Node] = {}
        stack: tuple[str, ...] = ()
        for diff_id, name in zip(
            document["rootfs"]["diff_ids"] or [], entry["Layers"] or [], strict=True
        ):
            stack = (*stack, diff_id)
            if (known := self._stacks.get(stack)) is None:
                with tarfile.open(fileobj=_file(outer, name)) as layer:
                    known = _applied(files, layer)
            files = known
            if len(stack) <= self._depth:
                self._stacks[stack] = files
        config = filled(document.get("config") or {})
        return Image(_lines(files), config, _history(document.get("history") or []))


def difference(theirs: Image, ours: Image) -> list[str]:
    """One line for everything that is not the same: `-` is theirs, `+` ours.

    A history is compared when both have one.
    """
    histories = [_numbered(one.history) for one in (theirs, ours)]
    return [
        *_differences(theirs.tree, ours.tree),
        *_differences(_rows(theirs.config), _rows(ours.config)),
        *(_differences(*histories) if all(histories) else []),
    ]


def _numbered(history: tuple[str, ...]) -> dict[str, str]:
    return {f"history {number:03}": line for number, line in enumerate(history)}


def _differences(theirs: dict[str, str], ours: dict[str, str]) -> list[str]:
    found = []
    for path in sorted({*theirs, *ours}):
        if theirs.get(path) != ours.get(path):
            shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            found += [f"- {shown!r}: {theirs[path]}"] if path in theirs else []
            found += [f"+ {shown!r}: {ours[path]}"] if path in ours else []
    return found


def _rows(config: dict[str, Any]) -> dict[str, str]:
    return {f"config {key}": json.dumps(value, sort_keys=True) for key, value in config.items()}


def filled(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration says, spelled in one way."""
    if folder := config.get("WorkingDir"):  # docker keeps a final slash
        config = {**config, "WorkingDir": os.path.normpath(folder)}
    return {key: value for key, value in config.items() if value and key != _WINDOWS}


def _history(entries: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{'- ' if one.get('empty_layer') else ''}{in_order(one.get('created_by', ''))}"
        for one in entries
    )


def in_order(line: str) -> str:
    """A line of history; docker writes the ports of one EXPOSE in any order."""
    before, is_ports, ports = line.partition("EXPOSE [")
    return (
        f"{before}{is_ports}{' '.join(sorted(ports.removesuffix(']').split()))}]"
        if is_ports
        else line
    )


def _file(tar: tarfile.TarFile, name: str) -> Any:
    file = tar.extractfile(name)
    assert file is not None, name
    return file


def _applied(below: dict[str, Node], layer: tarfile.TarFile) -> dict[str, Node]:
    """The files of a stack with one more layer: what it removes first, whatever the order."""
    files = dict(below)
    members = [(_path(member.name), member) for member in layer.getmembers()]
    for path, _ in members:
        folder, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            _remove_below(files, folder)
        elif name.startswith(".wh."):
            _remove(files, f"{folder}/{name[4:]}")
    for path, member in members:
        if path == "/" or path.rpartition("/")[2].startswith(".wh."):
            continue
        node = files[_path(member.linkname)] if member.islnk() else _node(layer, member)
        if path in files and not (node.kind == files[path].kind == "d"):
            _remove(files, path)
        files[path] = node
    return files


def _path(name: str) -> str:
    return "/" + "/".join(part for part in name.split("/") if part not in ("", "."))


def _remove(files: dict[str, Node], path: str) -> None:
    _remove_below(files, path)
    files.pop(path, None)


def _remove_below(files: dict[str, Node], folder: str) -> None:
    for path in [path for path in files if path.startswith(f"{folder}/")]:
        del files[path]


def _node(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Node:
    owner = f"{member.uid}:{member.gid}"
    time = f" t={int(member.mtime)}" if member.mtime < OLD else ""
    if member.issym():
        return Node("l", f"l {owner} -> {member.linkname}")
    kind = "d" if member.isdir() else "p" if member.isfifo() else "f" if member.isfile() else "?"
    content = ""
    if kind != "f":
        time = ""
    else:
        content = f" {member.size} {_digest(_file_of(layer, member))}"
    attributes = "".join(
        f" x={key.removeprefix(_PAX_XATTR)}={value.encode('utf-8', 'surrogateescape').hex()}"
        for key, value in sorted(member.pax_headers.items())
        if key.startswith(_PAX_XATTR)
    )
    return Node(kind, f"{kind} {member.mode & 0o7777:o} {owner}{content}{attributes}{time}")


def _file_of(layer: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = layer.extractfile(member)
    assert file is not None
    content: bytes = file.read()
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _lines(files: dict[str, Node]) -> dict[str, str]:
    """Line by path; of a file with several names each line tells the first of them."""
    names: dict[int, list[str]] = {}
    for path in sorted(path for path in files if files[path].kind != "l"):
        names.setdefault(id(files[path]), []).append(path)
    return {
        path: node.line + (f" h={names[id(node)][0]}" if len(names.get(id(node), "")) > 1 else "")
        for path, node in files.items()
    }
