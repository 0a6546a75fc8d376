"""`cp`: files between a container and this machine, or a tar on standard input or output."""

from __future__ import annotations

import os
import sys

from rootless import userns
from rootless.cli import files, words
from rootless.container import records
from rootless.container.spec import Container
from rootless.errors import RootlessError
from rootless.record import Record
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.cp import Side


class Place(Record):
    """One of the two words: a path, as typed, in a container, or ("") on this machine."""

    container: str
    path: str


def place(text: str) -> Place:
    """`CONTAINER:PATH`, or a path: one that begins with / or . is never a container's."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return Place("", text)
    return Place(name, path)


def cp(given: Settings, arguments: Arguments) -> int:
    """Copy files into a container or out of it."""
    source, target = place(arguments.source), place(arguments.target)
    if source.container and target.container:
        raise RootlessError("copying between containers is not supported")
    if not source.container and not target.container:
        raise RootlessError(
            "must specify at least one container source",
            hint="write CONTAINER:PATH for one of the two",
        )
    if target.path == "-":
        files.check_stream(None)
    store = Store(given.root)
    container = _find(store, source.container or target.container)
    to_write = bool(target.container)
    pid = records.pid(store, container) if container.is_running else 0
    if pid:
        from rootless.container import opened

        size = _copy(arguments, container, opened.running(pid), source, target)
    else:
        userns.enter()
        from rootless.container import opened

        with opened.Stopped(store, container, to_write=to_write) as tree:
            size = _copy(arguments, container, tree.fd, source, target)
    if not arguments.quiet and target.path != "-" and os.isatty(2):
        said = f"Successfully copied {words.size(size)} to {arguments.target}"
        print(words.escape(said), file=sys.stderr)
    return 0


def _find(store: Store, name: str) -> Container:
    found = records.find(store, name)
    if not isinstance(found, Container):
        raise RootlessError(f"container {found.id[:12]} is damaged: {found.why}")
    return found


def _copy(
    arguments: Arguments, container: Container, root_fd: int, source: Place, target: Place
) -> int:
    """Bytes of the archive that went through."""
    from rootless.container import cp

    side = cp.container(root_fd, source.container or target.container)
    if source.container:
        copied = cp.source(side, _inside(source.path), follow=arguments.follow_link)
        if target.path == "-":
            base = copied.name if arguments.follow_link and copied.base != b"." else b""
            return cp.pack(copied, lambda piece: files.write_all(1, piece, "standard output"), base)
        here = cp.target(_host(), _absolute(target.path), copied)
        return cp.copy(copied, here, (0, 0))
    owner = _owner(container, root_fd) if arguments.archive else None
    if source.path == "-":
        folder = cp.folder(side, _inside(target.path), arguments.target)
        return cp.unpack(lambda count: os.read(0, count), folder, owner)
    copied = cp.source(_host(), _absolute(source.path), follow=arguments.follow_link)
    if not target.path:
        raise RootlessError("no such directory", hint="write CONTAINER:/PATH")
    return cp.copy(copied, cp.target(side, _inside(target.path), copied), owner)


def _host() -> Side:
    from rootless.container import cp

    return cp.host(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


def _inside(path: str) -> str:
    """A container's paths begin at its root."""
    return f"/{path.lstrip('/')}"


def _absolute(path: str) -> str:
    """With the slash or dot at its end, which means something."""
    return os.path.join(os.getcwd(), path)


def _owner(container: Container, root_fd: int) -> tuple[int, int] | None:
    """As in docker, with --archive all belongs to the container's user, if it has one."""
    user = container.spec.run.user
    if not user:
        return None
    from rootless.sandbox import accounts

    account = accounts.resolve(user, root_fd)
    return account.uid, account.gid
