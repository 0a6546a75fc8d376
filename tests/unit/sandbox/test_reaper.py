"""`reap` in a forked process that adopts orphans, as process 1 of a container would."""

from __future__ import annotations

import os
import signal

import pytest

from rootless import linux
from rootless.sandbox.reaper import reap
from rootless.sandbox.sink import Sink
from tests.support.child import in_child


def init(script: str, *, then=lambda child, ready: None) -> int:
    """reap() of `sh -c script` in a subreaper; `then` runs beside it once the script wrote."""

    def body() -> int:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        read_fd, write_fd = os.pipe()
        parent = os.getpid()
        if (child := os.fork()) == 0:
            os.dup2(write_fd, 1)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execv("/bin/sh", ["sh", "-c", script])
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        if os.fork() == 0:
            then(parent, read_fd)
            os._exit(0)
        return reap(child)

    return in_child(body, enter=False)


def send(number: int):
    """Send it as soon as the child runs; it waits where `reap` is not there yet."""

    def then(parent: int, ready: int) -> None:
        os.read(ready, 1)
        os.kill(parent, number)

    return then


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("true", 0), ("kill -9 $$", 137)])
def test_the_childs_status_is_ours(script, status):
    assert init(script) == status


@pytest.mark.parametrize("name", ["TERM", "HUP", "INT", "USR1", "WINCH"])
def test_signals_reach_the_child(name):
    script = f"trap 'exit 42' {name}; echo; while :; do sleep 0.01; done"
    assert init(script, then=send(getattr(signal, f"SIG{name}"))) == 42


def test_what_the_kernel_tells_of_is_not_the_childs(tmp_path):
    def body() -> tuple[int, int]:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        sink = Sink(tmp_path / "null")
        if (child := os.fork()) == 0:
            script = f"""
                trap 'exit 42' IO
                echo something >{tmp_path}/null
                while [ -s {tmp_path}/null ]; do sleep 0.01; done
                kill -s IO $PPID
                while :; do sleep 0.01; done
            """
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execv("/bin/sh", ["sh", "-c", script])
        return reap(child, sink=sink), os.stat(tmp_path / "null").st_size

    assert in_child(body, enter=False) == (42, 0)


def test_an_uncaught_signal_ends_the_child_as_it_would_alone():
    assert init("echo; exec sleep 60", then=send(signal.SIGTERM)) == 143


def test_orphans_are_reaped_while_the_child_lives():
    script = (
        "orphan=$(sh -c 'sleep 0.05 >/dev/null & echo $!');"
        "for try in 1 2 3 4 5 6 7 8 9; do test -e /proc/$orphan || exit 0; sleep 0.2; done; exit 1"
    )
    assert init(script) == 0
