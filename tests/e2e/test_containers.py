"""`ps` and `rm`: running containers ended, damaged records, and many who look at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.background import RUN, starting

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("containers")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def store(loaded):
    """The store without containers; what a test leaves there is no other test's."""
    yield loaded
    for path in (loaded.root / "containers").iterdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            child.remove_tree(path)


@pytest.fixture
def start(store):
    with starting(store, "busybox") as start:
        yield start


def kill(store, running: subprocess.Popen[bytes]) -> None:
    """Kill -9 the command, and wait until its container is gone too."""
    supervisors = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    running.wait()
    for _ in range(3000):
        if not any(Path(f"/proc/{pid}").exists() for pid in supervisors):
            return
        time.sleep(0.02)
    raise AssertionError("the container lives on")


def folder_of(store, name: str) -> Path:
    number = store.ok("ps", "-aq", "--no-trunc", "--format", "{{.ID}} {{.Names}}")
    assert number
    for path in (store.root / "containers").iterdir():
        if json.loads((path / "container.json").read_bytes())["name"] == name:
            return path
    raise AssertionError(name)


@pytest.mark.parametrize("flags", [(), ("--rm",), ("--init",)])
def test_a_running_container_is_removed_by_force(store, start, flags):
    running = start("web", *flags)
    removed = store("rm", "-f", "web")
    assert (removed.exit, removed.stdout, removed.stderr) == (0, "web\n", "")
    assert running.wait(120) == 137
    assert store.ok("ps", "-aq") == ""
    assert os.listdir(store.root / "containers") == []
    assert os.listdir(store.root / "tmp") == []  # what it wrote is deleted, and not put aside


def test_a_running_container_is_not_removed_without_force(store, start):
    start("web")
    refused = store("rm", "web")
    assert refused.exit == 1
    assert (
        'cannot remove container "web": container is running: '
        "stop the container before removing or force remove"
    ) in refused.stderr
    assert store.ok("ps", "--format", "{{.Names}} {{.State}}") == "web running\n"


def test_a_container_whose_command_is_stopped_is_removed_by_force(store, start):
    """As after Ctrl-Z: nobody waits for process 1 then."""
    running = start("web")
    os.kill(running.pid, 19)
    assert store.ok("rm", "-f", "web") == "web\n"
    assert os.listdir(store.root / "containers") == []
    os.kill(running.pid, 18)
    assert running.wait(120) == 137


def test_several_names_some_of_them_missing(store, start):
    for name in ("one", "two"):
        store.ok(*RUN, "--name", name, "busybox", "true")
    start("web")
    plain = store("rm", "one", "nonsuch", "web", "two")
    assert (plain.exit, plain.stdout) == (1, "one\ntwo\n")
    assert "No such container: nonsuch" in plain.stderr
    assert 'cannot remove container "web"' in plain.stderr
    forced = store("rm", "-f", "nonsuch", "web", "nonsuch2")
    assert (forced.exit, forced.stdout) == (0, "web\n")
    assert forced.stderr == "No such container: nonsuch\nNo such container: nonsuch2\n"
    assert store("rm", "").exit in (1, 125)


def test_a_number_that_belongs_to_another_process_now_is_left_alone(store, start):
    """As after pid reuse: the record names a process that started at another time."""
    with subprocess.Popen(["sleep", "600"]) as other:
        running = start("web")
        path = folder_of(store, "web") / "process.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), "pid": other.pid}))
        store("rm", "-f", "web")
        assert other.poll() is None
        other.kill()
    assert running.poll() is None


def test_ids_and_beginnings(store):
    store.ok(*RUN, "--name", "kept", "busybox", "true")
    number = store.ok("ps", "-aq", "--no-trunc").strip()
    assert len(number) == 64
    assert store.ok("rm", number[:5]) == f"{number[:5]}\n"
    missing = store("rm", number)
    assert (missing.exit, f"No such container: {number}" in missing.stderr) == (1, True)


