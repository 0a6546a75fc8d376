"""`exec` and health checks where there is one id: they are answered as the container itself is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from rootless import living
from tests.conftest import Rootless
from tests.support import child, one_id, processes
from tests.support.terminal import Terminal

pytestmark = [
    pytest.mark.needs("userns", "overlay", "busybox", "setpriv"),
    pytest.mark.skipif(os.geteuid() == 0, reason="root has every id"),
]
DOCKERFILE = """FROM busybox
RUN echo svc:x:999:998::/srv:/bin/sh >>/etc/passwd && echo more:x:77:svc >>/etc/group
USER svc
ENTRYPOINT []
"""
RUN = ("run", "-d", "--network", "none")
OWNER = ("stat", "-c", "%u:%g")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("exec-one")
    command = Rootless(folder / "store")
    command.prefix = one_id.PREFIX
    command.ok("load", "-i", busybox_image.archive(folder / "base.tar"))
    (folder / "Dockerfile").write_text(DOCKERFILE)
    command.ok("build", "-q", "-t", "other", folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def live(store):
    """`live(flag…)`: the id of a container that runs as long as the test; nobody in it is root."""
    started = []

    def start(*flags: str, seconds: str = "100000") -> str:
        started.append(store.ok(*RUN, *flags, "other", "sleep", seconds).strip())
        return started[-1]

    yield start
    store("rm", "-f", *started)


@pytest.fixture
def box(live):
    return live()


def _start(store, *words: str, **options) -> subprocess.Popen[bytes]:
    return subprocess.Popen(store.command("exec", *words), env=store.environment, **options)


def test_it_is_who_the_container_is(store, box):
    answer = store("exec", box, "sh", "-c", "id -u; id -g; id -G; echo $HOME")
    assert (answer.exit, answer.stdout, answer.stderr) == (0, "999\n998\n998 77\n/srv\n", "")


@pytest.mark.parametrize(
    ("user", "ids"),
    [("0", "0\n0\n0\n"), ("svc:5", "999\n5\n5\n"), ("7", "7\n0\n0\n"), ("7:8", "7\n8\n8\n")],
)
@pytest.mark.parametrize("flags", [(), ("--pid", "host")], ids=["apart", "seen"])
def test_it_is_whom_it_is_asked_to_be(store, live, flags, user, ids):
    said = store.ok("exec", "-u", user, live(*flags), "sh", "-c", "id -u; id -g; id -G")
    assert said == ids


def test_what_it_gives_away_stays_so_in_the_image(store, box):
    command = (
        "touch /a /b; chown 5:6 /a; ln -s a /l; chown -h 7:8 /l; mknod /n c 1 3; stat -c %u /a"
    )
    assert store.ok("exec", "-u", "0", box, "sh", "-c", command) == "5\n"
    store.ok("exec", "-u", "0", box, "sh", "-c", "chmod 777 /tmp; chown 999 /b")
    store.ok("exec", box, "sh", "-c", "umask 027; mkdir /tmp/d; echo x >/tmp/d/mine")
    store.ok("commit", box, "given")
    look = (*OWNER, "/a", "/l", "/b", "/tmp/d", "/tmp/d/mine")
    said = store.ok("run", "--rm", "--network", "none", "-u", "0", "given", *look)
    assert said.split() == ["5:6", "7:8", "999:0", "999:998", "999:998"]


def test_a_program_that_becomes_another_may(store, box):
    command = "su svc -c 'id -u'; id -u"
    assert store.ok("exec", "-u", "0", box, "sh", "-c", command) == "999\n0\n"


def test_without_the_capability_nothing_is_given_away(store, live):
    box = live("--cap-drop", "CHOWN")
    assert store("exec", "-u", "0", box, "chown", "5", "/bin/busybox").exit == 1
    assert store("exec", "-u", "0", "--privileged", box, "chown", "5", "/bin/busybox").exit == 0


def test_two_at_once_are_each_their_own(store, box):
    """Each has a process that answers; what one is, the other is not."""
    command = "for i in $(seq 200); do id -u; done; echo x >/tmp/$0; stat -c %u /tmp/$0"
    store.ok("exec", "-u", "0", box, "chmod", "777", "/tmp")
    begun = [
        _start(store, "-u", user, box, "sh", "-c", command, user, stdout=subprocess.PIPE)
        for user in ("41", "42", "43")
    ]
    said = [one.communicate(timeout=120)[0].decode().split() for one in begun]
    assert said == [["41"] * 201, ["42"] * 201, ["43"] * 201]


def test_on_a_terminal(store, box):
    flags = ("-it", "-u", "svc", box, "sh", "-c")
    terminal = Terminal(
        store.command("exec", *flags, "id -u; id -G; tty; exit 3"), store.environment
    )
    said = terminal.expect("/dev/pts/").split()
    assert terminal.close() == 3
    assert said == ["999", "998", "77"]


def test_into_a_pipe_that_nobody_reads(store, box):
    with _start(store, box, "sh", "-c", "yes; echo $? >&2", stdout=subprocess.PIPE) as writing:
        writing.stdout.read(1 << 16)
        writing.stdout.close()
        assert writing.wait(60) == 0
    assert store.ok("exec", box, "sh", "-c", "cat | id -u", stdin="x" * (1 << 20)) == "999\n"


def test_its_exit_code_and_what_cannot_be_executed(store, box):
    assert store("exec", box, "sh", "-c", "exit 7").exit == 7
    assert store("exec", box, "sh", "-c", "kill -9 $$").exit == 137
    assert store("exec", box, "nothing-there").exit == 127
    assert "chdir to cwd ('/nowhere') failed" in store("exec", "-w", "/nowhere", box, "id").stderr
    assert "no user 'nobody-there'" in store("exec", "-u", "nobody-there", box, "id").stderr


def test_in_the_background_it_is_answered_on(store, box):
    """Also when the command that began it, and what waited for it, have ended."""
    seen = "until test -e /go; do sleep 0.02; done; chown 5:6 $0; touch $0.done"
    store.ok("exec", "-u", "0", "-d", box, "sh", "-c", seen, "/root/a")
    left = f"({seen}) >/dev/null 2>&1 &"
    store.ok("exec", "-u", "0", box, "sh", "-c", left, "/root/b")
    store.ok("exec", "-u", "0", box, "sh", "-c", "mkdir -p /root; touch /root/a /root/b /go")
    waiting = "until test -e /root/a.done && test -e /root/b.done; do sleep 0.02; done"
    store.ok("exec", "-u", "0", box, "sh", "-c", waiting, timeout=60)
    assert store.ok("exec", box, *OWNER, "/root/a", "/root/b").split() == ["5:6", "5:6"]


def _sleeper(seconds: str) -> int:
    def found() -> list[int]:
        return [pid for pid in processes.with_word(seconds) if _words(pid)[0] == "sleep"]

    processes.wait_until(found, "a command that sleeps")
    (pid,) = found()
    return pid


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return [""]


def _joiner(sleeper: int) -> int:
    return int(living.stat(sleeper)[living.PARENT])


def _answerer(sleeper: int) -> int:
    """The younger child of what waits for what is executed."""
    joiner = _joiner(sleeper)
    children = Path(f"/proc/{joiner}/task/{joiner}/children").read_text().split()
    assert int(children[0]) == sleeper
    return int(children[1])


@pytest.mark.parametrize("flags", [(), ("--pid", "host")], ids=["apart", "seen"])
@pytest.mark.parametrize("victim", [_answerer, _joiner], ids=["answers", "waits"])
def test_without_who_answers_or_waits_it_ends(store, live, victim, flags):
    """And the container does not."""
    box, seconds = live(*flags), processes.some_seconds()
    with _start(store, box, "sleep", seconds) as run:
        try:
            os.kill(victim(_sleeper(seconds)), signal.SIGKILL)
            assert run.wait(60) == 137
        finally:
            run.kill()
    processes.wait_until_gone(seconds)
    assert store.ok("exec", box, "id", "-u") == "999\n"


def test_the_command_killed_leaves_it(store, box):
    """As docker's does: it is answered on."""
    seconds = processes.some_seconds()
    store.ok("exec", "-u", "0", box, "touch", "/kept")
    script = f"trap 'chown 5:6 /kept; exit' TERM; echo $$ >/pid; sleep {seconds} & wait"
    with _start(store, "-u", "0", box, "sh", "-c", script) as run:
        _sleeper(seconds)
        run.kill()
    store.ok("exec", "-u", "0", box, "sh", "-c", "kill -TERM $(cat /pid)")
    waiting = "until test $(stat -c %u:%g /kept) = 5:6; do sleep 0.02; done"
    store.ok("exec", box, "sh", "-c", waiting, timeout=60)


