"""Files that the user names on the command line: opened and written with errors in sentences."""

from __future__ import annotations

import os

from rootless.errors import NotFoundError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def open_file(path: str, flags: int) -> int:
    """A file descriptor of the file at `path`."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        _complain(path, error)


def read(path: str) -> bytes:
    """The whole file at `path`; NotFoundError when there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFoundError(f"{path}: there is no such file") from None
    except OSError as error:
        _complain(path, error)


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
    """The file at `path` written anew: it appears when all went well, else nothing changes."""

    def __init__(self, path: str) -> None:
        self._path = path
        directory, name = os.path.split(os.path.abspath(path))
        self._unfinished = os.path.join(directory, f".{name}.{os.getpid()}")
        self._fd = -1

    def __enter__(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            self._fd = os.open(self._unfinished, flags, 0o666)
        except OSError as error:
            _complain(self._path, error)
        return self._fd

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        os.close(self._fd)
        if error is None:
            try:
                os.rename(self._unfinished, self._path)
            except OSError as failure:
                os.unlink(self._unfinished)
                _complain(self._path, failure)
        else:
            os.unlink(self._unfinished)


def _complain(path: str, error: OSError) -> NoReturn:
    raise RootlessError(f"{path}: {error.strerror}") from error
