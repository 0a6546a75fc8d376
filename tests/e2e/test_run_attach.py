"""Attached to containers that do not end with who looks at them: --attach, --detach-keys,
--sig-proxy=false, `start -ai`, several at once.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.processes import wait_until
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

RUN = ("run", "--pull=never", "--network=none")
BOTH = "echo out; echo err >&2"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("attach")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def store(loaded):
    yield loaded
    if left := loaded.ok("ps", "-aq").split():
        loaded.ok("rm", "-f", *left)
    assert os.listdir(loaded.root / "containers") == []


def status(store, name):
    return store.ok("inspect", "-f", "{{.State.Status}}", name).strip()


@pytest.mark.parametrize(
    ("flags", "out", "err"),
    [
        (("-a", "stdout"), "out\n", ""), (("--attach", "STDERR"), "", "err\n"),
        (("-a", "STDOUT", "-a", "STDERR"), "out\n", "err\n"), (("-a", "stdin"), "", ""),
        (("--sig-proxy=false",), "out\n", "err\n"),
    ],
)  # fmt: skip
def test_only_the_streams_that_are_named(store, flags, out, err):
    assert store(*RUN, "--rm", *flags, "busybox", "sh", "-c", BOTH + "; exit 3") == (3, out, err)
    assert os.listdir(store.root / "containers") == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-a", "foo"), "valid streams are STDIN, STDOUT and STDERR"),
        (("-d", "-a", "stdout"), "cannot specify both --attach and --detach"),
        (("--detach-keys", "ctrl-"), "invalid detach keys: 'ctrl-'"),
    ],
)
def test_wrong_ones_are_named(store, flags, words):
    result = store(*RUN, *flags, "busybox", "true")
    assert result.exit == 125
    assert words in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_without_sig_proxy_it_outlives_its_command(store, number):
    """As the tools of development containers start theirs."""
    flags = ("--sig-proxy=false", "-a", "STDOUT", "-a", "STDERR", "--name", "dev")
    argv = store.command(*RUN, *flags, "busybox", "sh", "-c", "echo started; exec sleep 600")
    with subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) as front:
        assert front.stdout.readline() == b"started\n"
        front.send_signal(number)
        front.wait(60)
    assert status(store, "dev") == "running"
    assert store.ok("logs", "dev") == "started\n"


def test_with_sig_proxy_a_signal_is_for_the_container(store):
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    argv = store.command(*RUN, "-a", "STDOUT", "--name", "dev", "busybox", "sh", "-c", script)
    with subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) as front:
        assert front.stdout.readline() == b"ready\n"
        front.terminate()
        assert front.wait(60) == 7


def test_the_keys_leave_it_running_and_attach_comes_back(store):
    argv = store.command(
        *RUN, "-it", "--detach-keys", "ctrl-x,d", "--name", "shell", "busybox", "sh"
    )
    front = Terminal(argv, store.environment)
    front.expect("# ")
    front.type("here=yes; stty size\r")
    front.expect("37 91")
    front.type("\x18d")
    front.expect("read escape sequence")
    assert front.close() == 0
    assert status(store, "shell") == "running"
    again = Terminal(store.command("attach", "shell"), store.environment)
    again.type("echo =$here=\r")
    again.expect("=yes=")
    again.type("\x10\x11")
    again.expect("read escape sequence")
    assert again.close() == 0
    last = Terminal(store.command("attach", "shell"), store.environment)
    last.type("exit 9\r")
    assert last.close() == 9
    assert store.ok("inspect", "-f", "{{.State.ExitCode}}", "shell") == "9\n"


def left(store, *flags: str, script: str, until: str) -> None:
    """Leave what `run -it` shows by the keys that docker's users have in their fingers."""
    argv = store.command(*RUN, "-it", *flags, "busybox", "sh", "-c", script)
    front = Terminal(argv, store.environment)
    front.expect(until)
    front.type("typed\r\x10\x11")
    front.expect("read escape sequence")
    assert front.close() == 0


def test_the_usual_keys_leave_a_plain_run(store):
    """Twice, from a terminal that is closed then; what came before the keys is not lost."""
    script = "echo ready; read x; echo got $x; exec sh"
    left(store, "--name", "plain", script=script, until="ready")
    assert status(store, "plain") == "running"
    again = Terminal(store.command("attach", "plain"), store.environment)
    again.type("echo a$((40+2))b\r")
    again.expect("a42b")
    again.type("\x10\x11")
    again.expect("read escape sequence")
    assert again.close() == 0
    assert "got typed" in store.ok("logs", "plain")
    assert store.ok("ps", "--format", "{{.Names}} {{.State}}") == "plain running\n"
    store.ok("stop", "-t", "0", "plain")
    assert store.ok("inspect", "-f", "{{.State.ExitCode}}", "plain") == "137\n"
    started = Terminal(store.command("start", "-ai", "plain"), store.environment)
    started.expect("ready")
    started.type("\x10\x11")
    started.expect("read escape sequence")
    assert started.close() == 0
    assert status(store, "plain") == "running"


