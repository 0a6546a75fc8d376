"""Nothing that ends a sandbox without namespaces leaves a part of it: neither a process nor a file.

Its supervisor, or the guardian below that, is killed by KILL while the step has left in the
background what has a session and a parent of its own, and ends by no signal but that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import Rootless
from tests.e2e.test_rung_root import secrets_in
from tests.support import rungs
from tests.support.processes import some_seconds, wait_until, with_word

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "unshare", "setpriv")

BEGIN = "trap '' HUP INT TERM; (setsid sleep {0} &); (sleep {0} &); exec sleep {0}"
"""One that has left its parent and its session, one only its parent, and the one that began."""

RUNGS = ["root", pytest.param("none", marks=pytest.mark.needs("proot"))]


@pytest.fixture(params=RUNGS)
def store(request, tmp_path, busybox_image) -> Iterator[Rootless]:
    prefix = {"root": rungs.ROOT, "none": rungs.NONE}[request.param]
    with rungs.beside(tmp_path, busybox_image, request.param, prefix) as (_, made):
        yield made
        for name in made("ps", "-aq").stdout.split():
            made("rm", "-f", name)


@pytest.fixture
def seconds() -> Iterator[str]:
    """Which nobody else sleeps."""
    one = some_seconds()
    yield one
    for pid in with_word(one):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def begun(seconds: str) -> None:
    wait_until(lambda: len(with_word(seconds)) >= 3, "all three processes")


def above(seconds: str, which: str) -> int:
    """The guardian, which is the first above the command in another session, or the supervisor,
    who leads that.
    """
    pid = min(with_word(seconds))
    session = os.getsid(pid)
    while os.getsid(pid) == session:
        pid = parent(pid)
    assert which == "supervisor" or os.getsid(pid) != pid, "nobody guards it"
    return os.getsid(pid) if which == "supervisor" else pid


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[1])


@pytest.mark.parametrize("which", ["supervisor", "guardian"])
def test_of_a_step(store, tmp_path, seconds, which):
    (tmp_path / "secret").write_text("the secret")
    (tmp_path / "context").mkdir()
    line = f"RUN --mount=type=secret,id=s mv /run /away; {BEGIN.format(seconds)}"
    words = ["--progress=plain", "-f", "-", "--secret", f"id=s,src={tmp_path}/secret"]
    with subprocess.Popen(
        store.command("build", *words, tmp_path / "context"),
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=store.environment, text=True,
        start_new_session=True,
    ) as building:  # fmt: skip
        assert building.stdin
        assert building.stderr
        building.stdin.write(f"FROM busybox\n{line}\n")
        building.stdin.close()
        try:
            begun(seconds)
            os.kill(above(seconds, which), signal.SIGKILL)
            assert building.wait(60) != 0
            assert "exit code: 137" in building.stderr.read()
            assert with_word(seconds) == []
            assert secrets_in(store.root) == []
        finally:
            building.kill()
    assert os.listdir(store.root / "tmp") == []
    look = "FROM busybox\nRUN ! [ -e /away ]\n"
    store.ok("build", "-q", "-f", "-", tmp_path / "context", stdin=look)


@pytest.mark.parametrize("which", ["supervisor", "guardian"])
def test_of_a_container_in_the_background(store, seconds, which):
    script = f"echo made >/made; {BEGIN.format(seconds)}"
    before = os.listdir("/dev")
    store.ok("run", "-d", "--name", "one", "busybox", "sh", "-c", script)
    begun(seconds)
    os.kill(above(seconds, which), signal.SIGKILL)
    assert store.ok("wait", "one", timeout=60) == "137\n"
    assert with_word(seconds) == []
    assert store.ok("diff", "one").split() == ["A", "/made"]
    assert os.listdir("/dev") == before
    store.ok("start", "one")
    begun(seconds)
    assert store.ok("ps", "-q") != ""
    store.ok("kill", "one")
    assert with_word(seconds) == []


def test_of_a_container_whose_command_is_killed_too(store, seconds):
    """At the same time: whoever is left ends it."""
    argv = store.command("run", "--name", "one", "busybox", "sh", "-c", BEGIN.format(seconds))
    with subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) as running:
        begun(seconds)
        supervisor = above(seconds, "supervisor")
        os.kill(supervisor, signal.SIGSTOP)
        running.kill()
        os.kill(supervisor, signal.SIGKILL)
        running.wait()
        wait_until(lambda: not with_word(seconds), "the end of all processes")
    store.ok("start", "one")
    begun(seconds)


@pytest.mark.parametrize("which", ["joiner", "guardian"])
def test_of_what_is_executed_in_a_container(store, seconds, which):
    """The container runs on."""
    store.ok("run", "-d", "--name", "one", "busybox", "sleep", "100000")
    store.ok("exec", "-d", "one", "sh", "-c", BEGIN.format(seconds))
    begun(seconds)
    pid = above(seconds, "guardian")
    os.kill(parent(pid) if which == "joiner" else pid, signal.SIGKILL)
    wait_until(lambda: not with_word(seconds), "the end of all processes")
    assert store.ok("exec", "one", "echo", "on") == "on\n"


@pytest.mark.parametrize("store", ["root"], indirect=True)
def test_who_guards_it_is_not_of_the_container(store, seconds):
    """It is neither shown nor paused, nor entered."""
    store.ok("run", "-d", "--name", "one", "busybox", "sh", "-c", BEGIN.format(seconds))
    begun(seconds)
    guardian = above(seconds, "guardian")
    shown = store.ok("top", "one", "-o", "pid").split()[1:]
    assert {str(pid) for pid in with_word(seconds)} <= set(shown)
    assert str(guardian) not in shown
    store.ok("pause", "one")
    with open(f"/proc/{guardian}/stat", "rb") as file:
        assert b") S " in file.read()
    store.ok("unpause", "one")
    assert store.ok("exec", "one", "pwd") == "/\n"
