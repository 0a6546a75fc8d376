"""What can be put into a tree instead of a mount: see `covering`, which puts and takes it.

    Text     a small file, a secret for example, whose content is gone for certain afterwards
    Folder   an empty directory
    Copy     a file or a directory of the host, of which a copy is thrown away
    Device   a device like one of the host's, made where that is allowed
    Shared   a directory of the host, by names of its very files: what is written there stays
    Nodes    /dev, with devices where they can be made, else with files that do for most
    Views    /proc, with some facts of the machine that programs read

All are values; `put` runs in the child before anything of the image does.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import deletion, owners, permissions
from rootless.record import Record
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.sink import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
NODES = ("null", "zero", "full", "random", "urandom", "tty")
_RANDOM = ("random", "urandom")
_ENOUGH = 1 << 16  # bytes of what stands for a device that has no end
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
_FACTS = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")


class Text(Record):
    """A file with this content; of a `secret` nothing is left, wherever a command has moved it."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    secret: bool = False

    def __repr__(self) -> str:
        return f"Text({self.path!r}, {len(self.content)} bytes)"

    def describe(self) -> str:
        return "a secret, gone with this command" if self.secret else "a file of its own"

    def put(self, target: str, notes: str) -> None:
        fd = os.open(target, _NEW, 0o600)
        try:
            if self.secret:
                os.link(target, f"{notes}/kept")
            _write_all(fd, self.content)
            owners.give(fd, self.uid, self.gid)
            os.fchmod(fd, self.mode)
        finally:
            os.close(fd)

    def take(self, target: str, notes: str) -> None:
        """It goes as a whole."""


class Folder(Record):
    """An empty directory; a `mode` of None is that of what it covers."""

    path: str
    mode: int | None = None
    owner: tuple[int, int] = (0, 0)

    def describe(self) -> str:
        return "an empty directory, not in memory and without a limit"

    def put(self, target: str, notes: str) -> None:
        mode = self.mode
        if mode is None:
            mode = stat.S_IMODE(os.lstat(f"{notes}/was").st_mode) if _has(notes) else 0o1777
        os.mkdir(target)
        if self.owner != (0, 0):
            owners.give(target, *self.owner)
        permissions.give_name(target, mode)

    def take(self, target: str, notes: str) -> None:
        """It goes as a whole."""


class Copy(Record):
    """What is at `source`, copied: files, directories and links."""

    path: str
    source: str
    why: str = ""

    def describe(self) -> str:
        return f"a copy of {self.source}: {self.why}" if self.why else f"a copy of {self.source}"

    def put(self, target: str, notes: str) -> None:  # noqa: ARG002 - a thing's signature
        status = os.stat(self.source)
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise SandboxError(
                f"{self.source} cannot be shown at {self.path}: it is no file and no directory, "
                "and nothing can be mounted here",
                hint="rootless doctor says what this machine lacks",
            )
        _check_apart(self.source, self.path, target)
        _copy(self.source, target, status)

    def take(self, target: str, notes: str) -> None:
        """It goes as a whole."""


class Device(Record):
    """A device like `source`: the same to whoever opens it."""

    path: str
    source: str

    def describe(self) -> str:
        return f"a device like {self.source}"

    def put(self, target: str, notes: str) -> None:  # noqa: ARG002 - a thing's signature
        try:
            _make_device(target, self.source)
        except OSError as error:
            raise SandboxError(
                f"the device {self.source} cannot be given to the command: nothing can be mounted "
                f"here, and a device of one's own is refused: {error.strerror}",
                hint="start the outer container with it: docker run --device; "
                "rootless doctor says what this machine lacks",
            ) from None

    def take(self, target: str, notes: str) -> None:
        """It goes as a whole."""


