"""`events`: docker 28's words for a container's life, its JSON, filters; a bounded journal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

NAME = "{{.Actor.Attributes.name}}"
FLAGS = ("--pull=never", "--network=none")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("events")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


def past(store, *flags):
    return store.ok("events", "--since", "1h", "--until", "0s", *flags)


@pytest.fixture(scope="module")
def lived(store):
    """The id of a container that has gone through what there is."""
    run = ("run", "-d", *FLAGS, "--name", "first", "--label", "a=b", "busybox", "sleep", "600")
    number = store.ok(*run).strip()
    for argv in (
        ("pause", "first"), ("unpause", "first"), ("rename", "first", "second"),
        ("kill", "-s", "HUP", "second"), ("restart", "-t", "0", "second"),
        ("stop", "-t", "0", "second"), ("rm", "second"),
    ):  # fmt: skip
        store.ok(*argv)
    return number


def test_a_life_in_dockers_words(store, lived):
    form = "{{.Action}} {{.Actor.Attributes}}"
    lines = past(store, "--filter", f"container={lived}", "--format", form).splitlines()
    first, second = "map[a:b image:busybox name:first]", "map[a:b image:busybox name:second]"
    assert [re.sub(r"execDuration:\d+", "execDuration:N", line) for line in lines] == [
        f"create {first}", f"start {first}", f"pause {first}", f"unpause {first}",
        "rename map[a:b image:busybox name:second oldName:/first]",
        "kill map[a:b image:busybox name:second signal:1]",
        "kill map[a:b image:busybox name:second signal:15]",
        "kill map[a:b image:busybox name:second signal:9]",
        "die map[a:b execDuration:N exitCode:137 image:busybox name:second]",
        f"stop {second}", f"start {second}", f"restart {second}",
        "kill map[a:b image:busybox name:second signal:15]",
        "kill map[a:b image:busybox name:second signal:9]",
        "die map[a:b execDuration:N exitCode:137 image:busybox name:second]",
        f"stop {second}", f"destroy {second}",
    ]  # fmt: skip


def test_lines_and_json(store, lived):
    line = past(store, "--filter", f"container={lived}", "--filter", "event=create")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d)"
    assert re.fullmatch(
        rf"{stamp} container create {lived} \(a=b, image=busybox, name=first\)\n", line
    )
    text = past(store, "--filter", "event=die", "--format", "json").splitlines()[0]
    told = json.loads(text)
    assert list(told) == [
        "status", "id", "from", "Type", "Action", "Actor", "scope", "time", "timeNano",
    ]  # fmt: skip
    assert (told["status"], told["id"], told["from"]) == ("die", lived, "busybox")
    assert told["Actor"]["Attributes"]["exitCode"] == "137"
    assert told["timeNano"] // 10**9 == told["time"]
    assert text == past(store, "--filter", "event=die", "--format", "{{json .}}").splitlines()[0]


def test_images_and_volumes(store):
    store.ok("tag", "busybox", "other:2")
    store.ok("rmi", "other:2")
    store.ok("volume", "create", "data")
    store.ok("volume", "rm", "data")
    actions = past(store, "--filter", "type=image", "--format", "{{.Action}}").split()
    assert actions[-2:] == ["tag", "untag"]
    form = "{{.Action}} {{.Actor.ID}}"
    lines = past(store, "--filter", "volume=data", "--format", form).splitlines()
    assert lines == ["create data", "destroy data"]


@pytest.fixture
def running(store):
    yield store.ok("run", "-d", *FLAGS, "--name", "busy", "busybox", "sleep", "600").strip()
    store.ok("rm", "-f", "busy")


def of_exec(store, number):
    lines = past(store, "--filter", f"container={number}", "--format", "json").splitlines()
    return [one for one in map(json.loads, lines) if one["Action"].startswith("exec_")]


def test_an_exec_is_told_with_its_command_its_id_and_its_end(store, running):
    assert store("exec", running, "sh", "-c", "exit 3").exit == 3
    told = of_exec(store, running)
    assert [one["Action"] for one in told] == [
        "exec_create: sh -c exit 3", "exec_start: sh -c exit 3", "exec_die",
    ]  # fmt: skip
    [number] = {one["Actor"]["Attributes"]["execID"] for one in told}
    assert re.fullmatch("[0-9a-f]{64}", number)
    assert told[2]["Actor"]["Attributes"] == {
        "execID": number, "exitCode": "3", "image": "busybox", "name": "busy",
    }  # fmt: skip
    assert "exec_create: sh" in past(store, "--filter", "event=exec_create")
    assert past(store, "--filter", "event=exec_creat") == ""


def test_what_cannot_be_executed_never_dies_and_large_words_are_cut(store, running):
    assert store("exec", running, "/nosuch").exit == 127
    store.ok("exec", "-d", running, "sleep", "0")
    ended = "exec_die"  # of who was left alone, too
    while ended not in (one["Action"] for one in of_exec(store, running)):
        time.sleep(0.02)
    large = "x" * 100_000
    store.ok("exec", running, "true", large)
    argv = [*store.command("exec", running, "true"), b"\xff"]
    subprocess.run(argv, env=store.environment, check=True)
    actions = [one["Action"] for one in of_exec(store, running)]
    assert actions[:4] == [
        "exec_create: /nosuch ", "exec_start: /nosuch ",
        "exec_create: sleep 0", "exec_start: sleep 0",
    ]  # fmt: skip
    actions.remove("exec_die")
    assert actions[4].startswith("exec_create: true xxx")
    assert len(actions[4]) < 10_000
    assert actions[6] == "exec_die"
    assert actions[7:] == ["exec_create: true \ufffd", "exec_start: true \ufffd", "exec_die"]
    assert "exec_create: true" in past(store)


def test_one_that_is_left_alone_tells_its_end_and_keeps_no_pipe(store, running):
    """Its command's caller waits for the end of a pipe, which comes before the process's."""
    for words in (("sh", "-c", "exit 3"), ("sh", "-c", "kill -9 $$"), ("sleep", "600")):
        argv = store.command("exec", "-d", running, *words)
        done = subprocess.run(
            argv, check=False, env=store.environment, capture_output=True, timeout=60
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert store("exec", "-d", running, "/nosuch").exit == 1

    def died():
        told = [one["Actor"]["Attributes"] for one in of_exec(store, running)]
        return sorted(one["exitCode"] for one in told if "exitCode" in one)

    while len(died()) < 2:
        time.sleep(0.02)
    assert died() == ["137", "3"]
    assert "setns(2)" in store("exec", "--explain", "-d", running, "true").stderr
    store.ok("kill", running)  # ends the one that sleeps, which is told too
    while len(died()) < 4:
        time.sleep(0.02)
    assert died() == ["0", "137", "137", "3"]


@pytest.mark.parametrize("flags", [(), ("--rm",), ("--restart", "always")], ids=" ".join)
def test_who_is_removed_by_force_dies_first(store, flags):
    """As in docker: no stop is told, and the end comes before the removal."""
    words = ("--network=none", "-v", "used:/a", "busybox", "sleep", "600")
    number = store.ok("run", "-d", "--pull=never", *flags, *words).strip()
    store.ok("rm", "-f", number)
    told = past(store, "--format", "{{.ID}} {{.Type}} {{.Action}} {{.Actor.Attributes}}")
    lines = [line for line in told.splitlines() if number in line]
    seen = [" ".join(line.split("map[")[0].split()[-2:]) for line in lines]
    assert seen[-5:] == [
        "container start", "container kill", "volume unmount", "container die", "container destroy",
    ]  # fmt: skip
    assert "signal:9]" in lines[-4]
    assert "exitCode:137" in lines[-2]
    assert seen.count("container destroy") == 1


def test_volumes_come_and_go_with_a_container(store):
    words = ("-v", "kept:/a", "-v", "kept:/b:ro", "--name", "using", "busybox", "true")
    number = store.ok("create", *FLAGS, *words).strip()
    store("start", "-a", "using")
    form = "{{.Action}} {{.Actor.Attributes}}"
    of = f"container:{number}"
    assert past(store, "--filter", "volume=kept", "--format", form).splitlines()[-5:] == [
        "create map[driver:local]",
        f"mount map[{of} destination:/a driver:local propagation: read/write:true]",
        f"mount map[{of} destination:/b driver:local propagation: read/write:false]",
        f"unmount map[{of} driver:local]",
        f"unmount map[{of} driver:local]",
    ]


def test_networks_and_who_is_on_them(store):
    number = store.ok("network", "create", "road").strip()
    store.ok("network", "create", "path")
    try:
        words = ("--pull=never", "--network", "road", "--name", "walker", "busybox")
        one = store.ok("run", "-d", *words, "sleep", "600").strip()
        store.ok("network", "connect", "path", "walker")
        store.ok("network", "disconnect", "path", "walker")
    finally:
        store.ok("rm", "-f", "walker")
    store.ok("network", "rm", "road")
    store.ok("network", "prune", "-f")
    form = "{{.Action}} {{.Actor.Attributes}}"
    on = f"map[container:{one} name:%s type:bridge]"
    road, path = (
        past(store, "--filter", f"network={name}", "--format", form).splitlines()
        for name in (number, "path")
    )
    assert road == [
        "create map[name:road type:bridge]", "connect " + on % "road",
        "disconnect " + on % "road", "destroy map[name:road type:bridge]",
    ]  # fmt: skip
    assert path == [
        "create map[name:path type:bridge]", "connect " + on % "path",
        "disconnect " + on % "path", "destroy map[name:path type:bridge]",
    ]  # fmt: skip


def test_what_was_pruned(store):
    for noun in ("container", "volume", "network", "image", "builder"):
        store.ok(noun, "prune", "-f")
    store.ok("system", "prune", "-f")
    form = "{{.Type}} {{.Actor.ID}}{{.Actor.Attributes.reclaimed}}"
    lines = past(store, "--filter", "event=prune", "--format", form).splitlines()[-9:]
    assert [line.split()[0] for line in lines] == [
        "container", "volume", "network", "image", "builder",
        "network", "container", "image", "builder",
    ]  # fmt: skip
    assert all(line.split()[1].isdecimal() for line in lines)
    text = past(store, "--filter", "event=prune", "--filter", "type=image", "--format", "json")
    assert list(json.loads(text.splitlines()[-1]))[:2] == ["status", "Type"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (("type=container", "event=destroy"), True), (("label=a=b",), True),
        (("label=a=c",), False),
        (("image=busybox",), True), (("image=busybo",), False), (("container=second",), True),
        (("container=nosuch",), False), (("event=oom",), False), (("container=first",), True),
        (("event=create", "event=start"), True),
    ],
)  # fmt: skip
def test_filters(store, lived, flags, found):
    words = [word for flag in flags for word in ("--filter", flag)]
    assert (lived in past(store, *words)) == found


def test_what_comes_is_shown_as_it_comes(store):
    argv = store.command("events", "--filter", "event=start", "--format", NAME)
    with subprocess.Popen(argv, env=store.environment, stdout=subprocess.PIPE) as watching:
        os.set_blocking(watching.stdout.fileno(), False)
        seen = b""
        for _ in range(100):  # until it looks
            store.ok("run", "--rm", *FLAGS, "--name", "seen", "busybox", "true")
            if seen := watching.stdout.read() or b"":
                break
        watching.terminate()
    assert set(seen.split()) == {b"seen"}


def test_wrong_ones_are_named(store):
    assert "invalid filter 'foo'" in store("events", "--filter", "foo=x").stderr
    assert 'invalid value for "since"' in store("events", "--since", "soon").stderr
    wrong = store("events", "--since", "1h", "--until", "0s", "--format", "{{.Foo}}")
    assert wrong.exit != 0
    assert "can't evaluate field Foo" in wrong.stderr


def test_the_journal_is_bounded_and_damage_is_passed_over(store, lived):
    journal = store.root / "events.jsonl"
    with open(journal, "ab") as file:
        file.write(b'\0\nnull\n[1]\n{}\n{"Type":1}\n' + b"x" * (3 << 20) + b"\n")
    store.ok("tag", "busybox", "large:1")
    store.ok("tag", "busybox", "large:2")
    assert journal.stat().st_size < 10_000
    names = past(store, "--filter", "event=tag", "--format", NAME).split()
    assert names[-2:] == ["large:1", "large:2"]
    assert lived in past(store)
    journal.unlink()
    os.mkfifo(journal)
    store.ok("tag", "busybox", "large:3", timeout=60)
    assert "large:1" in past(store, "--format", NAME, "--filter", "event=tag")


def test_a_type_that_nothing_has_is_refused(store):
    wrong = store("events", "--until", "0s", "--filter", "type=containerr")
    assert (wrong.exit, wrong.stdout) == (1, "")
    assert "invalid filter 'type=containerr'" in wrong.stderr
    assert "did you mean type=container?" in wrong.stderr
    assert past(store, "--filter", "type=plugin") == "", "docker has it, though there is none"
