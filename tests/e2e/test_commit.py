"""`commit`, `diff` and `export`, as people type them; docker 28.5 gave the answers kept here."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from rootless import living
from rootless.cli import commit
from tests.conftest import Rootless
from tests.e2e.test_containers import folder_of
from tests.support import child, flattened, machine, trees
from tests.support.background import RUN, starting
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

BASE = (
    "mkdir -p /d/e /op /wd /dswap && echo x >/d/f && echo y >/d/e/g && ln /d/f /d/h && "
    "echo z >/op/z && echo q >/same && touch -d @9 /same && echo s >/swap && touch /dswap/a && "
    "touch -d @0 /old"
)
WORK = (
    "echo new >/n; rm /d/f; rm -r /op; mkdir /op; echo q>/same; chmod 700 /wd; rm /swap; "
    "mkdir /swap; echo 1 >/swap/i; rm -r /dswap; echo file >/dswap; touch /d/e; mkdir -p /a/b/c; "
    "touch /a/b/x; ln -s x /a/l; mknod /a/p p; rm /bin/ls; mv /d/e /d/e2; touch /etc/passwd; "
    "ln /n /n2; touch -d @0 /old; chown 5:6 /tmp; echo gone > /tmp/gone; rm /tmp/gone; "
    "mkdir /tmp/gd; rmdir /tmp/gd"
)
# What `docker diff` said of the same work on the same base, sorted.
DIFF = """\
A /a
A /a/b
A /a/b/c
A /a/b/x
A /a/l
A /a/p
C /bin
D /bin/ls
C /d
D /d/e
A /d/e2
A /d/e2/g
D /d/f
C /dswap
C /etc
C /etc/passwd
A /n
A /n2
C /op
D /op/z
C /same
C /swap
A /swap/i
C /tmp
A /vol
C /wd
"""
# The layer that `docker commit` made of it, less what is only there to mount /vol on.
LAYER = """\
a/ a/b/ a/b/c/ a/b/x a/l a/p bin/ bin/.wh.ls d/ d/.wh.e d/.wh.f d/e2/ d/e2/g dswap etc/
etc/passwd n n2 old op/ op/.wh..wh..opq same swap/ swap/.wh..wh..opq swap/i tmp/ wd/
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("commit")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    command.ok(*RUN, "--name", "base", "busybox", "sh", "-c", BASE)
    command.ok("commit", "base", "base")
    command.ok("rm", "base")
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def store(loaded):
    yield loaded
    for path in (loaded.root / "containers").iterdir():
        child.remove_tree(path)


@pytest.fixture
def start(store):
    with starting(store, "base") as start:
        yield start


@pytest.fixture
def worked(store, tmp_path):
    """A container that has done `WORK`, with a directory shown at /vol."""
    (tmp_path / "vol").mkdir()
    (tmp_path / "vol" / "secret").write_text("not of the container")
    volume = f"{tmp_path / 'vol'}:/vol"
    store.ok(*RUN, "--name", "web", "-v", volume, "base", "sh", "-c", WORK)
    return "web"


def layer_of(store, name, tmp_path):
    """The names in an image's topmost layer, sorted, and the history of the image."""
    path = tmp_path / "saved.tar"
    store.ok("save", "-o", path, name)
    _, config = flattened.read(path)
    with tarfile.open(path) as outer:
        (entry,) = json.load(outer.extractfile("manifest.json"))
        with tarfile.open(fileobj=outer.extractfile(entry["Layers"][-1])) as layer:
            names = [one.name + "/" * one.isdir() for one in layer.getmembers()]
    return sorted(names), config


def test_changes_are_those_that_docker_tells(store, worked):
    assert store.ok("diff", worked) == DIFF
    assert store.ok("container", "diff", worked) == DIFF


