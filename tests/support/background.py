"""Containers that run beside a test, until it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Rootless

    Start = Callable[..., subprocess.Popen[bytes]]

RUN = ("run", "--pull=never", "--network=none")


@contextmanager
def starting(store: Rootless, image: str) -> Iterator[Start]:
    """`start(name, flag…, script=…)`: a container that is ready, in a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, *flags: str, script: str = "exec sleep 600") -> subprocess.Popen[bytes]:
        words = ("--name", name, *flags, image, "sh", "-c", f"echo ready; {script}")
        argv = store.command(*RUN, *words)
        running = subprocess.Popen(argv, stdout=subprocess.PIPE, env=store.environment)
        started.append(running)
        assert running.stdout
        assert running.stdout.readline() == b"ready\n"
        return running

    yield start
    for running in started:
        running.kill()
        running.communicate()