def damage(kind: str, path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    record = json.loads(content)
    if kind == "a directory":
        path.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a link":
        path.symlink_to("/dev/zero")
    elif kind == "closed":
        path.write_bytes(content)
        path.chmod(0)
    elif kind == "half":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "huge":
        path.write_bytes(b" " * (17 << 20) + content)
    elif kind == "another's":
        path.write_text(json.dumps({**record, "id": "0" * 64}))
    elif kind != "gone":
        path.write_text(kind.replace("RECORD", json.dumps(record)[1:-1]))


RECORDS = ("gone", "a directory", "a FIFO", "a link", "closed", "half", "huge", "another's", "",
           "{}", "[]", "null", '{RECORD, "created": "now"}', '{RECORD, "created": 1e999}',
           '{RECORD, "created": true}', '{RECORD, "config": [1]}', '{RECORD, "image_id": 7}',
           '{RECORD, "name": {}}', '{RECORD, "ports": "80"}', "\x1b[2J")  # fmt: skip
STATES = ("a directory", "a FIFO", "closed", "half", "{}", "[]",
          '{"status": "exited", "exit_code": "0"}', '{"status": "gone"}',
          '{"status": "exited", "finished": -1e300}')  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [("container.json", one) for one in RECORDS] + [("state.json", one) for one in STATES],
)
def test_a_damaged_record_is_one_line_and_can_be_removed(store, name, kind):
    store.ok(*RUN, "--name", "whole", "busybox", "true")
    store.ok(*RUN, "--name", "hurt", "busybox", "sh", "-c", "echo mine >/file")
    hurt = folder_of(store, "hurt")
    damage(kind, hurt / name)
    for command in (("ps", "-a"), ("ps",), ("ps", "-aq")):
        shown = store(*command, timeout=120)
        assert shown.exit == 0, shown.stderr
        assert hurt.name[:12] not in shown.stdout
        (line,) = shown.stderr.splitlines()
        assert f"warning: container {hurt.name[:12]} is damaged" in line
        assert f"rootless rm {hurt.name[:12]}" in line
        assert "\x1b" not in line
    assert "whole" in store.ok("ps", "-a")
    run = store(*RUN, "--rm", "--name", "third", "busybox", "true", timeout=120)
    assert (run.exit, run.stderr) == (0, "")
    store.ok("tag", "busybox", "other")
    store.ok("rmi", "other")
    if kind != "closed":  # root of the namespace reads that one, and would prune both
        store.ok("container", "prune", "-f")
    else:
        store.ok("rm", "whole")
    assert (hurt / "diff" / "file").exists(), "its files are its owner's until rm"
    assert store.ok("rm", hurt.name[:12]) == f"{hurt.name[:12]}\n"
    assert os.listdir(store.root / "containers") == []
    assert store("ps", "-a").stderr == ""


@pytest.mark.parametrize("kind", ["file", "link", "closed"])
def test_what_is_no_directory_in_the_place_of_a_container(store, kind):
    store.ok(*RUN, "--name", "hurt", "busybox", "true")
    hurt = folder_of(store, "hurt")
    if kind == "closed":
        hurt.chmod(0)
    else:
        shutil.move(hurt, store.root / "tmp" / "elsewhere")
        hurt.write_text("") if kind == "file" else hurt.symlink_to("/etc")
    shown = store("ps", "-a")
    assert (shown.exit, shown.stdout.count("\n")) == (0, 1)
    assert store(*RUN, "--rm", "busybox", "true").exit == 0
    assert store.ok("rm", hurt.name) == f"{hurt.name}\n"
    assert Path("/etc/passwd").exists()


def test_a_running_container_with_a_damaged_record(store, start):
    running = start("hurt")
    hurt = folder_of(store, "hurt")
    (hurt / "container.json").write_text("{}")
    refused = store("rm", hurt.name)
    assert (refused.exit, "container is running" in refused.stderr) == (1, True)
    assert store.ok("container", "prune", "-f") == "Total reclaimed space: 0B\n"
    store.ok(*RUN, "--rm", "busybox", "true")
    assert (hurt / "diff").exists()
    assert store.ok("rm", "-f", hurt.name) == f"{hurt.name}\n"
    assert running.wait(120) == 137


def test_names_that_are_no_ids_are_nobodys(store):
    (store.root / "containers" / "lost+found").mkdir()
    shown = store("ps", "-a")
    assert (shown.exit, shown.stderr) == (0, "")
    (store.root / "containers" / "lost+found").rmdir()


def test_a_clock_that_jumps(store):
    store.ok(*RUN, "--name", "future", "busybox", "true")
    path = folder_of(store, "future")
    for name in ("container.json", "state.json"):
        record = json.loads((path / name).read_bytes())
        later = {
            key: value + 1e9 for key, value in record.items() if key in ("created", "finished")
        }
        (path / name).write_text(json.dumps({**record, **later}))
    assert "Less than a second ago" in store.ok("ps", "-a")


