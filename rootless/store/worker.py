"""Work that needs a process of its own: unpacking chroots, and must not block a build.

`run` forks; the child computes one JSON value or fails with a RootlessError, and tells so in one
message on a pipe. The child imports what it needs before it chroots. A crash of the child is an
error in the parent; the death of the parent is the child's death (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import signal

from rootless import errors, leanjson
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Read = Callable[[int], bytes]


def run(task: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The value of `task()`, computed in a forked child; its RootlessError is raised here."""
    read_fd, write_fd = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _answer(task, write_fd, parent)
    os.close(write_fd)
    try:
        with open(read_fd, "rb") as pipe:
            message = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if not message:
        raise RootlessError(f"a worker process died ({_ending(status)})")
    return _value(message)


def unpack_layer(read: Read, directory: str, algorithm: str) -> dict[str, Any]:
    """Unpack a layer's tar into the empty `directory`; its diff_id and size. Chroots."""
    import hashlib

    from rootless.archive import apply, codecs

    digest = hashlib.new(algorithm)
    size = 0
    decompressed = codecs.decompress(read)

    def hash_and_read(count: int) -> bytes:
        nonlocal size
        chunk: bytes = decompressed(count)
        digest.update(chunk)
        size += len(chunk)
        return chunk

    apply.unpack(hash_and_read, directory)
    while hash_and_read(1 << 18):  # the diff_id covers what follows the end of the archive
        pass
    return {"diff_id": f"{algorithm}:{digest.hexdigest()}", "size": size}


def _answer(task: Callable[[], dict[str, Any]], write_fd: int, parent: int) -> NoReturn:
    """The child's whole life."""
    try:
        _die_with(parent)
        try:
            message = {"value": task()}
        except RootlessError as error:
            kind = type(error).__name__
            message = {"error": {"kind": kind, "message": error.message, "hint": error.hint}}
        with open(write_fd, "wb") as pipe:
            pipe.write(leanjson.dumps(message))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a bug: the traceback is for whoever mends it
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def _die_with(parent: int) -> None:
    from rootless import linux

    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _value(message: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = leanjson.loads(message, "a worker's answer")
    if "value" in answer:
        value: dict[str, Any] = answer["value"]
        return value
    told = answer["error"]
    kind = getattr(errors, told["kind"], RootlessError)
    raise kind(told["message"], hint=told["hint"])


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
