"""What a sandbox is given on top of its tree where nothing can be mounted: put there, taken out.

Each thing is put at its path; what was there before waits in a folder of ours on the same file
system, and comes back when all processes of the sandbox have ended, whoever ended them: that is the
supervisor's work, which outlives the command and whoever started it. How it was is written down
first, so that anybody can bring it back:

    FOLDER/N/where   JSON: the directory (`parent`) and `name` of thing N, directories `made` on the
                     way to it and the one above them (`anchor`), and times (`before`, `after`)
    FOLDER/N/was     what was there
    FOLDER/N/had     names of what a shared directory had
    FOLDER/N/kept    another name of a file whose content must go, wherever a command has moved it
    FOLDER/null      another name of what stands for /dev/null (`sink`)

`put` runs in the child, before anything of the image runs; `restore` follows no link, for a command
may have put one anywhere. A crash of both leaves the tree as it is: its owner throws it away.
"""

from __future__ import annotations

import os

from rootless import deletion, inroot, leanjson
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.quoting import below, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from rootless.sandbox.newroot import Newroot
    from rootless.sandbox.sink import Sink

    class Thing(Protocol):
        """Something to be seen at a path."""

        @property
        def path(self) -> str:
            """Where, inside."""

        def describe(self) -> str:
            """What, for a person."""

        def put(self, target: str, notes: str) -> None:
            """Make it at `target`, where nothing is; `notes` is a folder for what to remember."""

        def take(self, target: str, notes: str) -> None:
            """Before it is removed."""


FOLDER = "covered"
"""How the folder is called, in that of who works in the tree."""

_MOST = 1 << 20


