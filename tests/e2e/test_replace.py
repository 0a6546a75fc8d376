"""`--replace`, `--timeout` and `--annotation` of `run` and `create`."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
RUN = ("run", "--network", "none")
REPLACE = (*RUN, "-d", "--stop-signal", "KILL", "--replace", "--name")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("replace")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    command("rm", "-af")
    child.remove_tree(folder / "store")


def listed(store, name: str) -> list[str]:
    words = ("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}} {{.Names}}")
    return [line for line in store.ok(*words).splitlines() if line.endswith(f" {name}")]


def test_who_has_the_name_is_ended_and_removed_running_or_not(store):
    first = store.ok(*REPLACE, "web", "busybox", "sleep", "1000").strip()
    second = store.ok(*REPLACE, "web", "busybox", "true").strip()
    assert first != second
    assert [line.split()[0] for line in listed(store, "web")] == [second]
    store.ok("wait", "web")
    third = store.ok("create", "--replace", "--name", "web", "busybox", "true").strip()
    assert listed(store, "web") == [f"{third} created web"]
    words = ("events", "--since", "1h", "--until", "0s", "--filter", f"container={first}")
    actions = store.ok(*words, "--format", "{{.Action}}").split()
    assert actions[-4:] == ["kill", "die", "stop", "destroy"]


def test_it_stays_where_the_new_one_cannot_be_made(store, tmp_path):
    there = store.ok(*REPLACE, "old", "busybox", "true").strip()
    file = tmp_path / "id"
    file.write_text("")
    for flags, image in (((), "nosuch:1"), (("--cidfile", str(file)), "busybox")):
        answer = store(*RUN, "--pull=never", "--replace", "--name", "old", *flags, image, "true")
        assert answer.exit == 125
        assert [line.split()[0] for line in listed(store, "old")] == [there]


def test_without_a_name_it_says_so_and_a_near_one_is_left_alone(store):
    answer = store(*RUN, "--rm", "--replace", "busybox", "true")
    assert answer.exit == 125
    assert "cannot replace container without --name being set" in answer.stderr
    near = store.ok(*REPLACE, "nearby", "busybox", "true").strip()
    store.ok(*REPLACE, near[:12], "busybox", "true")
    store.ok(*REPLACE, "nearb", "busybox", "true")
    assert len(listed(store, "nearby")) == 1


def test_of_several_at_once_one_stays(store):
    argv = store.command(*REPLACE, "crowd", "busybox", "sleep", "1000")
    every = [subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) for _ in "abcd"]
    told = {one.communicate()[0].decode().strip() for one in every}
    assert [one.returncode for one in every] == [0] * 4
    [line] = listed(store, "crowd")
    assert line.split()[0] in told


def test_one_that_removes_itself_is_replaced(store):
    for _ in range(2):
        store.ok(*REPLACE, "brief", "--rm", "busybox", "sleep", "1000")
    assert len(listed(store, "brief")) == 1
    store.ok("rm", "-f", "brief")


@pytest.mark.parametrize("flags", [(), ("--rm",), ("-t",)], ids=" ".join)
def test_what_runs_for_too_long_is_killed(store, flags):
    script = "trap 'echo no' TERM INT HUP; while :; do sleep 0.1; done"
    answer = store(*RUN, "--timeout", "1", *flags, "busybox", "sh", "-c", script, timeout=60)
    assert answer.exit == 255
    assert answer.stdout == ""


def test_its_policy_starts_it_again_and_what_ends_before_is_as_ever(store):
    assert store(*RUN, "--rm", "--timeout", "3600", "busybox", "sh", "-c", "exit 3").exit == 3
    flags = ("-d", "--timeout", "1", "--restart", "on-failure:1")
    name = store.ok(*RUN, *flags, "busybox", "sleep", "1000").strip()
    assert store.ok("wait", name, timeout=60).strip() == "255"
    assert store.ok("inspect", "-f", "{{.RestartCount}}", name).strip() == "1"


@pytest.mark.parametrize("text", ["x", "-1", "1.5", ""])
def test_what_is_no_time_is_refused(store, text):
    answer = store(*RUN, "--rm", f"--timeout={text}", "busybox", "true")
    assert answer.exit == (125 if text else 0)
    assert ("is not a number of seconds" in answer.stderr) == bool(text)


def test_annotations_are_shown(store):
    words = ("--annotation", "a=b=c", "--annotation", "none", "--name", "noted")
    store.ok("create", *words, "busybox", "true")
    shown = store.ok("inspect", "-f", "{{json .HostConfig.Annotations}}", "noted").strip()
    assert shown == '{"a":"b=c","none":""}'
    answer = store(*RUN, "--rm", "--annotation", "=x", "busybox", "true")
    assert answer.exit == 125
    assert "the empty string is not permitted as an annotation key" in answer.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--mount", "type=bind,source=/nosuch,target=/x"), "does not exist"),
        (("-v", "data:/proc/x"), "inside /proc"),
        (("-v", "/dev/null/x:/x"), "cannot be made"),
        (("--volumes-from", "nosuch"), "nosuch"),
        (("--userns", "auto:size=9999999"), "the container wants"),
    ],
    ids=lambda one: str(one)[:30],
)
def test_what_cannot_be_made_takes_nothing_away(store, flags, words):
    """Podman's is gone by then."""
    store.ok(*REPLACE, "dear", "busybox", "sleep", "1000")
    before = listed(store, "dear")
    everything = store.ok("ps", "-aq", "--no-trunc").split()
    answer = store(*REPLACE, "dear", *flags, "busybox", "true")
    assert answer.exit == 125
    assert words in answer.stderr
    assert listed(store, "dear") == before
    assert "running" in before[0]
    assert store.ok("ps", "-aq", "--no-trunc").split() == everything


@pytest.mark.parametrize("name", ["b@d", "x"])
def test_a_name_that_cannot_be(store, name):
    before = store.ok("ps", "-aq").split()
    assert "Invalid container name" in store(*REPLACE, name, "busybox", "true").stderr
    assert store.ok("ps", "-aq").split() == before
