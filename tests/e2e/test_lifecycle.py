"""A container's life from the command line: made, started, paused, ended, killed, started again;
by several at once, and with what runs it killed in the middle. Words and exit codes: docker 28's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.processes import some_seconds, wait_until, with_word

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

FLAGS = ("--pull=never", "--network=none")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("life")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def store(loaded):
    """The store without containers; what a test leaves there is no other test's."""
    yield loaded
    if left := loaded.ok("ps", "-aq").split():
        loaded.ok("rm", "-f", *left)
    assert os.listdir(loaded.root / "containers") == []


def begin(store, name, *command, flags=()):
    """A container in the background; its id."""
    argv = ("run", "-d", *FLAGS, "--name", name, *flags, "busybox", *(command or ("sleep", "600")))
    return store.ok(*argv).strip()


def status(store, name):
    return store.ok("inspect", "-f", "{{.State.Status}}", name).strip()


def said(store, *argv):
    """Exit code and first line of the complaint."""
    result = store(*argv)
    return result.exit, result.stderr.split("\n")[0].removeprefix("error: ")


# --- in the background, and nothing of the caller's is kept


@pytest.mark.parametrize("fd", [1, 2, 3, 9])
def test_whoever_waits_for_the_end_of_a_pipe_is_not_kept_waiting(store, fd):
    """`run -d | cat`, `id=$(run -d …)`, and descriptors that a shell has opened."""
    argv = store.command("run", "-d", *FLAGS, "--name", "quiet", "busybox", "sleep", "600")
    read_fd, write_fd = os.pipe()
    shell = ["bash", "-c", f'exec {fd}>&{write_fd} {write_fd}>&-; exec "$@"', "sh", *argv]
    running = subprocess.Popen(
        shell, env=store.environment, pass_fds=(write_fd,), stdout=subprocess.PIPE
    )
    os.close(write_fd)
    with open(read_fd, "rb") as pipe:
        content = pipe.read()  # hangs where the monitor keeps it
    assert len(content) == (65 if fd == 1 else 0)
    running.communicate()
    assert running.returncode == 0
    assert status(store, "quiet") == "running"


def test_a_container_that_removes_itself_leaves_nothing(store):
    seconds = some_seconds()
    begin(store, "brief", "sleep", seconds, flags=("--rm",))
    assert store("stop", "-t", "0", "brief") == (0, "brief\n", "")
    assert os.listdir(store.root / "containers") == []
    wait_until(lambda: os.listdir(store.root / "tmp") == [], "its files to be deleted")
    wait_until(lambda: not with_word(seconds), "the last of its processes")


def test_a_command_that_is_not_there(store):
    result = store("run", "-d", *FLAGS, "--name", "none", "busybox", "/nosuch")
    assert result.exit == 127
    assert store.ok("inspect", "-f", "{{.Id}}", "none") == result.stdout
    assert store("run", *FLAGS, "--name", "front", "busybox", "/etc").exit == 126
    assert store("run", *FLAGS, "--name", "who", "-u", "nosuch", "busybox", "true").exit == 125
    assert store("run", *FLAGS, "--name", "gone", "--rm", "busybox", "/nosuch").exit == 127
    store.ok("create", *FLAGS, "--name", "made", "busybox", "/nosuch")
    for start in ("start",), ("restart",), ("start", "-a"):
        assert store(*start, "made").exit == 1
    told = store.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}").splitlines()
    assert told == ["made Created", "who Created", "front Created", "none Created"]
    form = "{{.State.Status}} {{.State.ExitCode}} {{.State.StartedAt}} {{.State.Error}}"
    for name, code, words in (
        ("none", 127, "No such file"),
        ("front", 126, "Permission denied"),
        ("who", 128, "there is no user 'nosuch'"),
        ("made", 127, "No such file"),
    ):
        state = store.ok("inspect", "-f", form, name)
        assert state.startswith(f"created {code} 0001-01-01T00:00:00Z ")
        assert words in state
    assert store.ok("wait", "none") == "127\n"