class Shared(Record):
    """The directory `source`: the same files, and in the end the same names."""

    path: str
    source: str
    why: str = ""

    def describe(self) -> str:
        return f"the files of {self.source}, to be changed: {self.why}"

    def put(self, target: str, notes: str) -> None:
        _check_apart(self.source, self.path, target)
        try:
            had = list(_link(self.source, target))
        except OSError as error:
            raise SandboxError(
                f"{self.source} cannot be shared with {self.path}: {error.strerror}; "
                "nothing can be mounted here",
                hint="what is to be written to must be a directory on the store's file system",
            ) from None
        fd = os.open(f"{notes}/had", _NEW, 0o600)
        _write_all(fd, b"".join(os.fsencode(name) + b"\0" for name in had))
        os.close(fd)

    def take(self, target: str, notes: str) -> None:
        """Take over what is new, and delete what the command has deleted."""
        if not os.path.isdir(target) or not os.path.exists(f"{notes}/had"):
            return
        with open(f"{notes}/had", "rb") as file:
            had = [os.fsdecode(name) for name in file.read().split(b"\0")[:-1]]
        for name in reversed(had):
            if not os.path.lexists(f"{target}/{name}"):
                deletion.remove(f"{self.source}/{name}")
        for _ in _link(target, self.source):
            pass


class Nodes(Record):
    """A small /dev: devices, where this container may make them and its disk lets them work.

    With `places_only` there are empty files, for somebody who shows this machine's own there.
    """

    path: str = "/dev"
    places_only: bool = False

    def describe(self) -> str:
        if self.places_only:
            return "places for this machine's devices, and shm"
        return f"{', '.join(NODES)}, made as devices where that is allowed, and shm"

    def prepare(self, folder: str) -> Sink | None:
        """Make `folder`/null, if no device can stand there."""
        path = f"{folder}/null"
        if self.places_only:
            return None
        if _made(path, "/dev/null"):
            os.unlink(path)
            return None
        try:
            return Sink(path)
        except OSError:  # the user's watches are used up, or forbidden: an ordinary file does
            return None

    def put(self, target: str, notes: str) -> None:
        os.mkdir(target, 0o755)
        null = f"{os.path.dirname(notes)}/null"
        if os.path.exists(null):
            os.link(null, f"{target}/null")
        for name in NODES:
            if name == "null" and os.path.exists(null):
                continue
            if self.places_only:
                os.close(os.open(f"{target}/{name}", _NEW, 0o666))
            elif not _made(f"{target}/{name}", f"/dev/{name}"):
                _stand_in(f"{target}/{name}", name)
        for name, to in _LINKS:
            os.symlink(to, f"{target}/{name}")
        os.mkdir(f"{target}/shm")
        os.chmod(f"{target}/shm", 0o1777)

    def take(self, target: str, notes: str) -> None:
        """It goes as a whole."""


class Views(Record):
    """A /proc of some files, as they were: without a mount nothing in it lives."""

    path: str = "/proc"

    def describe(self) -> str:
        return f"no processes, but copies of {', '.join(_FACTS)}"

    def put(self, target: str, notes: str) -> None:  # noqa: ARG002 - a thing's signature
        os.mkdir(target, 0o555)
        for name in _FACTS:
            try:
                with open(f"/proc/{name}", "rb") as file:
                    content = file.read(_CHUNK)
            except OSError:  # hidden from this container, too
                continue
            fd = os.open(f"{target}/{name}", _NEW, 0o444)
            _write_all(fd, content)
            os.close(fd)

    def take(self, target: str, notes: str) -> None:
        """It goes as a whole."""


def _check_apart(source: str, path: str, target: str) -> None:
    """SandboxError where what is to be copied has the copy in it."""
    if f"{os.path.realpath(target)}/".startswith(f"{os.path.realpath(source).rstrip('/')}/"):
        raise SandboxError(
            f"{source} cannot be shown at {path}: rootless's own files are in it, "
            "and nothing can be mounted here",
            hint="name what is needed of it, or move the store with --root or ROOTLESS_ROOT",
        )


def _has(notes: str) -> bool:
    return os.path.isdir(f"{notes}/was")


def _made(target: str, device: str) -> bool:
    """Make a device like the container's own; whether it can be opened."""
    try:
        _make_device(target, device)
    except OSError:
        return False
    return True


