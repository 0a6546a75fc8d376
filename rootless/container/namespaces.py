"""What the kernel tells of a process: its namespaces, ids, powers and mounts, read from /proc.

The owner of a user namespace may ask that of all in it, from outside. Only reads; runs in any
process of the user's. What mount points are called comes from images.
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
_MOST = 4 << 20  # bytes of one file of /proc
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


class Mount(Record):
    """One mount: `root` is what of its file system is shown, `source` what that calls itself."""

    target: str
    fstype: str
    source: str
    root: str
    read_only: bool
    options: tuple[str, ...]
    tells: str


class Apart(Record):
    """One process. `namespaces` are by kind, the kernel's numbers; ids are inside, outside, count.

    `powers` are the masks of capabilities by their names in status(5), CapEff and so on.
    """

    pid: int
    inside: int
    namespaces: dict[str, str]
    uids: tuple[tuple[int, int, int], ...]
    gids: tuple[tuple[int, int, int], ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    powers: dict[str, int]
    no_new_privileges: bool
    filters: int


def read(pid: int) -> Apart:
    """What there is to know of a process; RootlessError when it has ended, or is not the user's."""
    try:
        status = dict(_pairs(_text(pid, "status")))
        return Apart(
            pid,
            int(status.get("NSpid", "0").split()[-1]),
            {kind: _number(os.readlink(f"/proc/{pid}/ns/{kind}")) for kind in _kinds(pid)},
            _ranges(_text(pid, "uid_map")),
            _ranges(_text(pid, "gid_map")),
            int(status["Uid"].split()[1]),
            int(status["Gid"].split()[1]),
            tuple(map(int, status["Groups"].split())),
            {name: int(value, 16) for name, value in status.items() if name.startswith("Cap")},
            status.get("NoNewPrivs") == "1",
            int(status.get("Seccomp_filters", "0" if status.get("Seccomp") == "0" else "1")),
        )
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise RootlessError(f"process {pid} cannot be looked at: {error}") from None


def mounts(pid: int) -> list[Mount]:
    """Its mounts, in the order they were made. RootlessError as for `read`."""
    try:
        lines = _text(pid, "mountinfo").splitlines()
    except OSError as error:
        raise RootlessError(f"process {pid} cannot be looked at: {error}") from None
    return [_mount(line) for line in lines if " - " in line]


def inner(ranges: tuple[tuple[int, int, int], ...], number: int) -> int | None:
    """What an outer id is called inside; None where it is not mapped."""
    for inside, outside, count in ranges:
        if outside <= number < outside + count:
            return inside + number - outside
    return None


def _mount(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    fields, (fstype, source, *rest) = left.split(" "), right.split(" ")
    options = tuple(fields[5].split(","))
    target, root = _plain(fields[4]), _plain(fields[3])
    tells = rest[0] if rest else ""
    return Mount(target, fstype, _plain(source), root, "ro" in options, options, tells)


def _plain(text: str) -> str:
    for escape, char in _ESCAPES:
        text = text.replace(escape, char)
    return text


def _kinds(pid: int) -> list[str]:
    return [kind for kind in KINDS if os.path.lexists(f"/proc/{pid}/ns/{kind}")]


def _number(link: str) -> str:
    return link.partition("[")[2].rstrip("]")


def _text(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read(_MOST).decode(errors="surrogateescape")


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()


def _ranges(text: str) -> tuple[tuple[int, int, int], ...]:
    lines = (line.split() for line in text.splitlines())
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in lines)