@pytest.mark.needs("pasta")
@pytest.mark.parametrize("flags", [(), ("-d",)], ids=["tied", "detached"])
def test_whose_port_is_taken_stays_created(store, flags):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}:80"
        words = ("--name", "late", "-p", where, "busybox", "echo", "here")
        assert store("run", *flags, *words).exit == 125
    form = "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
    state = store.ok("inspect", "-f", form, "late")
    assert state.startswith("created 128 ")
    assert "already in use" in state
    assert store.ok("ps", "-a", "--format", "{{.Status}}") == "Created\n"
    assert store.ok("start", "-a", "late") == "here\n"


def test_a_command_that_is_not_there_any_more(store):
    """What ran before has ended then, and a later start can succeed again."""
    script = "if [ -e /x ]; then exit 4; fi; >/x; mv /bin/sh /bin/hs; exit 3"
    assert store("run", *FLAGS, "--name", "once", "busybox", "sh", "-c", script).exit == 3
    before = store.ok("inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", "once")
    assert store("start", "once").exit == 1
    assert store.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "once") == (
        "exited 127\n"
    )
    after = store.ok("inspect", "-f", "{{.State.StartedAt}} {{.State.FinishedAt}}", "once")
    assert after == before
    folder = store.root / "containers" / store.ok("ps", "-aq", "--no-trunc").strip()
    os.rename(folder / "diff/bin/hs", folder / "diff/bin/sh")
    assert store("start", "-a", "once").exit == 4
    assert store.ok("inspect", "-f", "{{.State.ExitCode}} [{{.State.Error}}]", "once") == "4 []\n"


# --- words and exit codes


def test_what_is_not_there_or_not_so(store):
    number = begin(store, "web")
    made = store.ok("create", *FLAGS, "--name", "made", "busybox", "true").strip()
    conflict = (
        f'Conflict. The container name "/made" is already in use by container "{made}". You have '
        "to remove (or rename) that container to be able to reuse that name."
    )
    for argv, words in (
        (("start", "nosuch"), "No such container: nosuch"),
        (("stop", "nosuch"), "No such container: nosuch"),
        (("pause", "nosuch"), "No such container: nosuch"),
        (("wait", "nosuch"), "No such container: nosuch"),
        (("kill", "-s", "FOO", "web"), "invalid signal: FOO"),
        (("kill", "-s", "0", "web"), "invalid signal: 0"),
        (("stop", "-s", "FOO", "web"), "invalid signal: FOO"),
        (("rename", "web", "web"), "Renaming a container with the same name as its current name"),
        (("rename", "web", "made"), conflict),
        (("rename", "web", ""), "Neither old nor new names may be empty"),
        (("pause", "made"), f"container {made} is not running"),
        (("unpause", "web"), f"Container {number} is not paused"),
        (("kill", "made"), f"cannot kill container: made: container {made} is not running"),
        (("attach", "made"), "cannot attach to a stopped container, start it first"),
    ):
        assert said(store, *argv) == (1, words), argv
    assert status(store, "web") == "running"
    assert store("stop", "made") == (0, "made\n", "")
    assert store("wait", "made") == (0, "0\n", "")
    assert store("start", "web") == (0, "web\n", "")
    exit_code, words = said(store, "create", *FLAGS, "--name", "made", "busybox", "true")
    assert (exit_code, words) == (125, conflict)
    assert said(store, "stop") == (1, "this command requires at least 1 argument")
    assert store("rename", "web", "site") == (0, "", "")
    assert store.ok("ps", "--format", "{{.Names}}") == "site\n"


def test_who_is_attached_to_a_paused_one(store):
    """It gets no signal; docker's client goes when it is asked a third time."""
    begin(store, "still")
    argv = store.command("attach", "--no-stdin", "still")
    with subprocess.Popen(argv, env=store.environment, stderr=subprocess.PIPE) as attached:
        wait_until(lambda: caught(attached.pid, signal.SIGTERM), "the attachment")
        store.ok("pause", "still")
        paused = "cannot attach to a paused container, unpause it first"
        assert said(store, "attach", "still") == (1, paused)
        try:
            for _ in range(20):
                attached.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    attached.wait(1)
        finally:
            attached.kill()
        assert (attached.returncode, attached.stderr.read()) == (1, b"")
    store.ok("rm", "-f", "still")


VERBS = [
    ("stop", "-t", "0"), ("start",), ("kill",), ("restart", "-t", "0"), ("pause",), ("wait",),
    ("rm", "-f"), ("unpause",), ("update", "--restart", "no"), ("rename",), ("logs",), ("attach",),
    ("exec",), ("inspect",), ("top",), ("port",), ("export",), ("commit",), ("diff",), ("stats",),
    ("healthcheck", "run"),
]  # fmt: skip


