"""Processes that a test has started, told from everybody else's, and waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest


def some_seconds() -> str:
    """A number of seconds that nobody else sleeps; so it is found in command lines."""
    return f"{os.getpid()}{time.monotonic_ns()}"[-9:].replace("0", "1")


def interrupt(running: subprocess.Popen[str], number: int, *, whole_group: bool) -> None:
    """Ask a command of ours to end, or with it all of its group, as a terminal does: it must say so
    on its standard error, and nothing that is wrong.
    """
    assert running.stderr
    if whole_group:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    said = running.stderr.read()
    assert running.wait() == 128 + number, said
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said


def saying(text: str) -> list[int]:
    """The pids of the processes with `text` in their command line, words between single spaces."""
    return [pid for pid, words in _all() if text in " ".join(words)]


def with_word(word: str) -> list[int]:
    """The pids of the processes with this whole word: not those of a shell that is to run it."""
    return [pid for pid, words in _all() if word in words]


def _all() -> Iterator[tuple[int, list[str]]]:
    """(pid, command line) of each process of this machine."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                yield int(pid), file.read().decode(errors="replace").split("\0")
        except OSError:
            continue


def wait_until(happened: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Fail the test when it does not happen in a time that is long enough for a busy machine."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} seconds for {what}")
        time.sleep(0.02)


def wait_until_gone(text: str) -> None:
    """Wait for the end of all processes with `text` in their command line; they end in any case."""
    try:
        wait_until(lambda: not saying(text), f"the end of {text!r}")
    finally:
        for pid in saying(text):
            with contextlib.suppress(OSError):  # it may have changed its uid
                os.kill(pid, signal.SIGKILL)