def test_one_that_is_removed_at_its_end_can_be_left(store):
    left(store, "--rm", script="echo ready; read x; exec sh", until="ready")
    (name,) = store.ok("ps", "--format", "{{.Names}}").split()
    again = Terminal(store.command("attach", name), store.environment)
    again.type("exit 5\r")
    assert again.close() == 5
    assert os.listdir(store.root / "containers") == []


def test_it_is_left_while_it_floods(store):
    """And floods on: nobody waits for who has left."""
    script = "trap 'echo last; exit 3' TERM; while :; do seq 1000; echo $((n+=1)) >/turns; done"
    left(store, "--name", "flood", script=script, until="1000")

    def turns() -> int:
        return int(store.ok("exec", "flood", "cat", "/turns") or 0)

    before = turns()
    wait_until(lambda: turns() > before + 1000, "a megabyte that nobody reads")
    store.ok("kill", "-s", "TERM", "flood")
    assert store.ok("wait", "flood") == "3\n"
    assert store.ok("logs", "--tail", "1", "flood").strip() == "last"


def test_killed_without_the_keys_it_ends(store):
    argv = store.command(*RUN, "-it", "--rm", "busybox", "sh", "-c", "echo ready; exec sleep 600")
    front = Terminal(argv, store.environment)
    front.expect("ready")
    front.process.kill()
    front.process.wait()
    wait_until(lambda: os.listdir(store.root / "containers") == [], "the container is gone")


def test_each_step_is_explained_wherever_the_monitor_is(store):
    for flags in (("-d",), ("-a", "stdout")):
        told = store(*RUN, *flags, "--explain", "busybox", "true")
        assert told.exit == 0
        assert "pivot_root(2)" in told.stderr


def test_megabytes_both_ways_and_the_end_of_input(store):
    content = random.Random(8).randbytes(3_000_000)
    store.ok("create", "--pull=never", "--network=none", "-i", "--name", "cat", "busybox", "cat")
    for argv in (("start", "-ai", "cat"), (*RUN, "-i", "--rm", "-a", "stdout", "busybox", "cat")):
        result = subprocess.run(
            store.command(*argv), env=store.environment, input=content, capture_output=True,
            check=False, timeout=120,
        )  # fmt: skip
        assert (result.returncode, result.stderr) == (0, b"")
        assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(content).digest()


def test_several_see_the_same(store):
    script = "while :; do echo tick; sleep 0.05; done & read x; kill $!; echo $x"
    store.ok(*RUN, "-d", "-i", "--name", "clock", "busybox", "sh", "-c", script)
    argv = store.command("attach", "--no-stdin", "clock")
    watching = [
        subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) for _ in range(3)
    ]
    for one in watching:
        assert one.stdout.readline() == b"tick\n"
    assert store("attach", "clock", stdin="hello\n").stdout.endswith("hello\n")
    for one in watching:
        assert one.communicate(timeout=60)[0].endswith(b"hello\n")
        assert one.returncode == 0


def test_what_was_started_detached_is_typed_to_by_one_after_the_other(store):
    """Docker's StdinOnce is false there: the end of one's input is not the container's."""
    script = "read a; echo read; read b; echo $b $a"
    store.ok(*RUN, "-d", "-i", "--name", "typed", "busybox", "sh", "-c", script)
    argv = store.command("attach", "typed")
    with subprocess.Popen(
        argv, env=store.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        first.stdin.write(b"one\n")
        first.stdin.close()
        assert first.stdout.readline() == b"read\n"
        assert store("attach", "typed", stdin="two\n").stdout == "two one\n"
        assert first.stdout.read() == b"two one\n"
    assert store.ok("inspect", "-f", "{{.Config.StdinOnce}}", "typed") == "false\n"


def test_a_monitor_that_is_killed_ends_who_is_attached(store):
    flags = ("-a", "STDOUT", "--name", "dev")
    argv = store.command(*RUN, *flags, "busybox", "sh", "-c", "echo started; exec sleep 600")
    with subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) as front:
        assert front.stdout.readline() == b"started\n"
        children = f"/proc/{front.pid}/task/{front.pid}/children"
        with open(children) as file:
            os.kill(int(file.read().split()[0]), signal.SIGKILL)
        assert front.wait(60) == 137