def test_no_word_at_all_means_no_container(store):
    """As of a variable that is not set, where there is one container only."""
    begin(store, "only")
    verbs = [*VERBS, ("volume", "rm"), ("network", "rm"), ("rmi", "-f"), ("pod", "rm")]
    for verb in verbs:
        more = ("true",) if verb[0] in ("exec", "rename") else ()
        refused = store(*verb, "", *more, timeout=60)
        assert refused.exit != 0, verb
        assert "Traceback" not in refused.stderr, verb
    assert status(store, "only") == "running"
    assert store.ok("images", "-q") != ""
    assert store.ok("stop", "-t", "999999999", "-s", "KILL", "only") == "only\n"


def caught(pid: int, number: int) -> bool:
    """Whether the process has a handler for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [mask] = (line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_one_that_is_missing_keeps_nobody_else_from_it(store):
    begin(store, "web")
    result = store("stop", "-t", "0", "nosuch", "web")
    assert (result.exit, result.stdout) == (1, "web\n")
    assert "No such container: nosuch" in result.stderr
    assert status(store, "web") == "exited"


# --- ending


def test_its_own_signal_then_kill(store):
    script = "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done"
    begin(store, "polite", "sh", "-c", script, flags=("--stop-signal", "USR1", "-t"))
    wait_until(lambda: "ready" in store.ok("logs", "polite"), "the trap")
    store.ok("stop", "polite")
    assert store.ok("inspect", "-f", "{{.State.ExitCode}}", "polite") == "7\n"
    begin(store, "deaf", "sleep", "600")
    store.ok("stop", "-t", "0", "deaf")
    assert store.ok("inspect", "-f", "{{.State.ExitCode}}", "deaf") == "137\n"


def test_many_are_asked_at_once(store):
    """Each of them takes three seconds to be killed; one after the other they would take 24."""
    names = [f"many{number}" for number in range(8)]
    for name in names:
        begin(store, name, flags=("--stop-timeout", "3"))
    assert store.ok("stop", *names, timeout=20).split() == names
    assert {status(store, name) for name in names} == {"exited"}


def test_podmans_ways_to_name_many(store, tmp_path):
    begin(store, "one", flags=("--label", "a=b", "--cidfile", str(tmp_path / "id")))
    begin(store, "two")
    numbers = {name: store.ok("inspect", "-f", "{{.Id}}", name).strip() for name in ("one", "two")}
    assert store.ok("pause", "--all").split() == [numbers["two"], numbers["one"]]
    assert store.ok("unpause", "--filter", "label=a=b").split() == [numbers["one"]]
    assert store.ok("unpause", "--latest").split() == [numbers["two"]]
    assert store.ok("stop", "-t", "0", "--cidfile", str(tmp_path / "id")).split() == [
        numbers["one"]
    ]
    assert store.ok("stop", "-t", "0", "--ignore", "nosuch") == ""
    assert store.ok("kill", "--all").split() == [numbers["two"]]
    assert store.ok("kill", "--all") == ""
    assert said(store, "stop", "--all", "one")[0] != 0
    assert said(store, "kill")[1] == "this command requires at least 1 argument"


def test_removing_many_and_whether_one_is_there(store, tmp_path):
    begin(store, "one", flags=("--label", "a=b", "--cidfile", str(tmp_path / "id")))
    begin(store, "two", flags=("--label", "c=d"))
    begin(store, "three")
    names = ("one", "two", "three")
    numbers = [store.ok("inspect", "-f", "{{.Id}}", name).strip() for name in names]
    assert store("container", "exists", "two") == (0, "", "")
    assert "container is running" in store("rm", "--all").stderr
    assert store.ok("rm", "-f", "--cidfile", str(tmp_path / "id")).split() == numbers[:1]
    assert store.ok("rm", "-f", "--filter", "label=c=d").split() == numbers[1:2]
    assert store("container", "exists", "two") == (1, "", "")
    assert store.ok("rm", "--ignore", "two") == ""
    assert store("rm", "two").exit == 1
    assert store.ok("rm", "-f", "--latest").split() == numbers[2:]
    assert store("rm", "-f", "--all") == (0, "", "")


# --- what runs it is killed


def monitor_of(store, name):
    """The process that runs it: the parent of its supervisor."""
    supervisor = json.loads((folder(store, name) / "process.json").read_bytes())["pid"]
    return int(
        Path(f"/proc/{supervisor}/stat").read_text().rpartition(")")[2].split()[1]
    ), supervisor


def folder(store, name):
    return store.root / "containers" / store.ok("inspect", "-f", "{{.Id}}", name).strip()


@pytest.mark.parametrize("paused", [False, True])
def test_killing_the_monitor_ends_the_container_and_start_mends_it(store, paused):
    seconds = some_seconds()
    begin(store, "web", "sh", "-c", f"echo hi > /kept; sleep {seconds}; exit 3")
    if paused:
        store.ok("pause", "web")
    monitor, _ = monitor_of(store, "web")
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not with_word(seconds), "the container's end")
    assert store.ok("ps", "-q") == ""
    assert store.ok("ps", "-a", "--format", "{{.State}} {{.Names}}") == "exited web\n"
    assert (
        store.ok("inspect", "-f", "{{.State.ExitCode}} {{.State.Paused}}", "web") == "137 false\n"
    )
    assert store.ok("start", "web") == "web\n"
    assert status(store, "web") == "running"
    assert not os.path.exists(folder(store, "web") / "paused")


def test_killing_the_supervisor_ends_it_too(store):
    seconds = some_seconds()
    begin(store, "web", "sleep", seconds, flags=("--restart", "on-failure:1"))
    _, supervisor = monitor_of(store, "web")
    os.kill(supervisor, signal.SIGKILL)
    template = "{{.RestartCount}} {{.State.Status}}"
    wait_until(lambda: store.ok("inspect", "-f", template, "web") == "1 running\n", "the restart")
    assert len(_below(monitor_of(store, "web")[1])) == 1


# --- by several at once


def at_once(store, *commands):
    running = [
        subprocess.Popen(
            store.command(*argv), env=store.environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for argv in commands
    ]  # fmt: skip
    return [(one.communicate(timeout=120), one.returncode) for one in running]


def test_started_by_several_it_runs_once(store):
    seconds = some_seconds()
    store.ok("create", *FLAGS, "--name", "web", "busybox", "sleep", seconds)
    answers = at_once(store, *[("start", "web")] * 5)
    assert [code for _, code in answers] == [0] * 5, answers
    assert len(with_word(seconds)) == 1  # those that run it were not told the command


def test_removed_by_several_it_is_gone(store):
    names = ("one", "two", "three")
    for name in names:
        begin(store, name)
    answers = at_once(store, *[("rm", "-f", *names)] * 4)
    assert [code for _, code in answers] == [0] * 4, answers
    assert os.listdir(store.root / "containers") == []


def test_of_several_with_one_name_one_is_made(store):
    argv = ("run", "-d", *FLAGS, "--name", "web", "busybox", "sleep", "600")
    codes = sorted(code for _, code in at_once(store, *[argv] * 4))
    assert codes == [0, 125, 125, 125]
    assert store.ok("ps", "--format", "{{.Names}}") == "web\n"


def test_whoever_waits_hears_of_one_that_is_removed(store):
    begin(store, "web")
    flock = {"x86_64": "73", "aarch64": "32"}[os.uname().machine]
    with subprocess.Popen(
        store.command("wait", "web"), env=store.environment, stdout=subprocess.PIPE
    ) as waiting:
        call = Path(f"/proc/{waiting.pid}/syscall")  # /proc/locks is empty in a pid namespace
        wait_until(lambda: call.read_text().split()[0] == flock, "its waiting")
        store.ok("rm", "-f", "web")
        assert waiting.communicate(timeout=60)[0].strip().isdigit()
        assert waiting.returncode == 0


# --- restarts


def test_on_failure_a_number_of_times(store):
    begin(store, "fails", "sh", "-c", "echo x; exit 3", flags=("--restart", "on-failure:2"))
    assert store.ok("wait", "fails") == "3\n"
    template = "{{.RestartCount}} {{.State.ExitCode}} {{.State.Status}}"
    assert store.ok("inspect", "-f", template, "fails") == "2 3 exited\n"
    assert store.ok("logs", "fails") == "x\n" * 3


@pytest.mark.parametrize("verb", [("stop", "-t", "0"), ("kill",), ("rm", "-f")])
def test_what_is_always_started_again_can_be_ended(store, verb):
    seconds = some_seconds()
    begin(store, "al", "sh", "-c", f"sleep 0.1; exit 1; : {seconds}", flags=("--restart", "always"))
    wait_until(
        lambda: int(store.ok("inspect", "-f", "{{.RestartCount}}", "al")) >= 2, "two restarts"
    )
    while store(*verb, "al").exit:  # kill, between two starts: it does not run
        assert verb == ("kill",)
    if verb != ("rm", "-f"):
        wait_until(lambda: status(store, "al") == "exited", "its end")
    word = f"sleep 0.1; exit 1; : {seconds}"
    wait_until(lambda: not with_word(word), "the end of what runs it")


def test_success_needs_no_restart(store):
    begin(store, "fine", "true", flags=("--restart", "on-failure"))
    assert store.ok("wait", "fine") == "0\n"
    assert store.ok("inspect", "-f", "{{.RestartCount}}", "fine") == "0\n"


@pytest.mark.parametrize("text", ["foo", "always:3", "on-failure:x", "on-failure:-1"])
def test_policies_that_are_none(store, text):
    result = store("run", *FLAGS, "--restart", text, "busybox", "true")
    assert result.exit == 125
    assert "invalid restart policy" in result.stderr


# --- paused


def test_paused_it_does_nothing_and_goes_on(store):
    begin(store, "clock", "sh", "-c", "while :; do echo tick; sleep 0.02; done")
    wait_until(lambda: store.ok("logs", "clock"), "a tick")
    assert store("pause", "clock") == (0, "clock\n", "")
    assert "(Paused)" in store.ok("ps", "--format", "{{.Status}}")
    assert store.ok("ps", "-q", "--filter", "status=paused") != ""
    assert (
        store.ok("inspect", "-f", "{{.State.Paused}} {{.State.Running}}", "clock") == "true true\n"
    )
    assert set(_states(store, "clock")) <= {"T", "Z"}
    before = store.ok("logs", "clock")
    assert store.ok("logs", "clock") == before
    assert "is already paused" in said(store, "pause", "clock")[1]
    assert (
        said(store, "start", "clock")[1] == "cannot start a paused container, try unpause instead"
    )
    assert "container is paused and must be unpaused first" in said(store, "rm", "clock")[1]
    assert store("unpause", "clock") == (0, "clock\n", "")
    wait_until(lambda: len(store.ok("logs", "clock")) > len(before), "another tick")
    assert status(store, "clock") == "running"


@pytest.mark.parametrize(
    "verb", [("stop", "-t", "0"), ("kill",), ("restart", "-t", "0"), ("rm", "-f")]
)
def test_a_paused_one_can_be_ended(store, verb):
    begin(store, "still")
    store.ok("pause", "still")
    store.ok(*verb, "still")
    if verb[0] == "restart":
        assert status(store, "still") == "running"
    elif verb[0] != "rm":
        assert (
            store.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "still")
            == "exited 137\n"
        )


def test_what_had_stopped_itself_stays_so(store):
    begin(store, "self", "sh", "-c", "sleep 600 & kill -STOP $!; echo ready; wait")
    wait_until(lambda: store.ok("logs", "self"), "its word")
    store.ok("pause", "self")
    store.ok("unpause", "self")
    assert sorted(_states(store, "self")) == ["S", "T"]


def _states(store, name):
    """Of its processes, as proc(5) has them."""
    pids = _below(monitor_of(store, name)[1])
    return [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids]


def _below(pid):
    found = []
    for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [one, *_below(one)]
    return found


def test_who_waits_hears_how_one_ended_that_is_gone_by_then(store):
    store.ok(
        "run",
        "--network",
        "none",
        "-d",
        "--rm",
        "--name",
        "brief",
        "busybox",
        "sh",
        "-c",
        "sleep 1; exit 7",
    )
    assert store.ok("wait", "brief") == "7\n"


def test_a_signal_that_is_none_is_refused_before_there_is_a_container(store):
    refused = store(
        "run", "--network", "none", "-d", "--stop-signal", "FOO", "busybox", "sleep", "600"
    )
    assert (refused.exit, "invalid signal: FOO" in refused.stderr) == (125, True)
    assert store.ok("ps", "-aq") == ""