def test_a_container_that_is_killed_takes_all_of_it(store, live):
    seconds, others = processes.some_seconds(), processes.some_seconds()
    box = live(seconds=others)
    with _start(store, box, "sleep", seconds) as run:
        answerer = _answerer(_sleeper(seconds))
        store.ok("kill", box)
        assert run.wait(60) == 137
    processes.wait_until(lambda: _words(answerer) == [""], "the end of who answered")
    processes.wait_until_gone(seconds)


def test_a_signal_goes_to_what_is_executed(store, box):
    seconds = processes.some_seconds()
    with _start(store, box, "sleep", seconds) as run:
        os.kill(_joiner(_sleeper(seconds)), signal.SIGTERM)
        assert run.wait(60) == 143


def test_it_is_in_the_container(store, box):
    """And not in the process that answers, which is outside."""
    store.ok("exec", "-u", "0", box, "touch", "/inside")
    assert "inside" in store.ok("exec", box, "ls", "/").split()
    assert not os.path.exists("/inside")
    seen = store.ok("exec", box, "ps", "-o", "args").splitlines()
    assert not any("rootless" in line for line in seen), seen


def test_health_checks_are_who_the_container_is(store, live):
    command = "id -u; id -G; touch /tmp/checked; stat -c %u:%g /tmp/checked"
    box = live("--health-cmd", command, "--health-interval", "1h")
    store.ok("exec", "-u", "0", box, "chmod", "777", "/tmp")
    asked = store("healthcheck", "run", box)
    assert (asked.exit, asked.stderr) == (0, "")
    last = json.loads(store.ok("inspect", box))[0]["State"]["Health"]["Log"][-1]
    assert (last["ExitCode"], last["Output"]) == (0, "999\n998 77\n999:998\n")


def test_a_check_that_takes_too_long_is_ended(store, live):
    seconds = processes.some_seconds()
    flags = ("--health-cmd", f"exec sleep {seconds}", "--health-timeout", "1s")
    box = live(*flags, "--health-interval", "1h")
    assert store("healthcheck", "run", box).exit == 1
    processes.wait_until(lambda: not processes.with_word(seconds), "the end of the check")
    assert store.ok("exec", box, "id", "-u") == "999\n"
