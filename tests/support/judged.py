"""Cases for a judge: a Dockerfile and its context as plain data, and the base that they start from.

A case is one JSON line. Everything that is not the build's own is fixed: content, owners,
permissions and times, so that two builders start from the same bytes on any machine. Only the
busybox program itself differs between machines; `BUSYBOX` lines are left out of comparisons.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support import images, machine

BASE = "judged"
BUSYBOX = "/bin/busybox"
TIME = 1_000_000_000  # 2001: of everything that a context or the base holds
_APPLETS = (
    *("[", "basename", "cat", "chgrp", "chmod", "chown", "cp"),
    *("cut", "date", "dd", "dirname", "echo", "env", "expr"),
    *("false", "find", "grep", "head", "id", "install", "ln"),
    *("ls", "mkdir", "mkfifo", "mktemp", "mv", "od", "printf"),
    *("pwd", "readlink", "rm", "rmdir", "sed", "sh", "sleep"),
    *("sort", "stat", "tail", "tar", "tee", "test", "touch"),
    *("tr", "true", "truncate", "uname", "wc", "xargs"),
)
_FOLDERS = ("bin", "dev", "etc", "home", "proc", "sys", "usr", "usr/bin", "var")
_CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"


class Entry(NamedTuple):
    """One file of a context, in the order of making.

    kind: "d" directory, "f" file, "l" symbolic link, "h" hard link, "p" FIFO; "t" tar, "z" tar.gz,
    "b" tar.bz2; in archives also "c", a file with a capability.
    `content` is a file's text, a link's target, or the members of an archive, with owners.
    """

    path: str
    kind: str
    mode: int = 0o644
    content: Any = ""
    owner: tuple[int, int] = (0, 0)


class Case(NamedTuple):
    """`stages` are lists of instructions; a RUN can be a list of shell commands: ["RUN", …]."""

    name: str
    stages: list[list[Any]]
    context: list[Entry]
    flags: list[str] = []

    @classmethod
    def of(cls, document: dict[str, Any]) -> Case:
        context = [Entry(*entry) for entry in document["context"]]
        return cls(document["name"], document["stages"], context, document.get("flags", []))

    def document(self) -> dict[str, Any]:
        """What `of` reads, for JSON."""
        return {**self._asdict(), "context": [_short(entry) for entry in self.context]}

    @property
    def dockerfile(self) -> str:
        return "\n".join(_text(line) for stage in self.stages for line in stage) + "\n"

    @property
    def key(self) -> str:
        """What the judge's answer depends on."""
        said = json.dumps([self.dockerfile, self.context, self.flags])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def _short(entry: Entry) -> list[Any]:
    """An entry without the defaults at its end."""
    fields = list(entry)
    while len(fields) > 2 and fields[-1] == Entry._field_defaults[Entry._fields[len(fields) - 1]]:
        fields.pop()
    return fields


def _text(line: Any) -> str:
    if isinstance(line, str):
        return line
    return "RUN " + "; \\\n    ".join([*line[1:], "true"])


def write_context(case: Case, folder: Path) -> None:
    """The case's Dockerfile and context below `folder`, which is made."""
    folder.mkdir()
    root = os.fsencode(folder)
    entries = [*case.context, Entry("Dockerfile", "f", 0o644, case.dockerfile)]
    for entry in entries:
        _make(root, entry)
    for entry in reversed(entries):  # times last: filling a directory changes them
        path = os.path.join(root, os.fsencode(entry.path))
        if entry.kind not in "lh":
            os.chmod(path, entry.mode)
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def _make(root: bytes, entry: Entry) -> None:
    path = os.path.join(root, os.fsencode(entry.path))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    match entry.kind:
        case "d":
            os.makedirs(path, exist_ok=True)
        case "l":
            os.symlink(os.fsencode(entry.content), path)
        case "h":
            os.link(os.path.join(root, os.fsencode(entry.content)), path)
        case "p":
            os.mkfifo(path)
        case _:
            Path(os.fsdecode(path)).write_bytes(_content(entry))


def _content(entry: Entry) -> bytes:
    if entry.kind == "f":
        return str(entry.content).encode("utf-8", "surrogateescape")
    made = archive([Entry(*member) for member in entry.content])
    return _COMPRESS[entry.kind](made)


_COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "t": bytes,
    "z": lambda made: gzip.compress(made, mtime=0),
    "b": bz2.compress,
}