def test_the_layer_is_the_one_that_docker_makes(store, worked, tmp_path):
    number = store.ok("commit", "-m", "with work", "-a", "Ada <ada@example.org>", worked, "mine:1")
    assert number.startswith("sha256:")
    assert store.ok("images", "-q", "--no-trunc", "mine:1") == number
    names, config = layer_of(store, "mine:1", tmp_path)
    assert names == sorted(LAYER.split())
    line = config["history"][-1]
    assert (line["created_by"], line["comment"]) == (f"sh -c {WORK}", "with work")
    assert line["author"] == config["author"] == "Ada <ada@example.org>"
    assert line["created"] == config["created"]
    files, _ = flattened.read(tmp_path / "saved.tar")
    assert "vol" not in files
    assert files["tmp"][2:] == (5, 6)


def test_the_image_goes_on_where_the_container_stopped(store, worked):
    store.ok("commit", worked, "mine:2")
    store.ok("rm", worked)
    look = "cat /n /swap/i /dswap /d/h; ls -A /op /d; test -e /bin/ls || echo no ls"
    answer = store.ok(*RUN, "--rm", "mine:2", "busybox", "sh", "-c", look.replace("ls -A", "echo"))
    assert answer == "new\n1\nfile\nx\n/op /d\nno ls\n"
    assert store.ok("system", "check")


def test_a_container_is_none_the_worse(store, worked, tmp_path):
    """And the same again gives the same layer."""
    store.ok("commit", worked, "one:1")
    store.ok("commit", worked, "two:1")
    layers = [
        json.loads(store.ok("inspect", "-f", "{{json .RootFS.Layers}}", name))
        for name in ("one:1", "two:1")
    ]
    assert layers[0] == layers[1]
    assert store.ok("diff", worked) == DIFF
    assert store.ok("rm", worked) == "web\n"


def test_how_the_container_runs_is_how_the_image_does(store):
    """Docker's rules: the image's, what the user changed, then the changes."""
    flags = ("-e", "B=3", "-w", "/other", "-u", "1000:1000", "--entrypoint", "/bin/echo")
    store.ok(*RUN, "--name", "web", *flags, "base", "said")
    changes = ("-c", "EXPOSE 80", "-c", 'LABEL a=b\nENV C="$B 4"', "-c", "WORKDIR deeper")
    store.ok("commit", *changes, "web", "mine:3")
    config = json.loads(store.ok("inspect", "-f", "{{json .Config}}", "mine:3"))
    assert {key: value for key, value in config.items() if value} == {
        "User": "1000:1000",
        "Env": ["B=3", machine_path(store), "C=3 4"],
        "Entrypoint": ["/bin/echo"],
        "Cmd": ["said"],
        "ExposedPorts": {"80/tcp": {}},
        "Labels": {"a": "b"},
        "WorkingDir": "/other/deeper",
    }
    assert store.ok(*RUN, "--rm", "mine:3") == "said\n"


def machine_path(store):
    (path,) = json.loads(store.ok("inspect", "-f", "{{json .Config.Env}}", "busybox"))
    return path


def test_without_a_change_there_is_no_layer(store, tmp_path):
    (tmp_path / "f").write_text("x")
    flags = ("-v", f"{tmp_path}:/made/for/it", "-v", f"{tmp_path / 'f'}:/etc/one", "--tmpfs", "/t")
    store.ok(*RUN, "--name", "web", *flags, "base", "true")
    store.ok("commit", "web", "mine:4")
    layers = [
        store.ok("inspect", "-f", "{{json .RootFS.Layers}}", name) for name in ("base", "mine:4")
    ]
    assert layers[0] == layers[1]
    assert (
        store.ok("diff", "web")
        == "C /etc\nA /etc/one\nA /made\nA /made/for\nA /made/for/it\nA /t\n"
    )


def test_a_name_moves_to_the_newest(store, worked):
    first = store.ok("commit", "-m", "1", worked, "moved").strip()
    second = store.ok("commit", "-m", "2", worked, "moved").strip()
    assert store.ok("images", "-q", "--no-trunc", "moved").strip() == second
    assert first in store.ok("images", "-q", "--no-trunc", "--filter", "dangling=true")
    unnamed = store.ok("commit", worked, "").strip()
    assert unnamed in store.ok("images", "-q", "--no-trunc", "--filter", "dangling=true")
    store.ok("image", "prune", "-f")
    assert first not in store.ok("images", "-aq", "--no-trunc")