def _make_device(target: str, device: str) -> None:
    """Make a device that can be opened, like another one. OSError."""
    status = os.stat(device)
    os.mknod(target, status.st_mode, status.st_rdev)
    try:
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))
        if not device.endswith("tty"):  # which is there for who has a terminal
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            os.close(os.open(target, flags))
    except OSError:
        os.unlink(target)
        raise


def _stand_in(target: str, name: str) -> None:
    """Nothing to read stands for null; for what is random so much that it is enough for a seed."""
    if name != "null" and name not in _RANDOM:
        return
    fd = os.open(target, _NEW, 0o666)
    os.fchmod(fd, 0o666)
    if name in _RANDOM:
        _write_all(fd, os.urandom(_ENOUGH))
    os.close(fd)


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _copy(source: str, target: str, status: os.stat_result) -> None:
    """A directory is copied with all that is in it, sockets left out, and what may not be made."""
    if not stat.S_ISDIR(status.st_mode):
        _copy_entry(source, target, status)
        return
    for path, inner in _walk(source):
        at = target + path.removeprefix(source)
        if stat.S_ISDIR(inner.st_mode):
            os.mkdir(at)
        _copy_entry(path, at, inner)


def _copy_entry(source: str, target: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(status.st_mode):
        read_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        write_fd = os.open(target, _NEW, 0o600)
        while os.sendfile(write_fd, read_fd, None, _CHUNK):
            pass
        os.close(read_fd)
        os.close(write_fd)
    elif not (stat.S_ISDIR(status.st_mode) or _made_special(target, status)):
        return
    _like(target, status)
    if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
        _with_records(source, target)


def _with_records(source: str, target: str) -> None:
    """What is noted on a file of the store, where an image's are not what they are to be."""
    for name in (owners.ATTRIBUTE, permissions.ATTRIBUTE) if owners.are_recorded() else ():
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise


def _made_special(target: str, status: os.stat_result) -> bool:
    """Make a pipe or a device. With an image's files come those that its commands have made."""
    if stat.S_ISSOCK(status.st_mode):
        return False
    try:
        os.mknod(target, status.st_mode, status.st_rdev)
    except PermissionError:
        return False
    return True


def _like(target: str, status: os.stat_result) -> None:
    """Owner, mode and time; what belongs to an id that does not exist here becomes root's."""
    owners.give_as(target, status)
    if not stat.S_ISLNK(status.st_mode):
        permissions.give_name(target, stat.S_IMODE(status.st_mode))
    told = status.st_atime_ns if owners.in_times(status) else status.st_mtime_ns
    os.utime(target, ns=(told, status.st_mtime_ns), follow_symlinks=False)


def _link(source: str, target: str) -> Iterator[str]:
    """Give `target` all that `source` has, by names of the same files; what is in both is told.

    A file that is replaced in between is never missing under its name.
    """
    for path, status in _walk(source):
        name = path.removeprefix(source)
        at = target + name
        there = _status(at)
        if stat.S_ISDIR(status.st_mode):
            if there is None or not stat.S_ISDIR(there.st_mode):
                deletion.remove(at)
                os.mkdir(at)
                there = None
            if there is None or _looks(there) != _looks(status):
                os.chown(at, status.st_uid, status.st_gid)
                os.chmod(at, permissions.folder(stat.S_IMODE(status.st_mode)))
        elif there is None or not os.path.samestat(there, status):
            if there is not None and stat.S_ISDIR(there.st_mode):
                deletion.remove(at)
            new = f"{os.path.dirname(at)}/.new-{os.urandom(8).hex()}"
            os.link(path, new, follow_symlinks=False)
            os.rename(new, at)
        if name:
            yield name.lstrip("/")


def _looks(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mode, status.st_uid, status.st_gid


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _walk(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """All of a directory, itself first, each directory before what is in it; links not followed."""
    pending = [(top, os.stat(top))]
    while pending:
        path, status = pending.pop()
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                pending += [(one.path, one.stat(follow_symlinks=False)) for one in entries]
