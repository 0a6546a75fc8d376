"""`events`: what happened to containers, in docker's words and shape."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")
RUN = ("run", "--network", "none")


@pytest.fixture
def store(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    return rootless


def told(store, *argv):
    lines = store.ok("events", "--since", "1h", "--until", "0s", "--format", "json", *argv)
    return [json.loads(line) for line in lines.splitlines()]


def test_a_life_is_told(store):
    store.ok(*RUN, "-d", "--name", "web", "--label", "tier=front", "busybox", "sleep", "600")
    store.ok("stop", "-t", "0", "web")
    store.ok("rename", "web", "old")
    store.ok("rm", "old")
    every = told(store, "--filter", "type=container")
    assert [one["Action"] for one in every] == [
        *("create", "start", "kill", "kill", "die", "stop", "rename", "destroy"),
    ]
    assert len({one["id"] for one in every}) == 1
    assert [one["timeNano"] for one in every] == sorted(one["timeNano"] for one in every)
    die = every[4]["Actor"]["Attributes"]
    assert die.pop("execDuration").isdecimal()
    assert die == {"exitCode": "137", "image": "busybox", "name": "web", "tier": "front"}
    assert every[6]["Actor"]["Attributes"]["oldName"] == "/web"
    assert [one["Action"] for one in told(store, "--filter", "event=die")] == ["die"]
    assert told(store, "--filter", "label=tier=back") == []
    assert len(told(store, "--filter", "container=old")) == 2
    line = store.ok("events", "--since", "1h", "--until", "0s", "--filter", "event=start")
    assert f" container start {every[0]['id']} (image=busybox, name=web, tier=front)" in line


def test_what_is_written_read_and_changed_is_told(store, tmp_path):
    """As docker 28 tells it."""
    since = str(time.time())
    store.ok("save", "-o", tmp_path / "saved.tar", "busybox")
    store.ok("load", "-i", tmp_path / "saved.tar")
    store.ok("create", "--name", "made", "busybox", "true")
    made = store.ok("commit", "-m", "why", "made", "kept:1").strip()
    store.ok("update", "--restart", "always", "made")
    store.ok("export", "-o", tmp_path / "files.tar", "made")
    own = store.ok("import", tmp_path / "files.tar").strip()
    image = store.ok("inspect", "-f", "{{.Id}}", "--type", "image", "busybox").strip()
    lines = store.ok("events", "--since", since, "--until", "0s", "--format", "json")
    found = [json.loads(line) for line in lines.splitlines()]
    actors = {one["Action"]: one["Actor"] for one in found}
    for action, identity in (("save", image), ("load", image), ("import", own)):
        assert actors[action] == {"ID": identity, "Attributes": {"name": identity}}
    about = {"image": "busybox", "name": "made"}
    why = {"comment": "why", "imageID": made, "imageRef": "kept:1"}
    assert actors["commit"]["Attributes"] == about | why
    assert actors["update"]["Attributes"] == actors["export"]["Attributes"] == about


@pytest.mark.needs("registry")
def test_who_pushes_and_pulls_is_told_by_the_whole_name(store, registry):
    name = f"{registry.address}/told/bb"
    store.ok("tag", "busybox", name)
    store.ok("push", name)
    store.ok("pull", name)
    for action in ("push", "pull"):
        (one,) = told(store, "--filter", f"event={action}")
        assert one["Actor"] == {"ID": f"{name}:latest", "Attributes": {"name": name}}


def test_events_are_told_as_they_come(store):
    command = [
        *store.command(),
        "events",
        "--filter",
        "event=die",
        "--format",
        "{{.Action}} {{.ID}}",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=store.environment, text=True
    ) as watch:
        try:
            store.ok(*RUN, "--rm", "--name", "one", "busybox", "true")
            while (line := watch.stdout.readline()) and not line.startswith("die "):
                pass
            assert len(line.split()[1]) == 64
        finally:
            watch.kill()


def test_a_long_journal_is_begun_anew_and_damaged_lines_are_passed_over(store):
    store.ok(*RUN, "--rm", "busybox", "true")
    journal = store.root / "events.jsonl"
    kept = journal.read_bytes()
    junk = b'{"time": 1}\n[]\nx\n\xff\n' + b"y" * 100 + b"\n"
    journal.write_bytes(kept + junk * (1 + (1 << 20) // len(junk)))
    store.ok(*RUN, "--rm", "busybox", "true")
    assert journal.stat().st_size < 1 << 16
    assert [one["Action"] for one in told(store)].count("destroy") == 2


def test_what_is_no_filter_or_time_is_named(store):
    assert "invalid" in store("events", "--filter", "colour=red").stderr
    assert "since" in store("events", "--since", "yesterday").stderr
