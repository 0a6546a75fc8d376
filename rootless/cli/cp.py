"""`cp`: files between a container and this machine, or a tar on standard input or output."""

from __future__ import annotations

import os
import sys

from rootless import interrupts, userns
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
    from rootless.container.cp import Owners, Side


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
    interrupts.catch()
    source, target = place(arguments.source), place(arguments.target)
    if source.container and target.container:
        raise RootlessError(
            "copying between containers is not supported",
            hint="let a tar go from one to the other:"
            f" rootless cp {arguments.source} - | rootless cp - {arguments.target}",
        )
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
    from rootless.container import opened

    home = store.path("containers", container.id)
    root_fd = opened.running(pid, home) if pid else -1
    userns.enter()
    if pid:
        size = _copy(arguments, container, root_fd, source, target)
    else:
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
            told = _owners(container, back=True)
            return cp.pack(copied, _print, base, told)
        here = cp.target(_host(), _absolute(target.path), copied)
        return cp.copy(copied, here, lambda *_: (0, 0))
    owners = _given(container, root_fd) if arguments.archive else _owners(container)
    if source.path == "-":
        folder = cp.folder(side, _inside(target.path), arguments.target)
        return cp.unpack(lambda count: os.read(0, count), folder, owners)
    copied = cp.source(_host(), _absolute(source.path), follow=arguments.follow_link)
    if not target.path:
        raise RootlessError(side.no_folder(""), hint="write CONTAINER:/PATH")
    return cp.copy(copied, cp.target(side, _inside(target.path), copied), owners)


def _host() -> Side:
    from rootless.container import cp

    return cp.host(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))


def _inside(path: str) -> str:
    """A container's paths begin at its root."""
    return f"/{path.lstrip('/')}"


def _absolute(path: str) -> str:
    """With the slash or dot at its end, which means something."""
    return os.path.join(os.getcwd(), path)


def _print(piece: bytes) -> None:
    files.write_all(1, piece, "standard output")


def _given(container: Container, root_fd: int) -> Owners:
    """As in docker, with --archive all belongs to the container's user, if it has one."""
    user = container.spec.run.user
    if not user:
        return _owners(container)
    from rootless.sandbox import accounts

    account = accounts.resolve(user, root_fd)
    owner = _owners(container)(account.uid, account.gid)
    return lambda *_: owner


def _owners(container: Container, *, back: bool = False) -> Owners:
    """Who stands for whom, where a container has ids of its own."""
    own_ids = container.spec.confinement.own_ids
    if own_ids is None:
        return lambda uid, gid: (uid, gid)
    from rootless.store import owned

    return owned.Owners(own_ids, back=back)
