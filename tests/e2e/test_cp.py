"""`cp` on the command line: which word is a container's, running and stopped ones, a tar in a pipe.

Where things go is integration/test_cp.py's.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

PREPARE = (
    "mkdir -p /w/dir/sub; cd /w; echo a > dir/a; echo b > dir/sub/b; echo file > file; "
    "chown 5:6 file; chmod 4750 file; ln -s file lfile; ln -s dir ldir"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("cp")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    (folder / "bound").mkdir()
    mounts = ("-v", "vol:/vol", "-v", f"{folder}/bound:/bound:ro", "--tmpfs", "/memory")
    words = ("--network", "none", "-u", "7:8", *mounts, "busybox", "sh", "-c")
    command.ok(
        "run", "--name", "stopped", "-u", "0", *words[:2], *mounts, "busybox", "sh", "-c", PREPARE
    )
    live = f"{PREPARE}; while :; do sleep 1000; done"
    command.ok(
        "run",
        "-d",
        "--name",
        "running",
        "-u",
        "0",
        *words[:2],
        *mounts,
        "busybox",
        "sh",
        "-c",
        live,
    )
    command.ok("create", "--name", "created", *words, "true")
    wait = ("cp", "running:/w/ldir", "-")
    for _ in range(200):
        if command(*wait).exit == 0:
            break
    yield command
    command("rm", "-f", "running")
    child.remove_tree(folder / "store")


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "d1/sub").mkdir(parents=True)
    (tmp_path / "d1/f").write_text("f\n")
    (tmp_path / "file").write_text("here\n")
    (tmp_path / "c:x").write_text("colon\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def archive(store, *words: str) -> dict[str, tuple[int, int, bytes]]:
    command = store.command("cp", *words, "-")
    data = subprocess.run(command, capture_output=True, env=store.environment, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            one.name: (one.uid, one.mode, tar.extractfile(one).read() if one.isreg() else b"")
            for one in tar
        }


@pytest.mark.parametrize("name", ["stopped", "running"])
def test_both_ways(store, here, name):
    store.ok("cp", "d1", f"{name}:/w/new")
    store.ok("cp", f"{name}:/w/new/.", "back")
    assert (here / "back/f").read_text() == "f\n"
    assert sorted(os.listdir(here / "back")) == ["f", "sub"]
    assert archive(store, f"{name}:/w/new") == {
        "new": (0, 0o755, b""),
        "new/f": (0, 0o644, b"f\n"),
        "new/sub": (0, 0o755, b""),
    }
    store.ok("cp", f"{name}:w/file", "file")
    assert (here / "file").read_text() == "file\n"
    assert (here / "file").stat().st_uid == os.getuid()
    assert archive(store, f"{name}:/w/file") == {"file": (5, 0o4750, b"file\n")}
    assert list(archive(store, "-L", f"{name}:/w/lfile")) == ["file"]
    assert list(archive(store, f"{name}:/w/lfile")) == ["lfile"]


@pytest.mark.parametrize("name", ["stopped", "running"])
def test_what_is_mounted_is_part_of_it(store, here, name):
    store.ok("cp", "file", f"{name}:/vol/{name}")
    assert (store.root / f"volumes/vol/data/{name}").read_text() == "here\n"
    refused = store("cp", "file", f"{name}:/bound/")
    assert refused.exit == 1
    assert "Read-only file system" in refused.stderr
    assert archive(store, f"{name}:/vol/{name}")[name][2] == b"here\n"


def test_memory_of_a_running_one(store, here):
    store.ok("cp", "file", "running:/memory/x")
    assert archive(store, "running:/memory/x") == {"x": (0, 0o644, b"here\n")}


def test_one_that_was_never_started(store, here):
    store.ok("cp", "-a", "d1", "created:/tmp/")
    assert {name: uid for name, (uid, *_) in archive(store, "created:/tmp/d1").items()} == {
        **{"d1": 7, "d1/f": 7, "d1/sub": 7},
    }


@pytest.mark.parametrize("name", ["stopped", "running"])
def test_an_archive_from_a_pipe(store, here, name):
    made = subprocess.run(
        ["tar", "-czf", "-", "--owner=9", "--group=9", "d1"], capture_output=True, check=True
    ).stdout
    command = store.command("cp", "-", f"{name}:/w/dir")
    subprocess.run(command, input=made, env=store.environment, check=True)
    assert archive(store, f"{name}:/w/dir/d1/f") == {"f": (9, 0o644, b"f\n")}
    for target in ("/w/file", "/w/nope"):
        refused = store("cp", "-", f"{name}:{target}")
        assert refused.exit == 1
        assert f'destination "{name}:{target}" must be a directory' in refused.stderr
    refused = store("cp", "-", f"{name}:/w", stdin="hello")
    assert refused.exit == 1
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("file", "other"), "must specify at least one container source"),
        (("-", "-"), "must specify at least one container source"),
        (("stopped:/w", "running:/w"), "copying between containers is not supported"),
        (("c:x", "stopped:/w"), "copying between containers is not supported"),
        (("file", "nope:/w"), "No such container: nope"),
        (("nope:/w", "."), "No such container: nope"),
        (("file", "stopped:"), "no such directory: stopped:"),
        (("file", "stopped:no/dir/"), "no such directory: stopped:/no/dir/"),
        (("stopped:/w/nope", "."), "Could not find the file /w/nope in container stopped"),
        (("missing", "stopped:/w"), "missing: no such file or directory"),
        (("stopped:/w/file", "no/x"), 'directory "'),
    ],
)
def test_what_is_wrong_is_named(store, here, words, said):
    refused = store("cp", *words)
    assert refused.exit == 1
    assert said in refused.stderr


def test_a_path_with_a_colon(store, here):
    store.ok("cp", "./c:x", "stopped:/w/")
    assert list(archive(store, "stopped:/w/c:x")) == ["c:x"]


def test_a_container_is_started_after_somebody_wrote_to_it(store, here):
    store.ok("create", "--name", "later", "--network", "none", "busybox", "cat", "/tmp/d1/f")
    store.ok("cp", "d1", "later:/tmp")
    assert store.ok("start", "-a", "later") == "f\n"
    store.ok("rm", "later")


@pytest.mark.parametrize("userns", ["auto", "keep-id", "nomap"])
def test_a_container_with_ids_of_its_own(store, here, userns):
    """What goes in belongs to its root or, with -a, its user; what comes out is the user's own."""
    (here / "file").chmod(0o600)
    words = ("--network", "none", f"--userns={userns}", "-u", "7:8", "busybox")
    store.ok("run", "-d", "--name", "live-ids", *words, "sleep", "1000")
    store.ok("create", "--name", "ids", *words, "stat", "-c", "%u:%g", "/tmp/file")
    try:
        for name in ("live-ids", "ids"):
            store.ok("cp", "file", f"{name}:/tmp/")
            assert archive(store, f"{name}:/tmp/file") == {"file": (0, 0o600, b"here\n")}
            store.ok("cp", "-a", "file", f"{name}:/tmp/")
            assert archive(store, f"{name}:/tmp/file") == {"file": (7, 0o600, b"here\n")}
            store.ok("cp", f"{name}:/tmp/file", "back")
            assert (here / "back").stat().st_uid == os.getuid()
        assert store.ok("start", "-a", "ids") == "7:8\n"
    finally:
        store("rm", "-f", "live-ids", "ids")