class Cover(Record):
    """Put `things` into the tree; what they cover waits in `folder`, which is made."""

    things: tuple[Thing, ...]
    tree: str
    folder: str

    call = "rename(2), open(2), mknod(2), link(2)"

    def describe(self) -> str:
        shown = "; ".join(f"{one.path}: {one.describe()}" for one in self.things)
        return f"nothing can be mounted here, so put into the tree, until the end: {shown}"

    def shell(self) -> tuple[str, ...]:
        lines = []
        for one in self.things:
            path = quote(below(one.path))
            lines.append(f"within {path}; [ ! -e {path} ] || mv -T {path} {path}.covered")
            lines.append(f"# here comes: {one.describe()}")
        return tuple(lines)

    def prepare(self) -> Sink | None:
        """In the supervisor, before the child: what it is to look after meanwhile."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        found: Sink | None = None
        for one in self.things:
            if prepare := getattr(one, "prepare", None):
                found = prepare(self.folder)
        return found

    def apply(self, newroot: Newroot) -> None:
        for number, thing in enumerate(self.things):
            try:
                _put(newroot.fd, thing, f"{self.folder}/{number}")
            except OSError as error:
                raise SandboxError(
                    f"{thing.path} cannot be given to the command: {error.strerror}"
                ) from None

    def restore(self) -> None:
        """Bring back what was there. In the supervisor, when all processes have ended."""
        root_fd = os.open(self.tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        parents = inroot.Parents(root_fd)
        try:
            for number, thing in reversed(tuple(enumerate(self.things))):
                _take(parents, thing, f"{self.folder}/{number}")
        finally:
            parents.close()
            os.close(root_fd)


def touched(folder: str) -> frozenset[bytes]:
    """Paths (/A/B) that were covered, and directories they lie in: times of theirs have changed."""
    found: set[bytes] = set()
    for number in os.listdir(folder) if os.path.isdir(folder) else ():
        where = _read(f"{folder}/{number}")
        if where:
            names = (where["anchor"], where["parent"], _join(where["parent"], where["name"]))
            found |= {os.fsencode(f"/{name}" if name else "") for name in names}
    return frozenset(found)


def covered(folder: str) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """Paths (/A/B) of what is put there now, and of directories that were made on the way."""
    places: set[bytes] = set()
    ways: set[bytes] = set()
    for number in os.listdir(folder) if os.path.isdir(folder) else ():
        if where := _read(f"{folder}/{number}"):
            places.add(os.fsencode(f"/{_join(where['parent'], where['name'])}"))
            ways |= {os.fsencode(f"/{name}") for name in where["made"]}
    return frozenset(places), frozenset(ways)


def _put(root_fd: int, thing: Thing, notes: str) -> None:
    os.mkdir(notes, 0o700)
    parent, name = inroot.split(thing.path)
    anchor_fd = _anchor(root_fd, parent)
    before = os.fstat(anchor_fd).st_mtime_ns
    made: list[str] = []
    top = _path_of(root_fd)

    def tell(fd: int) -> None:
        made.append(_path_of(fd).removeprefix(top).strip("/"))

    parent_fd = inroot.make_directory(root_fd, parent, tell=tell)
    where: dict[str, Any] = {
        "anchor": _path_of(anchor_fd).removeprefix(top).strip("/"),
        "parent": _path_of(parent_fd).removeprefix(top).strip("/"),
        "name": name,
        "made": made,
        "before": str(before),
        "after": "",
    }
    _write(notes, where)
    try:
        os.rename(name, f"{notes}/was", src_dir_fd=parent_fd)
    except FileNotFoundError:
        pass
    thing.put(f"/proc/self/fd/{parent_fd}/{name}", notes)
    _write(notes, {**where, "after": str(os.fstat(anchor_fd).st_mtime_ns)})
    os.close(parent_fd)
    os.close(anchor_fd)


def _anchor(root_fd: int, path: str) -> int:
    """The deepest directory on the way to `path` that is there."""
    while True:
        try:
            return inroot.open_path(root_fd, path, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            if not path.strip("/"):
                raise
            path = os.path.dirname(path.rstrip("/"))


def _take(parents: inroot.Parents, thing: Thing, notes: str) -> None:
    _wipe(f"{notes}/kept")
    where = _read(notes)
    if not where:
        return
    try:
        anchor = _status(parents, where["anchor"])
        parent_fd, _ = parents.of(os.fsencode(_join(where["parent"], "x")))
    except OSError as error:
        if error.errno in inroot.GONE:  # the command has taken away the place itself
            return
        raise
    target = f"/proc/self/fd/{parent_fd}/{where['name']}"
    thing.take(target, notes)
    deletion.remove(target)
    if os.path.lexists(f"{notes}/was"):
        os.rename(f"{notes}/was", target)
    for path in reversed(where["made"]):
        _remove_empty(parents, path)
    seen = str(anchor.st_mtime_ns)
    keep = int(where["before"] if seen == where["after"] else seen)
    at, name = _place(parents, where["anchor"])
    os.utime(name, ns=(keep, keep), dir_fd=at)


def _wipe(path: str) -> None:
    try:
        os.chmod(path, 0o600)  # who is not root may not write to what he may only read
        os.truncate(path, 0)
        os.unlink(path)
    except FileNotFoundError:
        pass


def _place(parents: inroot.Parents, path: str) -> tuple[int, bytes]:
    at, name = parents.of(os.fsencode(path))
    return at, name or b"."


def _status(parents: inroot.Parents, path: str) -> os.stat_result:
    at, name = _place(parents, path)
    return os.lstat(name, dir_fd=at)


def _remove_empty(parents: inroot.Parents, path: str) -> None:
    try:
        at, name = _place(parents, path)
        os.rmdir(name, dir_fd=at)
    except OSError:  # the command has put something there, or has taken it away
        pass


def _write(notes: str, where: dict[str, Any]) -> None:
    fd = os.open(f"{notes}/where.new", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    os.write(fd, leanjson.dumps(where))
    os.close(fd)
    os.rename(f"{notes}/where.new", f"{notes}/where")


def _read(notes: str) -> dict[str, Any]:
    try:
        fd = os.open(f"{notes}/where", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        found: dict[str, Any] = leanjson.loads(os.read(fd, _MOST))
        return found
    finally:
        os.close(fd)


def _join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def _path_of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")