def test_those_who_look_at_once_never_take_each_other_for_the_owner(store, start):
    """One container runs and one was killed; six look, again and again."""
    start("alive")
    dead = start("dead")
    kill(store, dead)
    code = (
        "import sys\n"
        "from rootless.container import records\nfrom rootless.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "for _ in range(2000):\n"
        "    found = {one.name: one.is_running for one in records.listing(store)}\n"
        "    assert found == {'alive': True, 'dead': False}, found\n"
    )
    argv = [store.command()[0], "-c", code, str(store.root)]
    lookers = [
        subprocess.Popen(argv, env=store.environment, stderr=subprocess.PIPE) for _ in range(6)
    ]
    for looker in lookers:
        assert looker.communicate(timeout=120)[1] == b""


LISTING = """
import contextlib, io, sys
from rootless.cli.main import main
for _ in range(300):
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())) as shown:
        main()
        shown.flush()
    assert shown.buffer.getvalue() == b"alive\\n", shown.buffer.getvalue()
"""


def test_many_who_list_at_once_show_no_dead_container_as_running(store, start):
    start("alive")
    dead = start("dead")
    kill(store, dead)
    python, _, _, *words = store.command("ps", "--format", "{{.Names}}")
    lookers = [
        subprocess.Popen(
            [python, "-c", LISTING, *words], env=store.environment, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for looker in lookers:
        assert looker.communicate(timeout=120)[1] == b""


def test_containers_come_and_go_while_others_look(store):
    """Nothing is ever damaged, and every container ends as it should."""
    stop, wrong = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            shown = store("ps", "-a")
            if shown.exit or shown.stderr:
                wrong.append(shown)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for number in range(8):
        result = store(*RUN, *(("--rm",) if number % 2 else ()), "busybox", "true")
        if result.exit or result.stderr:
            wrong.append(result)
        store.ok("container", "prune", "-f")
    stop.set()
    for looker in lookers:
        looker.join()
    assert wrong == []


@pytest.mark.parametrize("verb", ["ps", "images"])
def test_a_wrong_field_where_nothing_is_listed(rootless, verb):
    wrong = rootless(verb, "--format", "{{.Nmes}}")
    assert (wrong.exit, wrong.stdout) == (1, "")
    assert "can't evaluate field Nmes" in wrong.stderr
    for form in ("{{.ID}}", "json", "{{json .}}"):
        assert rootless.ok(verb, "--format", form) == ""


def test_pruning_says_what_it_removes_as_docker_does(store):
    question = "Are you sure you want to continue? [y/N] "
    warning = f"WARNING! This will remove all stopped containers.\n{question}"
    write = "echo hello >/x; mkdir /d; ln /x /d/y; ln -s /x /d/z"
    for verb in ("container", "system"):
        store.ok(*RUN, "--name", "written", "busybox", "sh", "-c", write)
        (full_id,) = store.ok("ps", "-aq", "--no-trunc").split()
        declined = store("container", "prune", stdin="n\n")
        assert (declined.exit, declined.stdout) == (0, warning)
        assert store.ok("ps", "-aq", "--no-trunc").split() == [full_id]
        said = store.ok(verb, "prune", stdin="y\n")
        assert f"{question}Deleted Containers:\n{full_id}\n\n" in said
        assert verb != "container" or said.endswith("\n\nTotal reclaimed space: 6B\n")
        assert store.ok("ps", "-aq") == ""
    assert store.ok("container", "prune", "-f") == "Total reclaimed space: 0B\n"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("image", "prune"), " all dangling images."),
        (
            ("image", "prune", "-a"),
            " all images without at least one container associated to them.",
        ),
        (
            ("system", "prune"),
            ":\n  - all stopped containers\n  - all networks not used by at least one container"
            "\n  - all dangling images\n  - unused build cache\n",
        ),
        (
            ("system", "prune", "-a"),
            ":\n  - all stopped containers\n  - all networks not used by at least one container"
            "\n  - all images without at least one container"
            " associated to them\n  - all build cache\n",
        ),
    ],
)
def test_pruning_asks_in_dockers_words(store, words, asked):
    said = store(*words, stdin="n\n")
    question = "Are you sure you want to continue? [y/N] "
    assert (said.exit, said.stdout) == (0, f"WARNING! This will remove{asked}\n{question}")