def test_a_container_whose_process_1_is_ours(store, here):
    """--init lets nobody look into it: its child does."""
    words = ("-d", "--init", "--name", "init", "--network", "none", "-u", "5", "busybox")
    store.ok("run", *words, "sleep", "1000")
    try:
        store.ok("cp", "file", "init:/tmp/")
        assert archive(store, "init:/tmp/file") == {"file": (0, 0o644, b"here\n")}
    finally:
        store("rm", "-f", "init")


@pytest.mark.needs("strace", "unshare")
def test_nothing_of_the_image_is_loaded(store, here, tmp_path):
    """Once a process has made a container's directory its root, it opens no code (CVE-2019-14271).

    By root of a namespace around: strace keeps a user's newuidmap from its rights.
    """
    log = tmp_path / "log"
    for words in (("d1", "stopped:/w/traced"), ("stopped:/w/dir", "out")):
        trace = ["strace", "-f", "-qq", "-o", log, "-e", "trace=chroot,openat,execve"]
        subprocess.run(
            ["unshare", "--map-root-user", "--map-auto", *trace, *store.command("cp", *words)],
            env=store.environment, check=False, capture_output=True,
        )  # fmt: skip
        rooted: set[str] = set()
        opened: list[str] = []
        for line in log.read_text().splitlines():
            pid, _, call = line.partition(" ")
            if call.strip().startswith("chroot("):
                rooted.add(pid)
            elif pid in rooted and not call.strip().startswith("+++"):
                opened.append(call)
        assert rooted, log.read_text()[-2000:]
        code = [call for call in opened if ".so" in call or ".py" in call or "execve" in call]
        assert code == []
