"""Stopping processes: a number alone does not say whose it is, and one failure is not all's."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

import pytest

from rootless import living, process
from rootless.container import pause
from rootless.errors import RootlessError

others_init = pytest.mark.skipif(
    os.stat("/proc/1").st_uid == os.getuid() or os.geteuid() == 0,
    reason="process 1 is ours to signal",
)


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "600"]) as one:
        yield one
        one.kill()


def member(pid):
    return pause.Member(pid, living.stat(pid)[living.START_TIME], was_stopped=False)


def await_state(pid, wanted):
    until = time.monotonic() + 60
    while living.stat(pid)[living.STATE] not in wanted:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_number_given_to_another_process_is_never_stopped(sleeper):
    stranger = member(sleeper.pid).replace(started=b"1")
    stranger.stop()
    pause._await(stranger)  # not for the stranger to stop
    assert living.stat(sleeper.pid)[living.STATE] != b"T"
    member(sleeper.pid).stop()
    await_state(sleeper.pid, (b"T",))
    stranger.let_go()
    assert living.stat(sleeper.pid)[living.STATE] == b"T"
    member(sleeper.pid).let_go()
    await_state(sleeper.pid, (b"S", b"R"))


def test_one_that_has_ended_is_no_trouble(sleeper):
    gone = member(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    gone.stop()
    pause._await(gone)
    gone.let_go()


@others_init
def test_one_that_cannot_be_stopped_leaves_none_stopped(sleeper, tmp_path, monkeypatch):
    (tmp_path / "container.json").write_text("{}")
    monkeypatch.setattr(pause, "_members", lambda _: [member(sleeper.pid), member(1)])
    with pytest.raises(RootlessError, match="process 1 of the container is not ours to stop"):
        pause.Pause(str(tmp_path), living.identify(os.getpid()))
    await_state(sleeper.pid, (b"S", b"R"))


@others_init
def test_one_that_cannot_go_on_holds_up_none(sleeper):
    one = member(sleeper.pid)
    one.stop()
    await_state(sleeper.pid, (b"T",))

    def body(send):
        os.setsid()  # as who pauses does: within a session everybody may send SIGCONT
        return pause.let_go([one, member(1)])

    with contextlib.closing(process.fork(body, "who lets them go")) as helper:
        assert helper.result() == [1]
    await_state(sleeper.pid, (b"S", b"R"))
