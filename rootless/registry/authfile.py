"""A file of logins, docker's config.json or containers-auth.json(5): read, and changed whole.

A change keeps all that it is not about, every other program's keys too. The file is made anew
beside the old one, readable by its owner only from its first byte on, and renamed; a link to it
stays a link. Changes take turns by flock(2) on the directory. A crash leaves the old file, and
perhaps an unfinished one that the next change deletes.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.registry import turns
from rootless.registry.errors import RegistryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_FILE = 4 << 20
_UNFINISHED = ".rootless-unfinished"
_ELSEWHERE = "name another directory in DOCKER_CONFIG, or another file with --authfile"


def load(path: str) -> dict[str, Any]:
    """What the file says; {} where there is none. RegistryError names a file that is damaged."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise RegistryError(f"{path} is not a regular file")
            return decode(file.read(MAX_FILE), path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise RegistryError(f"cannot read the logins in {path}: {error.strerror}") from None


def decode(content: str | bytes, path: str) -> dict[str, Any]:
    """What a file says; {} for an empty one. RegistryError, which calls it `path`."""
    try:
        value = leanjson.loads(content.strip() or "{}", path)
    except IntegrityError as error:
        raise RegistryError(
            error.message, hint="correct it, or delete it and log in again"
        ) from None
    if not isinstance(value, dict):
        raise RegistryError(f"{path} is not a JSON object")
    return value


@contextmanager
def changing(path: str) -> Iterator[dict[str, Any]]:
    """What the file says, to be changed; if that is another thing then, it is written."""
    import json

    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot(path, error) from None
    try:
        if not turns.take(lock):
            raise RegistryError(
                f"cannot change the logins in {path}: {folder} is kept locked by another program",
                hint=f"see which with lslocks, end it and try again, or {_ELSEWHERE}",
            )
        before = json.dumps(value := load(path))
        yield value
        if json.dumps(value) != before:
            _replace(target, json.dumps(value, indent="\t", ensure_ascii=False).encode())
    except OSError as error:
        raise _cannot(path, error) from None
    finally:
        os.close(lock)


def _replace(target: str, content: bytes) -> None:
    """The lock is held, so that what is unfinished is nobody's."""
    unfinished = target + _UNFINISHED
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        os.rename(unfinished, target)
    except OSError:
        with suppress(OSError):
            os.unlink(unfinished)
        raise


def _cannot(path: str, error: OSError) -> RegistryError:
    return RegistryError(
        f"cannot write the logins in {path}: {error.strerror}",
        hint=_ELSEWHERE,
    )
