"""A test's body in a process of its own, where it may become root of a user namespace."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

from rootless import deletion, userns

T = TypeVar("T")


def in_child(body: Callable[[], T], *, enter: bool = True) -> T:
    """What `body()` returns, or raises, in a forked child; with `enter`, as uid 0 of a namespace.

    The value must be picklable. The child's traceback comes with its exception as a note.
    """
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_fd)
        with os.fdopen(write_fd, "wb") as report:
            report.write(_outcome(body, enter))
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as report:
        outcome = report.read()
    _, status = os.waitpid(pid, 0)
    assert outcome, f"the child said nothing and ended with {os.waitstatus_to_exitcode(status)}"
    value, error = pickle.loads(outcome)
    if error is not None:
        raise error
    return value


def _outcome(body: Callable[[], T], enter: bool) -> bytes:
    """(value, None) or (None, exception), pickled."""
    try:
        if enter:
            userns.enter()
        return pickle.dumps((body(), None))
    except BaseException as error:  # noqa: BLE001  everything goes to the parent, to be raised there
        error.add_note("in the child:\n" + traceback.format_exc())
        try:
            pickle.loads(content := pickle.dumps((None, error)))
        except Exception:  # noqa: BLE001  an exception whose constructor does not pickle
            return pickle.dumps((None, AssertionError(traceback.format_exc())))
        return content


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove what belongs to ids of the namespace, which only its root may do."""
    if os.path.lexists(path):
        in_child(lambda: deletion.remove(os.fspath(path)))


def copy_tree(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy what belongs to ids of the namespace, with owners, times, links and attributes."""
    import subprocess

    command = ["cp", "--archive", "--reflink=auto", "--no-target-directory", source, target]
    in_child(lambda: subprocess.run(command, check=True).returncode)