def archive(entries: list[Entry]) -> bytes:
    """A tar of `entries` in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            tar.addfile(*_member(entry))
    return buffer.getvalue()


_TYPES = {"d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "p": tarfile.FIFOTYPE}


def _member(entry: Entry) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    member = tarfile.TarInfo(entry.path)
    member.mode, member.mtime = entry.mode, TIME
    member.uid, member.gid = entry.owner
    member.type = _TYPES.get(entry.kind, tarfile.REGTYPE)
    if entry.kind in "lh":
        member.linkname = entry.content
        return member, None
    if entry.kind in "dp":
        return member, None
    content = entry.content
    body = content if isinstance(content, bytes) else content.encode()
    if entry.kind == "c":
        member.pax_headers = {
            "SCHILY.xattr.security.capability": _CAPABILITY.decode("utf-8", "surrogateescape")
        }
    member.size = len(body)
    return member, io.BytesIO(body)


def _layers(busybox: bytes) -> list[bytes]:
    """The base: busybox; a tree of everything a layer can hold; removals and replacements."""
    system = [
        *(Entry(name, "d", 0o755) for name in _FOLDERS),
        *(Entry(name, "f", 0o644) for name in ("etc/hosts", "etc/hostname", "etc/resolv.conf")),
        Entry("root", "d", 0o700),
        Entry("tmp", "d", 0o1777),
        Entry("bin/busybox", "f", 0o755, busybox),
        *(Entry(f"bin/{name}", "l", 0o777, "busybox") for name in _APPLETS),
        *_accounts(),
    ]
    return [archive(system), archive(_tree()), archive(_changes())]


def _accounts() -> list[Entry]:
    users = (
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n"
        "app:x:1000:1001:app:/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    )
    groups = (
        "root:x:0:\ndaemon:x:1:\nwheel:x:10:root,app\nstaff:x:50:app\n"
        "app:x:1001:\nnobody:x:65534:\n"
    )
    return [Entry("etc/passwd", "f", 0o644, users), Entry("etc/group", "f", 0o644, groups)]


def _tree() -> list[Entry]:
    return [
        Entry("low", "d", 0o755),
        Entry("low/a", "f", 0o644, "low a\n"),
        Entry("low/b", "f", 0o600, "low b\n", (1000, 1001)),
        Entry("low/suid", "f", 0o4755, "suid\n"),
        Entry("low/cap", "c", 0o755, "cap\n"),
        Entry("low/hard", "h", 0o644, "low/a"),
        Entry("low/link", "l", 0o777, "a"),
        Entry("low/dangling", "l", 0o777, "/low/none/yet"),
        Entry("low/todir", "l", 0o777, "d"),
        Entry("low/fifo", "p", 0o640),
        Entry("low/d", "d", 0o755),
        Entry("low/d/one", "f", 0o644, "one\n"),
        Entry("low/d/two", "f", 0o640, "two\n", (1, 1)),
        Entry("low/d/deep", "d", 0o750, "", (1000, 1000)),
        Entry("low/d/deep/x", "f", 0o444, "deep x\n", (1000, 1000)),
        Entry("low/d/deep/y", "l", 0o777, "../one"),
        Entry("low/e", "d", 0o2775, "", (0, 50)),
        Entry("low/e/f", "f", 0o664, "e f\n", (0, 50)),
        Entry("low/empty", "d", 0o711),
        Entry("low/gone", "d", 0o755),
        Entry("low/gone/g", "f", 0o644, "gone\n"),
        Entry("low/opaque", "d", 0o755),
        Entry("low/opaque/before", "f", 0o644, "before\n"),
        Entry("low/turns", "f", 0o644, "a file\n"),
        Entry("low/sp ace", "f", 0o644, "space\n"),
        Entry("low/ünï", "d", 0o755),
        Entry("low/ünï/ß", "f", 0o644, "unicode\n"),
    ]


def _changes() -> list[Entry]:
    return [
        Entry("low", "d", 0o755),
        Entry("low/.wh.gone", "f", 0o644),
        Entry("low/opaque", "d", 0o700),
        Entry("low/opaque/.wh..wh..opq", "f", 0o644),
        Entry("low/opaque/after", "f", 0o644, "after\n"),
        Entry("low/turns", "d", 0o755),
        Entry("low/turns/inside", "f", 0o644, "was a file\n"),
        Entry("low/late", "f", 0o644, "late\n"),
    ]


def base(layout: Path) -> images.BaseImage:
    """The base as an OCI layout in the folder `layout`."""
    program = machine.static_busybox()
    assert program, "no static busybox"
    name = f"docker.io/library/{BASE}:latest"
    return images.write_layout(layout, name, _layers(program.read_bytes()))


def debian(layout: Path) -> images.BaseImage:
    """A base of the same name with the same tree and users, but Debian's programs."""
    whole = images.debian()
    manifest = json.loads(whole.blob(whole.manifest_digest))
    system = gzip.decompress(whole.blob(manifest["layers"][0]["digest"]))
    layers = [system, archive([*_accounts(), *_tree()]), archive(_changes())]
    return images.write_layout(layout, f"docker.io/library/{BASE}:latest", layers)


def base_key() -> str:
    """What the answers of a judge depend on besides the case: the base, less the program."""
    return hashlib.sha256(b"".join(_layers(b""))).hexdigest()[:16]