def test_formats_as_docker_prints_them(store):
    store.ok(*RUN, "--name", "shown", "busybox", "sh", "-c", "exit 0")
    form = "{{.Names}}|{{.Command}}|{{.State}}|{{.Networks}}|{{.CreatedAt}}"
    line = store.ok("ps", "-a", "--format", form, env={**store.environment, "TZ": "UTC"})
    pattern = (
        r'shown\|"sh -c \'exit 0\'"\|exited\|none\|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC\n'
    )
    assert re.fullmatch(pattern, line), line
    both = store("ps", "-aq", "--format", "{{.Names}}")
    assert "Ignoring custom format" in both.stderr
    assert re.fullmatch(r"[0-9a-f]{12}\n", both.stdout)


@pytest.mark.needs("network")
def states_of_children(pid):
    """R, S, Z, … of each: a container that was killed is Z until the command looks for it."""
    states = []
    for child_pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            states.append(Path(f"/proc/{child_pid}/stat").read_text().rpartition(")")[2].split()[0])
    return states


def test_a_container_removed_while_its_network_is_made(store, tmp_path):
    """By a program that is in no hurry: the command's exit code is docker's, not a broken pipe."""
    pasta = tmp_path / "pasta"
    pasta.write_text(
        f"#!/bin/sh\n: >{tmp_path}/begun; while ! [ -e {tmp_path}/go ]; do sleep 0.02; done\n"
        "echo ready >&3; exec sleep 60\n"
    )
    pasta.chmod(0o755)
    argv = store.command("run", "--name", "early", "--network", "pasta", "busybox", "true")
    environment = {**store.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE) as running:
        for _ in range(500):
            if (tmp_path / "begun").exists():
                break
            time.sleep(0.02)
        remover = subprocess.Popen(
            store.command("rm", "-f", "early"), env=store.environment, stdout=subprocess.PIPE
        )
        for _ in range(1000):  # it waits for the command, which waits for the network
            if "Z" in states_of_children(running.pid):
                break
            time.sleep(0.02)
        (tmp_path / "go").touch()
        assert running.wait(120) == 137
        assert running.stderr.read() == b""
        assert remover.communicate(timeout=120)[0] == b"early\n"


def test_the_containers_created_last(store, start):
    for name in ("one", "two", "three"):
        store.ok(*RUN, "--name", name, "busybox", "true")
    start("four")
    names = ("ps", "--format", "{{.Names}}")
    store.ok(*RUN, "--name", "five", "busybox", "true")
    assert store.ok(*names) == "four\n"
    assert store.ok(*names, "-l") == "five\n"
    assert store.ok(*names, "-n", "2") == "five\nfour\n"
    assert store.ok(*names, "--last=9") == "five\nfour\nthree\ntwo\none\n"
    assert store.ok(*names, "-n", "0") == store.ok(*names, "-n", "-1") == "four\n"
    assert store.ok("ps", "-lq") == store.ok("ps", "-aq").splitlines(keepends=True)[0]
    refused = store("ps", "-n", "some")
    assert refused.exit in {1, 125}
    assert "'some' is not a number" in refused.stderr