def test_a_running_container_is_stopped_meanwhile_and_goes_on(store, start):
    """Two files that it counts in never differ by more than the moment between two writes."""
    script = "i=0; while :; do i=$((i+1)); echo $i >/a; echo $i >/b; done"
    running = start("live", script=script)
    for turn in range(3):
        store.ok("commit", "live", f"live:{turn}")
        text = store.ok(*RUN, "--rm", f"live:{turn}", "sh", "-c", "cat /a /b")
        one, other = (int(number or -1) for number in (*text.split(), "", "")[:2])
        assert other < 0 or one < 0 or one - other in (0, 1), text
    assert running.poll() is None
    assert "Up" in store.ok("ps", "--format", "{{.Status}}")
    store.ok("commit", "--pause=false", "live", "live:unpaused")
    assert store.ok("diff", "live") == "A /a\nA /b\n"
    process = json.loads((folder_of(store, "live") / "process.json").read_bytes())
    until = time.monotonic() + 60
    while "T" in (below := states(process["pid"])):
        assert time.monotonic() < until, below
        time.sleep(0.01)


def states(pid):
    """The states of all processes below one."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = living.stat(int(name))
        except OSError:
            continue
        found[int(name)] = (int(fields[living.PARENT]), fields[living.STATE].decode())
    below = [pid]
    for one in below:
        below += [number for number, (parent, _) in found.items() if parent == one]
    return [found[one][1] for one in below[1:]]


@pytest.mark.parametrize("flags", [(), ("--rm",), ("--init",), ("-u", "1000")])
def test_every_kind_of_running_container(store, start, flags):
    running = start("live", *flags, script="echo here >/tmp/f; sleep 600 & echo written; wait")
    assert running.stdout.readline() == b"written\n"
    result = store("commit", "live", "kinds")
    assert (result.exit, result.stderr) == (0, "")
    assert store.ok(*RUN, "--rm", "kinds", "cat", "/tmp/f") == "here\n"
    assert running.poll() is None


def test_many_at_once(store, start):
    start("live", script="while :; do date >>/tmp/f; done")
    argvs = [
        *(store.command("commit", "live", f"many:{number}") for number in range(3)),
        *(store.command("commit", "live", "many:same") for _ in range(2)),
        store.command("diff", "live"),
        store.command("commit", "-p=false", "live", "many:unpaused"),
    ]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(argv, stdout=pipe, stderr=pipe, env=store.environment) for argv in argvs
    ]
    for one in started:
        assert one.communicate(timeout=120)[1] == b""
        assert one.returncode == 0
    assert set(store.ok("images", "--format", "{{.Tag}}", "many").split()) == {
        *("0", "1", "2", "same", "unpaused")
    }
    assert "nothing in the store is damaged" in store.ok("system", "check")


def test_killed_in_the_middle_the_container_goes_on(store, start):
    start(
        "live", script="dd if=/dev/urandom of=/big bs=1M count=64 2>/dev/null; echo big; sleep 600"
    )
    process = json.loads((folder_of(store, "live") / "process.json").read_bytes())
    committing = subprocess.Popen(store.command("commit", "live", "never"), env=store.environment)
    until = time.monotonic() + 60
    while "T" not in states(process["pid"]) and committing.poll() is None:
        assert time.monotonic() < until
    committing.kill()
    committing.wait()
    while "T" in states(process["pid"]):
        assert time.monotonic() < until
        time.sleep(0.01)
    store.ok("commit", "live", "after")
    assert os.listdir(store.root / "tmp") == []


def test_removed_while_it_is_committed(store):
    """Either all of it is in the image, or there is none."""
    write = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i >/tmp/f$i; done"
    for number in range(4):
        store.ok(*RUN, "--name", "web", "base", "sh", "-c", write)
        argv = store.command("commit", "web", f"race:{number}")
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, stdout=pipe, stderr=pipe, env=store.environment) as committing:
            time.sleep(0.04 * number)
            store.ok("rm", "web")
            _, stderr = committing.communicate(timeout=120)
        if committing.returncode == 0:
            assert (
                store.ok(*RUN, "--rm", f"race:{number}", "sh", "-c", "ls /tmp | wc -l") == "400\n"
            )
        else:
            assert b"No such container: " in stderr
            assert b"Traceback" not in stderr


MISTAKES = [
    (("commit", "wev"), 1, "No such container: wev"),
    (("commit", "web", "x@sha256:" + "0" * 64), 1, "refusing to create a tag with a digest"),
    (("commit", "web", "Not/Lower"), 1, "Not/Lower"),
    (("commit", "-c", "RUN true", "web"), 1, "RUN is not a valid change command"),
    (("commit", "-c", "EXPOSE abc", "web"), 1, "--change 'EXPOSE abc': 'abc' is not a port"),
    (("commit",), 1, "CONTAINER"),
    (("commit", "web", "a", "b"), 1, "requires"),
    (("diff", "wev"), 1, "No such container: wev"),
    (("diff", "web", "web"), 1, "requires"),
    (("export", "wev"), 1, "No such container: wev"),
    (("export", "-o", "/no/such/folder/f", "web"), 1, "/no/such/folder/f: No such file"),
]


@pytest.mark.parametrize(("words", "code", "told"), MISTAKES, ids=lambda one: str(one)[:40])
def test_mistakes_change_nothing(store, words, code, told):
    store.ok(*RUN, "--name", "web", "base", "true")
    before = store.ok("images", "-aq")
    result = store(*words)
    assert (result.exit, result.stdout) == (code, "")
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert store.ok("images", "-aq") == before
    if "wev" in words:
        assert "did you mean web" in result.stderr or "did you mean 'web'" in result.stderr


def test_a_damaged_container_keeps_its_files(store, worked):
    (folder_of(store, worked) / "state.json").write_text("{}")
    for verb in ("commit", "diff", "export"):
        result = store(verb, worked)
        assert result.exit == 1
        assert "is damaged: state.json" in result.stderr or "No such container" in result.stderr


# export


def members(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: one for one in tar.getmembers()}


def exported(store, name, *flags):
    argv = store.command("export", *flags, name)
    return subprocess.run(argv, env=store.environment, capture_output=True, check=True).stdout


def test_an_export_holds_the_whole_tree_and_no_mount(store, worked, tmp_path):
    found = members(exported(store, worked))
    assert {"n", "n2", "swap/i", "dswap", "d/h", "bin/busybox", "vol", "dev", "proc"} <= set(found)
    assert not {"vol/secret", "bin/ls", "op/z", "d/f", "d/e", "swap/.wh..wh..opq"} & set(found)
    assert found["n2"].islnk()
    assert (found["tmp"].uid, found["tmp"].gid, found["tmp"].mode) == (5, 6, 0o1777)
    assert found["a/p"].isfifo()
    assert found["etc/hosts"].size == 0
    path = tmp_path / "web.tar"
    store.ok("export", "-o", path, worked)
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True)
    assert {line.rstrip("/") for line in listed.stdout.split()} == set(found)
    assert listed.stderr == ""
    assert path.read_bytes() == exported(store, worked)


def test_what_is_exported_can_be_imported(store, worked, tmp_path):
    """The same tree as the commit's, and the export of that is the same again."""
    store.ok("commit", worked, "mine:5")
    argv = store.command("export", worked)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=store.environment) as exporting:
        argv = store.command("import", "-c", 'CMD ["cat","/n"]', "-", "flat")
        subprocess.run(argv, stdin=exporting.stdout, env=store.environment, check=True)
        exporting.stdout.close()
    assert exporting.returncode == 0
    assert store.ok(*RUN, "--rm", "flat") == "new\n"
    found = []
    for name in ("mine:5", "flat"):
        store.ok("save", "-o", tmp_path / "saved.tar", name)
        found.append(trees.Reader().read(tmp_path / "saved.tar").tree)
    ours = {"/vol", "/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    assert {path: line for path, line in found[1].items() if path not in ours} == found[0]


def test_attributes_and_odd_names_are_exported(store):
    store.ok(
        *RUN, "--name", "web", "base", "sh", "-c", "echo x >/f; printf x >$(printf '/\\377\\n')"
    )
    path = folder_of(store, "web") / "diff" / "f"
    child.in_child(lambda: os.setxattr(path, "user.kept", b"\0\xff"))
    argv = store.command("export", "web")
    archive = subprocess.run(argv, env=store.environment, capture_output=True, check=True).stdout
    found = members(archive)
    assert (
        found["f"].pax_headers["SCHILY.xattr.user.kept"].encode("utf-8", "surrogateescape")
        == b"\0\xff"
    )
    assert os.fsdecode(b"\xff") in found  # the shell drops the newline
    assert store.ok("diff", "web") == "A /f\nA /\\xff\n"


def test_an_export_is_not_for_a_terminal(store, worked):
    terminal = Terminal(store.command("export", worked), store.environment)
    terminal.expect("an archive is not for a terminal")
    assert terminal.close() == 1


def test_an_export_into_what_is_no_file(store, worked, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    argv = store.command("export", "-o", tmp_path / "pipe", worked)
    with subprocess.Popen(argv, env=store.environment) as exporting:
        content = (tmp_path / "pipe").read_bytes()
    assert exporting.returncode == 0
    assert (tmp_path / "pipe").is_fifo()
    assert "n2" in members(content)
    argv = store.command("export", worked)
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, env=store.environment) as cut:
        cut.stdout.read(1000)
        cut.stdout.close()
        assert cut.stderr.read() == b""
    assert cut.returncode == 141
    with open("/dev/full", "wb") as full:
        argv = store.command("export", worked)
        failed = subprocess.run(argv, stdout=full, stderr=pipe, env=store.environment, check=False)
    assert (failed.returncode, b"No space left" in failed.stderr) == (1, True)


def test_an_export_of_what_writes_all_the_time(store, start):
    start("live", script="while :; do date >>/tmp/log; rm -f /tmp/x; date >/tmp/x; done")
    for _ in range(3):
        found = members(exported(store, "live"))
        assert "tmp/log" in found
        assert "bin/busybox" in found


def test_docker_and_skopeo_read_what_is_committed(store, worked, tmp_path):
    machine.require("skopeo")
    store.ok("commit", worked, "mine:6")
    path = tmp_path / "mine.tar"
    store.ok("save", "-o", path, "mine:6")
    target = Path(tmp_path / "layout")
    argv = ["skopeo", "--insecure-policy", "copy", f"docker-archive:{path}", f"oci:{target}:x"]
    subprocess.run(argv, check=True, capture_output=True)
    argv = ["skopeo", "inspect", "--config", f"oci:{target}:x"]
    config = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    assert config["history"][-1]["created_by"] == f"sh -c {WORK}"


def test_a_shell_at_a_terminal_does_not_notice(store):
    """Its job is never seen stopped: parents stop first, and go on last."""
    argv = store.command(*RUN, "-it", "--name", "live", "base", "sh")
    terminal = Terminal(argv, {**store.environment, "TERM": "xterm"})
    terminal.type(
        "echo rea''dy; sh -c 'while [ ! -e /tmp/end ]; do sleep 0.1; done'; echo af''ter\r"
    )
    terminal.expect("ready")
    for turn in range(3):
        store.ok("commit", "live", f"shell:{turn}")
    terminal.type("\x03")
    assert "Stopped" not in terminal.expect("# ")
    terminal.type("exit\r")
    terminal.close()


def test_who_cannot_go_on_is_named(capfd):
    """As with a process that has become another user's meanwhile."""

    class Stubborn:
        def end(self):
            return (7, 9)

    commit._resume(Stubborn())
    told = capfd.readouterr().err
    assert told == (
        "warning: process 7 and 9 of the container could not be told to go on: kill -CONT 7 9\n"
    )
