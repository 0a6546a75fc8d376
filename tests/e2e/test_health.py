"""Health checks of containers that run: real commands, made by the monitor."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.processes import some_seconds, wait_until, wait_until_gone

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
OFTEN = ("--health-interval", "200ms")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("health")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def live(store):
    started = []

    def start(*flags) -> str:
        words = ("run", "-d", "--network", "none", *flags, "busybox", "sleep", "100000")
        started.append(store.ok(*words).strip())
        return started[-1]

    yield start
    if started:
        store("rm", "-f", *started)


def health(store, name: str) -> dict:
    return json.loads(store.ok("inspect", "-f", "{{json .State.Health}}", name))


def wait_for(store, name: str, status: str) -> dict:
    wait_until(lambda: health(store, name)["Status"] == status, status)
    return health(store, name)


def status(store, name: str) -> str:
    return store.ok("ps", "-a", "--format", "{{.Status}}", "--filter", f"id={name}").strip()


def test_it_begins_becomes_healthy_and_unhealthy_and_healthy(store, live):
    name = live("--health-cmd", "cat /tmp/well", *OFTEN, "--health-retries", "2")
    assert "(health: starting)" in status(store, name) or "unhealthy" in status(store, name)
    store.ok("exec", name, "sh", "-c", "echo fine > /tmp/well")
    seen = wait_for(store, name, "healthy")
    assert seen["FailingStreak"] == 0
    assert (seen["Log"][-1]["ExitCode"], seen["Log"][-1]["Output"]) == (0, "fine\n")
    assert seen["Log"][-1]["Start"] <= seen["Log"][-1]["End"]
    assert status(store, name).endswith("(healthy)")
    assert store.ok("ps", "-q", "--no-trunc", "--filter", "health=healthy").split() == [name]
    store.ok("exec", name, "rm", "/tmp/well")
    seen = wait_for(store, name, "unhealthy")
    assert seen["FailingStreak"] >= 2
    assert seen["Log"][-1]["ExitCode"] == 1
    assert "No such file" in seen["Log"][-1]["Output"]
    assert len(seen["Log"]) <= 5
    assert status(store, name).endswith("(unhealthy)")
    store.ok("exec", name, "touch", "/tmp/well")
    wait_for(store, name, "healthy")
    words = ("events", "--since", "1h", "--until", "0s", "--filter", f"container={name}")
    told = [line for line in store.ok(*words).splitlines() if "health_status" in line]
    assert ["unhealthy" in line for line in told[-3:]] == [False, True, False]


def test_what_takes_too_long_is_killed(store, live):
    seconds = some_seconds()
    flags = ("--health-timeout", "500ms", "--health-retries", "1")
    name = live("--health-cmd", f"exec sleep {seconds}", *OFTEN, *flags)
    seen = wait_for(store, name, "unhealthy")
    assert (seen["Log"][0]["ExitCode"], seen["Log"][0]["Output"]) == (
        -1,
        "Health check exceeded timeout (0.5s)",
    )
    store.ok("rm", "-f", name)
    wait_until_gone(f"sleep\0{seconds}".replace("\0", " "))


def test_only_the_beginning_of_its_output_is_kept_and_more_is_read(store, live):
    name = live("--health-cmd", "yes x | busybox head -c 300000; echo err >&2", *OFTEN)
    seen = wait_for(store, name, "healthy")
    assert seen["Log"][0]["Output"] == "x\n" * 2048 + "..."


def test_what_it_leaves_behind_does_not_hold_it_up(store, live):
    name = live("--health-cmd", "sleep 100000 & echo done", *OFTEN)
    assert wait_for(store, name, "healthy")["Log"][0]["Output"] == "done\n"


def test_what_cannot_be_executed_is_a_failure(store, live, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox\nHEALTHCHECK --interval=200ms CMD ["nope"]\n'
    )
    store.ok("build", "-t", "checked", str(tmp_path))
    words = ("run", "-d", "--network", "none", "--health-retries", "1", "checked", "sleep", "1000")
    name = store.ok(*words).strip()
    seen = wait_for(store, name, "unhealthy")
    assert "executable file not found" in seen["Log"][0]["Output"]
    store.ok("rm", "-f", name)


def test_one_that_is_unhealthy_is_killed_or_stopped_for_good(store, live):
    flags = ("--health-cmd", "false", *OFTEN, "--health-retries", "1", "--restart", "always")
    for action in ("kill", "stop"):
        name = live(*flags, "--stop-signal", "KILL", "--health-on-failure", action)
        assert store.ok("wait", name, timeout=60).strip() == "137"
        assert status(store, name).startswith("Exited (137)")
        assert store.ok("inspect", "-f", "{{.RestartCount}}", name).strip() == "0"


def test_one_that_is_unhealthy_is_started_again_and_its_files_stay(store, live):
    flags = (*OFTEN, "--health-retries", "1", "--stop-signal", "KILL")
    name = live("--health-cmd", "test -e /well", *flags, "--health-on-failure", "restart")
    count = ("inspect", "-f", "{{.RestartCount}}", name)
    wait_until(lambda: int(store.ok(*count)) >= 1, "a second start")
    assert store.ok("inspect", "-f", "{{.State.Running}}", name).strip() == "true"
    wait_until(lambda: store("exec", name, "touch", "/well").exit == 0, "a file in it")
    wait_for(store, name, "healthy")
    store.ok("stop", "-t", "0", name)
    assert status(store, name).startswith("Exited")


def test_a_check_by_hand_counts_for_what_is_done(store, live):
    flags = ("--health-interval", "1h", "--health-retries", "1", "--stop-signal", "KILL")
    name = live("--health-cmd", "false", *flags, "--health-on-failure", "restart")
    assert store("healthcheck", "run", name).exit == 1
    count = ("inspect", "-f", "{{.RestartCount}}", name)
    wait_until(lambda: store.ok(*count).strip() == "1", "a second start")


def test_an_action_needs_a_check_and_is_one_of_podman_s(store):
    run = ("run", "--rm", "--network", "none", "--health-on-failure")
    for action in ("kill", "restart", "stop"):
        answer = store(*run, action, "busybox", "true")
        assert answer.exit == 125
        assert f"cannot set on-failure action to {action} without a health check" in answer.stderr
    answer = store(*run, "nosuch", "busybox", "true")
    assert answer.exit == 125
    assert "supported actions are none, kill, restart, stop" in answer.stderr
    assert store(*run, "none", "busybox", "true").exit == 0


def test_the_image_s_check_may_be_left_out(store, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nHEALTHCHECK --interval=200ms CMD true\n")
    store.ok("build", "-t", "well", str(tmp_path))
    run = ("run", "-d", "--network", "none")
    names = [
        store.ok(*run, *flags, "well", "sleep", "100000").strip()
        for flags in ((), ("--no-healthcheck",))
    ]
    wait_for(store, names[0], "healthy")
    assert health(store, names[1]) is None
    assert status(store, names[1]).startswith("Up")
    assert "(" not in status(store, names[1])
    assert store.ok("ps", "-q", "--no-trunc", "--filter", "health=none").split() == [names[1]]
    store.ok("rm", "-f", *names)


def test_a_restart_begins_anew_and_the_end_is_not_healthy(store, live):
    name = live("--health-cmd", "true", *OFTEN)
    wait_for(store, name, "healthy")
    store.ok("update", "--restart", "no", name)
    store.ok("kill", name)
    seen = health(store, name)
    assert (seen["Status"], len(seen["Log"]) > 0) == ("unhealthy", True)
    assert "health" not in status(store, name)
    store.ok("start", name)
    wait_for(store, name, "healthy")


def test_also_in_the_foreground(store):
    words = ("run", "--rm", "--name", "front", "--network", "none", "--health-cmd", "true", *OFTEN)
    running = subprocess.Popen(
        store.command(*words, "busybox", "sleep", "100000"), env=store.environment
    )
    try:
        wait_until(lambda: store("inspect", "front").exit == 0, "it to be there")
        wait_for(store, "front", "healthy")
    finally:
        store("rm", "-f", "front")
        running.wait(60)


def test_nothing_of_it_is_left(store, live):
    name = live("--health-cmd", "true", *OFTEN)
    wait_for(store, name, "healthy")
    store.ok("rm", "-f", name)
    wait_until_gone(name)
    assert not (store.root / "containers" / name).exists()


def test_one_check_now(store, live):
    name = live("--health-cmd", "cat /tmp/well", "--health-retries", "1")
    assert store("healthcheck", "run", name).exit == 1
    assert health(store, name)["Status"] == "unhealthy"
    store.ok("exec", name, "touch", "/tmp/well")
    store.ok("healthcheck", "run", name)
    assert health(store, name)["Status"] == "healthy"
    assert "has no health check" in store("healthcheck", "run", live()).stderr
    store.ok("kill", name)
    assert "is not running" in store("healthcheck", "run", name).stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--no-healthcheck", "--health-cmd", "x"), "conflicts with --health-* options"),
        (("--health-cmd", "x", "--health-retries", "-1"), "--health-retries cannot be negative"),
        (("--health-cmd", "x", "--health-retries", "many"), 'invalid argument "many"'),
        (("--health-cmd", "x", "--health-timeout", "-1s"), "--health-timeout cannot be negative"),
        (("--health-cmd", "x", "--health-interval", "1us"), "cannot be less than 1ms"),
        (("--health-cmd", "x", "--health-interval", "soon"), 'invalid duration "soon"'),
    ],
    ids=str,
)
def test_wrong_flags(store, flags, words):
    answer = store("run", *flags, "busybox", "true")
    assert (answer.exit, words in answer.stderr) == (125, True), answer.stderr
