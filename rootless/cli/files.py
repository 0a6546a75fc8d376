"""Files that the user names on the command line: opened and written with errors in sentences."""

from __future__ import annotations

import os
import stat
from errno import EISDIR, ENOENT, ENOTDIR, EOPNOTSUPP

from rootless import complaints, inroot
from rootless.errors import NotFoundError, RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.archive import Put

_LIMIT = 16 << 20  # bytes of a Dockerfile, a .dockerignore, an env-file
_CHUNK = 1 << 16
_ARCHIVES = (".tar", ".tgz", ".txz", ".gz", ".bz2", ".xz", ".zst")
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(path: str, flags: int) -> int:
    """A file descriptor of the file at `path`."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        _complain(path, error)


def open_archive(path: str | None, otherwise: str) -> int:
    """The file to read, standard input for None and -; refused when that is a terminal.

    `otherwise` is the hint where no archive has nearly that name.
    """
    if path in (None, "", "-"):
        if os.isatty(0):
            raise UsageError(
                "there is no archive: standard input is a terminal",
                hint="name a file, or pipe an archive in",
            )
        return 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()  # docker's words, which are Go's
        hint = _meant(path, _ARCHIVES) or otherwise
        raise RootlessError(f"open {path}: {reason}", hint=hint) from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise RootlessError(
            f"read {path}: is a directory", hint="an archive is one file: pack it first, tar -c"
        )
    return fd


def read(path: str) -> bytes:
    """The whole file at `path`, which the user named; NotFoundError when there is none.

    It is a regular file, or a pipe that is open already, as a shell's `<(…)` is.
    """
    digits = path.removeprefix("/dev/fd/")
    if digits != path and digits.isdecimal():
        fd = open_file(path, os.O_RDONLY)
        return _limited(fd, path)
    return _regular(-1, path, path)


def read_inside(folder: str, path: str, shown: str) -> bytes:
    """The file at `path` below `folder`, which somebody else may have filled.

    Links end inside the folder; errors call the file `shown`. NotFoundError when there is nothing
    by that name.
    """
    folder_fd = open_file(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        return _regular(folder_fd, path, shown)
    except NotFoundError:
        if not os.path.lexists(os.path.join(folder, path)):
            raise
        raise RootlessError(
            f"{shown} is a symbolic link that leads to nothing inside {folder}",
            hint="put the file itself there: nothing outside of that directory is read",
        ) from None
    finally:
        os.close(folder_fd)


def read_input() -> bytes:
    """All of standard input."""
    return limited(lambda count: os.read(0, count), "standard input")


def check_parent(path: str) -> None:
    """NotFoundError when the folder that a file is to be written into is not there."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise NotFoundError(f"open {path}: no such file or directory", hint=f"mkdir -p {folder}")


def check_stream(path: str | None) -> None:
    """UsageError for an archive that would be written to a terminal."""
    if not path and os.isatty(1):
        raise UsageError(
            "an archive is not for a terminal", hint="use -o FILE, or redirect the output"
        )


def stream(path: str | None, write: Callable[[Put], object]) -> None:
    """Call `write` with what puts chunks into the file at `path`, or to standard output.

    A regular file appears whole or not at all; a pipe or a device is written to.
    """

    def into(fd: int) -> None:
        write(lambda chunk: write_all(fd, chunk, path or "standard output"))

    if path in (None, "", "-"):
        into(1)
    elif os.path.isdir(path):
        raise RootlessError(f"{path} is a directory", hint="name the file to write in it")
    elif _is_special(path):
        into(open_file(path, os.O_WRONLY))
    else:
        with replacing(path) as fd:
            into(fd)


def _is_special(path: str) -> bool:
    """Whether `path` is a pipe or a device, which is written to and not replaced."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _regular(folder_fd: int, path: str, shown: str) -> bytes:
    """A regular file, found below a folder or (-1) anywhere. Nothing else is even opened."""
    try:
        found = os.open(path, os.O_PATH) if folder_fd < 0 else inroot.open_path(folder_fd, path)
    except OSError as error:
        if error.errno in (ENOENT, ENOTDIR):
            hint = _meant(path) if folder_fd < 0 else None
            raise NotFoundError(
                f"{shown or repr(shown)}: there is no such file", hint=hint
            ) from None
        _complain(shown, error)
    try:
        kind = stat.S_IFMT(os.fstat(found).st_mode)
        if kind != stat.S_IFREG:
            raise RootlessError(f"{shown} is {_KINDS.get(kind, 'no file')}, not a regular file")
        try:
            fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY)
        except OSError as error:
            _complain(shown, error)
    finally:
        os.close(found)
    return _limited(fd, shown)


def _meant(path: str, endings: tuple[str, ...] = ("",)) -> str | None:
    """What is beside it, with one of these endings, and has nearly that name."""
    from rootless import nearest

    folder, name = os.path.split(path)
    try:
        beside = os.listdir(folder or ".")
    except OSError:
        return None
    likely = [one for one in beside if one.lower().endswith(endings)]
    return nearest.hint(name, likely, prefix=os.path.join(folder, ""))


def _limited(fd: int, shown: str) -> bytes:
    """All there is to read from `fd`, which is closed; RootlessError when that does not end."""
    with open(fd, "rb") as file:
        return limited(file.read, shown)


def limited(read: Callable[[int], bytes], shown: str) -> bytes:
    """All that `read` gives, to be a text; RootlessError when that does not end."""
    content = bytearray()
    while len(content) <= _LIMIT:
        try:
            chunk = read(_CHUNK)
        except OSError as error:
            _complain(shown, error)
        if not chunk:
            return bytes(content)
        content += chunk
    raise RootlessError(f"{shown} is larger than {_LIMIT >> 20} MiB: that is no text to read")


def write_all(fd: int, chunk: bytes, path: str) -> None:
    """Write the whole chunk; `path` is how an error calls the file. A closed pipe stays OSError."""
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        _complain(path, error)


class replacing:  # noqa: N801 - read as `with files.replacing(path) as fd:`
    """The file at `path` written anew: it appears when all went well, else nothing changes.

    Until then it has no name, where the file system allows that: whoever is killed leaves nothing.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder, name = os.path.split(os.path.abspath(path))
        self._unfinished = os.path.join(self._folder, f".{name}.{os.getpid()}")
        self._is_named = False
        self._fd = -1

    def __enter__(self) -> int:
        try:
            self._fd = self._open()
        except OSError as error:
            _complain(self._path, error)
        return self._fd

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            return os.open(self._folder, flags | os.O_TMPFILE, 0o666)
        except OSError as error:
            if error.errno not in (EOPNOTSUPP, EISDIR):
                raise
        self._is_named = True
        return os.open(self._unfinished, flags | os.O_CREAT | os.O_EXCL, 0o666)

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        try:
            if error is None:
                self._name()
                os.rename(self._unfinished, self._path)
                self._is_named = False
        except OSError as failure:
            _complain(self._path, failure)
        finally:
            if self._is_named:
                os.unlink(self._unfinished)
            os.close(self._fd)

    def _name(self) -> None:
        """A name of its own for what has none; only a rename takes another file's."""
        if self._is_named:
            return
        fd = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:  # linkat(2) follows the link only for a path that is relative to a descriptor
            os.link(str(self._fd), self._unfinished, src_dir_fd=fd)
        finally:
            os.close(fd)
        self._is_named = True


def _complain(path: str, error: OSError) -> NoReturn:
    raise RootlessError(
        f"{path}: {error.strerror}", hint=complaints.way_out(path, error)
    ) from error
