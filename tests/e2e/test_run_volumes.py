"""Volumes of containers: seeded, shared, kept or removed with them, and what may be mounted.

What docker 28 does was looked up for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

DOCKERFILE = """FROM busybox
RUN mkdir -p /seed/sub /empty && echo hi > /seed/f && ln -s f /seed/l && mkfifo /seed/p \
 && echo q > '/seed/sub/a b' && chown -R 5:6 /seed && chmod 750 /seed && chmod 4755 /seed/f \
 && ln /seed/f /seed/again && ln -s /seed /seedlink && echo x > /file
VOLUME /seed /empty /nope/deep
"""
LOOK = "cd /seed && stat -c '%a %u:%g %h %F %n' . f l p again sub 'sub/a b' && cat f 'sub/a b'"
SEEDED = [
    "750 5:6 3 directory .",
    "4755 5:6 2 regular file f",
    "777 5:6 1 symbolic link l",
    "644 5:6 1 fifo p",
    "4755 5:6 2 regular file again",
    "755 5:6 2 directory sub",
    "644 5:6 1 regular file sub/a b",
    "hi",
    "q",
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("volumes")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    (folder / "c").mkdir()
    (folder / "c/Dockerfile").write_text(DOCKERFILE)
    command.ok("build", "-t", "seeds", folder / "c")
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def store(loaded):
    """The store without containers and volumes."""
    yield loaded
    loaded("rm", "-f", *loaded.ok("ps", "-aq").split())
    loaded.ok("volume", "prune", "-af")
    loaded("volume", "rm", *loaded.ok("volume", "ls", "-q").split())


def volumes(store) -> list[str]:
    return store.ok("volume", "ls", "-q").split()


def run(store, *words: str) -> str:
    return store.ok("run", "--rm", "--network", "none", *words)


def refused(store, *words: str) -> str:
    result = store("run", "--rm", "--network", "none", *words)
    assert result.exit == 125
    assert "Traceback" not in result.stderr
    return result.stderr


def test_volumes_of_an_image_begin_with_its_files_and_go_with_the_container(store):
    assert run(store, "seeds", "sh", "-c", LOOK).splitlines() == SEEDED
    script = "ls -A /empty /nope/deep; grep -cE ' /(seed|empty|nope/deep) ' /proc/self/mountinfo"
    assert run(store, "seeds", "sh", "-c", script).splitlines()[-1] == "3"
    assert volumes(store) == []


def test_anonymous_volumes_stay_with_a_container_that_stays(store):
    store.ok("run", "--name", "kept", "--network", "none", "-v", "/own", "seeds", "true")
    assert len(volumes(store)) == 4
    looked = json.loads(store.ok("inspect", "kept"))[0]
    assert {one["Destination"] for one in looked["Mounts"]} == {
        *("/seed", "/empty", "/nope/deep", "/own"),
    }
    assert looked["Config"]["Volumes"] == {"/seed": {}, "/empty": {}, "/nope/deep": {}, "/own": {}}
    assert "volume is in use" in store("volume", "rm", volumes(store)[0]).stderr
    assert store.ok("volume", "prune", "-af") == "Total reclaimed space: 0B\n"
    store.ok("rm", "kept")
    assert len(volumes(store)) == 4
    assert store.ok("volume", "prune", "-f").startswith("Deleted Volumes:\n")
    assert volumes(store) == []


def test_rm_v_takes_anonymous_ones_only(store):
    store.ok("create", "--name", "c1", "-v", "/own", "-v", "db:/db", "busybox", "true")
    assert len(volumes(store)) == 2
    store.ok("rm", "-v", "c1")
    assert volumes(store) == ["db"]


def test_a_named_volume_is_seeded_once_and_outlives_its_containers(store):
    assert run(store, "-v", "s1:/seed", "seeds", "sh", "-c", LOOK).splitlines() == SEEDED
    run(store, "-v", "s1:/q", "busybox", "sh", "-c", "rm /q/f; echo new > /q/new")
    assert run(store, "-v", "s1:/seed", "seeds", "ls", "/seed").split() == [
        *("again", "l", "new", "p", "sub"),
    ]
    assert volumes(store) == ["s1"]


def test_what_keeps_a_volume_from_being_seeded(store):
    look = ("stat", "-c", "%a %u:%g", "/seed")
    assert run(store, "-v", "s1:/seed:nocopy", "seeds", *look) == "755 0:0\n"
    mount = "type=volume,src=s2,dst=/seed,volume-nocopy"
    assert run(store, "--mount", mount, "seeds", "ls", "-A", "/seed") == ""
    run(store, "-v", "s3:/other", "seeds", "sh", "-c", "touch /other/x; chown 9:9 /other")
    assert run(store, "-v", "s3:/seed", "seeds", "sh", "-c", "stat -c %u /seed; ls /seed") == (
        "9\nx\n"
    )


def test_a_link_of_the_image_is_followed_inside_it(store):
    assert run(store, "-v", "s1:/seedlink", "seeds", "sh", "-c", LOOK).splitlines() == SEEDED


def test_a_part_of_a_volume(store):
    mount = "type=volume,src=s1,dst=/seed,volume-subpath=sub"
    assert "cannot be shown at /seed: No such file" in refused(
        store, "--mount", mount, "seeds", "ls"
    )
    run(store, "-v", "s1:/seed", "seeds", "true")
    assert run(store, "--mount", mount, "seeds", "ls", "/seed") == "a b\n"
    run(store, "-v", "s1:/q", "busybox", "ln", "-s", "/etc", "/q/out")
    out = mount.replace("=sub", "=out")
    assert "leads out of the volume" in refused(store, "--mount", out, "seeds", "ls", "/seed")


def test_volumes_from_another_container(store, tmp_path):
    (tmp_path / "b").mkdir()
    binds = ("-v", f"{tmp_path}/b:/bound", "-v", "db:/db:ro", "--tmpfs", "/memory")
    store.ok("create", "--name", "data", *binds, "seeds")
    script = "grep -oE ' /(seed|bound|db|memory|empty) r[ow]' /proc/self/mountinfo | sort"
    assert run(store, "--volumes-from", "data", "busybox", "sh", "-c", script).splitlines() == [
        *(" /bound rw", " /db ro", " /empty rw", " /seed rw"),
    ]
    found = run(store, "--volumes-from", "data:ro", "-v", "/empty", "busybox", "sh", "-c", script)
    assert found.splitlines() == [" /bound ro", " /db ro", " /empty rw", " /seed ro"]
    assert "No such container: nope" in refused(store, "--volumes-from", "nope", "busybox", "true")
    assert "in use" in store("volume", "rm", "db").stderr


def test_what_is_bound_is_the_host_s(store, tmp_path):
    bound = tmp_path / "made/deep"
    run(store, "-v", f"{bound}:/b", "busybox", "sh", "-c", "echo x > /b/x")
    assert (bound / "x").read_text() == "x\n"
    mount = f"type=bind,src={bound},dst=/b,readonly"
    assert run(store, "--mount", mount, "busybox", "sh", "-c", "cat /b/x; ! touch /b/y") == "x\n"
    missing = f"type=bind,src={tmp_path}/missing,dst=/b"
    assert "bind source path does not exist" in refused(
        store, "--mount", missing, "busybox", "true"
    )
    assert not (tmp_path / "missing").exists()
    run(store, "-v", f"{bound}:/b:O", "busybox", "sh", "-c", "rm /b/x; touch /b/y")
    assert os.listdir(bound) == ["x"]


def test_a_volume_is_given_to_the_container_s_user(store):
    script = "touch /d/mine && stat -c %u:%g /d /d/mine"
    assert run(store, "-u", "7:8", "-v", "u1:/d:U", "busybox", "sh", "-c", script) == "7:8\n7:8\n"
    assert store.ok("volume", "rm", "u1") == "u1\n"  # whatever ids own the files


def test_volumes_that_are_something_else(store, tmp_path):
    (tmp_path / "f").write_text("there\n")
    bind = ("-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind")
    store.ok("volume", "create", *bind, "b1")
    store.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "t1")
    script = "cat /b/f; df -k /t | tail -1 | awk '{ print $1, $2 }'"
    shown = run(store, "-v", "b1:/b", "-v", "t1:/t", "busybox", "sh", "-c", script)
    assert shown == "there\ntmpfs 1024\n"
    mount = "type=volume,src=t2,dst=/t,volume-opt=type=tmpfs,volume-opt=device=tmpfs"
    assert "tmpfs" in run(store, "--mount", mount, "busybox", "df", "/t")


@pytest.mark.parametrize("target", ["/proc", "/proc/self", "/x/../proc/sys"])
def test_nothing_is_mounted_where_the_kernel_speaks(store, target):
    said = refused(store, "-v", f"v1:{target}", "busybox", "true")
    assert "cannot be mounted because it is inside /proc" in said
    assert volumes(store) == []


def test_an_image_that_wants_a_volume_there(store, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\nVOLUME /own /proc/sys\n")
    store.ok("build", "-t", "evil", tmp_path)
    assert "inside /proc" in refused(store, "evil", "true")
    assert volumes(store) == []
    assert store.ok("ps", "-aq") == ""


def test_a_start_that_fails_leaves_nothing(store):
    assert store("run", "--rm", "-v", "/own", "busybox", "/nope").exit == 127
    store.ok("create", "--name", "taken", "busybox")
    assert "already in use" in store("create", "--name", "taken", "-v", "/own", "busybox").stderr
    assert volumes(store) == []


def test_two_start_with_one_empty_volume(store):
    """Each finds all of what the image has, or what the other has made of it."""
    counts: list[str] = []

    def start() -> None:
        counts.append(run(store, "-v", "s1:/seed", "seeds", "sh", "-c", "ls /seed | wc -l"))

    starters = [threading.Thread(target=start) for _ in range(4)]
    for one in starters:
        one.start()
    for one in starters:
        one.join()
    assert counts == ["5\n"] * 4


def test_a_volume_is_taken_away_beside_starts(store):
    """A container that was made has its volume; one whose volume went fails with a sentence."""
    codes: list[tuple[int, str]] = []
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            store("volume", "rm", "-f", "v1")

    remover = threading.Thread(target=remove)
    remover.start()
    for _ in range(8):
        result = store(
            "run", "--rm", "--network", "none", "-v", "v1:/v", "busybox", "touch", "/v/x"
        )
        codes.append((result.exit, result.stderr))
    stop.set()
    remover.join()
    assert codes == [(0, "")] * 8


def test_a_killed_start_s_anonymous_volume_goes_with_the_next(store):
    command = store.command(
        "run", "--rm", "-i", "--network", "none", "-v", "/own", "busybox", "cat"
    )
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdin.write(b"x\n")
        running.stdin.flush()
        assert running.stdout.readline() == b"x\n"
        assert len(volumes(store)) == 1
        running.kill()
    run(store, "busybox", "true")
    for _ in range(100):
        if not volumes(store):
            break
        run(store, "busybox", "true")
    assert volumes(store) == []


def test_files_of_a_container_are_removed_whatever_ids_own_them(store):
    script = (
        "mkdir -p /d/e /v/d; touch /d/e/f /v/d/f; chown -R 12:34 /d /v; chmod 0 /d/e /v/d /d /v"
    )
    store.ok(
        "run", "--name", "owned", "--network", "none", "-v", "/v", "busybox", "sh", "-c", script
    )
    assert store.ok("rm", "-v", "owned") == "owned\n"
    assert volumes(store) == []
    assert os.listdir(store.root / "containers") == []
    assert os.listdir(store.root / "tmp") == []


def test_prune_and_df_count_volumes(store):
    store.ok(
        "run", "--name", "c1", "-v", "db:/db", "-v", "/own", "busybox", "sh", "-c", "echo x >/db/x"
    )
    line = next(
        one for one in store.ok("system", "df").splitlines() if one.startswith("Local Volumes")
    )
    assert line.split() == ["Local", "Volumes", "2", "2", "2B", "0B", "(0%)"]
    store.ok("rm", "c1")
    said = store.ok("system", "prune", "-f", "--volumes")
    assert "Deleted Volumes:\n" in said
    assert volumes(store) == ["db"]
    shown = json.loads(store.ok("system", "df", "-v", "--format", "json"))["Volumes"]
    assert [(one["Name"], one["Links"], one["Size"]) for one in shown] == [("db", "0", "2B")]


def test_containers_are_listed_by_their_volumes(store, tmp_path):
    store.ok("create", "--name", "c1", "-v", "db:/data", "-v", f"{tmp_path}:/b", "busybox", "true")
    store.ok("create", "--name", "c2", "busybox", "true")
    for value in ("db", "/data", str(tmp_path), "/b"):
        found = store.ok("ps", "-a", "--filter", f"volume={value}", "--format", "{{.Names}}")
        assert found == "c1\n", value
    assert store.ok("ps", "-aq", "--filter", "volume=") == ""
    assert store.ok("ps", "-aq", "--filter", "volume=d") == ""


def test_a_detached_one_takes_its_anonymous_volumes_along(store):
    words = ("-d", "--rm", "--network", "none", "-v", "/own", "-v", "db:/db", "busybox")
    store.ok("run", *words, "sh", "-c", "echo x > /own/x")
    for _ in range(300):
        if volumes(store) == ["db"]:
            break
    assert volumes(store) == ["db"]


def test_a_dry_run_makes_nothing(store, tmp_path):
    bound = tmp_path / "missing"
    words = ("-v", "new:/v", "-v", f"{bound}:/b", "seeds", "true")
    printed = store.ok("run", "--dry-run", "--network", "none", *words)
    assert "/v" in printed
    assert "/nope/deep" in printed
    assert volumes(store) == []
    assert not bound.exists()
    assert store.ok("ps", "-aq") == ""