def test_the_containers_that_filters_mean(store, start, tmp_path):
    """Values of one key are alternatives, but for labels; several keys must all fit."""
    (tmp_path / "shown").mkdir()
    script = "echo x > /x; exec sleep 600"
    start("web-1", "-v", f"{tmp_path / 'shown'}:/shown", script=script)
    store.ok("commit", "-c", "LABEL kind=db", "-c", "EXPOSE 5432", "web-1", "database:1")
    store(*RUN, "--name", "old", "busybox", "sh", "-c", "exit 3")
    store.ok(*RUN, "--name", "db", "database:1", "true")
    old, web = (store.ok("ps", "-aqf", f"name=^{name}$").strip() for name in ("old", "web-1"))
    busybox = store.ok("images", "-q", "busybox").strip()

    def named(*asked):
        words = [word for one in asked for word in ("--filter", one)]
        return set(store.ok("ps", "-a", "--format", "{{.Names}}", *words).split())

    everything = {"web-1", "old", "db"}
    for asked, names in (
        (("name=web",), {"web-1"}),
        (("name=^/db$",), {"db"}),
        (("name=^b",), set()),
        (("name=web", "name=old"), {"web-1", "old"}),
        (("name=web", "status=exited"), set()),
        ((f"id={old}",), {"old"}),
        (("status=running",), {"web-1"}),
        (("status=running", "status=exited"), everything),
        (("status=paused",), set()),
        (("exited=3",), {"old"}),
        (("exited=0", "exited=3"), {"old", "db"}),
        (("label=kind",), {"db"}),
        (("label=kind=db",), {"db"}),
        (("label=kind=web",), set()),
        (("ancestor=database:1",), {"db"}),
        (("ancestor=busybox",), everything),
        ((f"ancestor={busybox}",), everything),
        (("ancestor=nothing",), set()),
        (("before=db",), {"web-1", "old"}),
        ((f"since={web}",), {"old", "db"}),
        (("network=none",), everything),
        (("network=host",), set()),
        (("volume=/shown",), {"web-1"}),
        ((f"volume={tmp_path / 'shown'}",), {"web-1"}),
        (("expose=5432",), {"db"}),
        (("expose=5000-6000/tcp",), {"db"}),
        (("expose=5432/udp",), set()),
        (("publish=5432",), set()),
        (("health=none",), everything),
        (("is-task=true",), set()),
    ):
        assert named(*asked) == names, asked
    assert store.ok("ps", "-q", "--filter", "name=old") == ""
    assert store.ok("ps", "-q", "--filter", "status=exited") != ""
    assert store.ok("ps", "-n", "1", "-f", "exited=3", "--format", "{{.Names}}") == "old\n"
    store.ok("rmi", "-f", "database:1")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("colour=red", "invalid filter 'colour'"),
        ("status=bad", "invalid filter 'status=bad'"),
        ("health=bad", "invalid filter 'health=bad'"),
        ("exited=x", "invalid filter 'exited=x'"),
        ("name=(", "invalid filter 'name'"),
        ("publish=0-99999", "invalid filter 'publish=0-99999'"),
        ("publish=9-3", "invalid filter 'publish=9-3'"),
        ("before=nobody", "No such container: nobody"),
        ("name", "expected name=value"),
    ],
)
def test_filters_that_are_none(store, asked, told):
    said = store("ps", "--filter", asked)
    assert said.exit != 0
    assert told in said.stderr


def test_pruning_only_the_containers_that_filters_allow(store, start):
    store.ok(*RUN, "--name", "one", "busybox", "true")
    (one,) = store.ok("ps", "-aq", "--no-trunc").split()
    prune = ("container", "prune", "-f", "--filter")
    assert store.ok(*prune, "until=1h") == "Total reclaimed space: 0B\n"
    assert store.ok(*prune, "label=kind") == "Total reclaimed space: 0B\n"
    assert one in store.ok(*prune, "label!=kind")
    start("web")
    store.ok("commit", "-c", "LABEL kind=db", "web", "database:1")
    store.ok(*RUN, "--name", "two", "database:1", "true")
    (two,) = store.ok("ps", "-aqf", "name=two", "--no-trunc").split()
    assert store.ok(*prune, "label!=kind") == "Total reclaimed space: 0B\n"
    assert two in store.ok("system", "prune", "-f", "--filter", "label=kind=db")
    assert "invalid filter 'name'" in store(*prune, "name=x").stderr
    store.ok("rmi", "-f", "database:1")


def test_anonymous_volumes_may_be_named_though_there_are_none(store):
    store.ok(*RUN, "--name", "one", "busybox", "true")
    assert store.ok("rm", "-v", "one") == "one\n"


def test_a_used_image_loses_the_names_that_no_container_knows_it_by(store):
    store.ok("tag", "busybox", "busybox:2")
    store.ok("tag", "busybox", "other:1")
    store.ok(*RUN, "--name", "one", "busybox:2", "true")
    said = store.ok("image", "prune", "-af")
    assert sorted(line for line in said.splitlines() if "untagged" in line) == [
        "untagged: busybox:latest", "untagged: other:1",
    ]  # fmt: skip
    assert store.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == "busybox:2\n"
    store.ok("tag", "busybox:2", "busybox")
    store.ok("rm", "one")
    identity = store.ok("images", "-q", "--no-trunc", "busybox:2").strip()
    store.ok(*RUN, "--name", "two", identity, "true")
    store.ok("image", "prune", "-af")
    assert len(store.ok("images", "-q").split()) == 1
    store.ok("tag", identity, "busybox:latest")
    store("rmi", "busybox:2")
