"""What is done to a container that runs gives it as little as its start did."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.processes import wait_until

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")
RUN = ("run", "-d", "--network", "none")
OPEN = "for f in /proc/self/fd/* /proc/1/fd/*; do readlink $f; done; true"


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("live")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    command("rm", "-f", *command.ok("ps", "-aq").split())
    child.remove_tree(folder / "store")


@pytest.fixture
def leak(tmp_path):
    """A descriptor of a file of the caller's that everything started with pass_fds inherits."""
    (tmp_path / "leaked-secret").write_text("x")
    fd = os.open(tmp_path / "leaked-secret", os.O_RDWR)
    yield fd
    os.close(fd)


def checks(store, name):
    shown = store.ok("inspect", "-f", "{{json .State.Health.Log}}", name)
    return json.loads(shown) or []


def test_no_descriptor_comes_along_later(store, leak):
    """CVE-2024-21626, CVE-2016-9962: neither by exec nor by a check, nor to process 1."""
    health = ("--health-cmd", OPEN, "--health-interval", "200ms")
    argv = store.command(*RUN, "--name", "open", *health, "busybox", "sleep", "100000")
    given = {"pass_fds": [leak], "env": store.environment, "timeout": 60}
    subprocess.run(argv, **given, check=True, capture_output=True)
    wait_until(lambda: checks(store, "open"), "a check")
    entered = subprocess.run(
        store.command("exec", "open", "sh", "-c", OPEN),
        **given, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for said in (entered.stdout, checks(store, "open")[0]["Output"]):
        assert "/dev/null" in said, "what process 1 reads"
        for line in said.splitlines():
            assert line.startswith(("pipe:", "/dev/null", "/proc/", "socket:")), said
    assert "leaked" not in entered.stdout


@pytest.mark.parametrize(
    "user",
    ["4294967296", "4294967295", "2147483648", "+1", "-1", " 1", "1 ", "0x0", "a:b:c", "nosuch",
     "root:nosuch", "1:-1", "٣", "\t0", "00:0:0"],
)  # fmt: skip
def test_nobody_enters_as_root_by_an_odd_user(store, user):
    """CVE-2016-3697, CVE-2024-40635, for exec."""
    if not store.ok("ps", "-q", "--filter", "name=odd"):
        store.ok(*RUN, "--name", "odd", "busybox", "sleep", "100000")
    answer = store("exec", "-u", user, "odd", "id")
    assert (answer.exit != 0, answer.stdout) == (True, ""), answer
    assert answer.stderr.startswith("error: ")


def test_checks_leave_nothing_open_and_nobody_behind(store):
    """However often it is looked into, the container has the processes that it had."""
    health = ("--health-cmd", "true; :", "--health-interval", "50ms")
    name = store.ok(*RUN, "--name", "checked", *health, "busybox", "sleep", "100000").strip()
    monitor = json.loads((store.root / "containers" / name / "process.json").read_bytes())["pid"]
    status = Path(f"/proc/{monitor}/status")

    def slots():
        """How many descriptors its table has room for: it grows, and never shrinks."""
        (line,) = (one for one in status.read_text().splitlines() if one.startswith("FDSize"))
        return int(line.split()[1])

    seen: set[str] = set()

    def after(count):
        seen.update(one["Start"] for one in checks(store, "checked"))
        return len(seen) >= count

    wait_until(lambda: after(3), "checks")
    before = slots()
    wait_until(lambda: after(60), "more checks", seconds=120)
    assert slots() == before
    for line in store.ok("top", "checked", "-eo", "pid,stat,args").splitlines()[1:]:
        assert "Z" not in line.split()[1], line


@pytest.mark.needs("strace", "unshare")
def test_no_verb_makes_a_file_outside_the_store(store, tmp_path):
    """CVE-2019-12439: a name in a shared /tmp could be somebody's link."""
    store.ok(*RUN, "--name", "worked", "busybox", "sleep", "100000")
    store.ok(*RUN, "--name", "ended", "busybox", "true")
    wait_until(lambda: "worked" in store.ok("ps", "--format", "{{.Names}}"), "it")
    (tmp_path / "file").write_text("x")
    log, within = tmp_path / "log", 0
    trace = ["strace", "-f", "-qq", "-o", log, "-e", "trace=open,openat,openat2,mkdir,mkdirat,"
             "symlink,symlinkat,rename,renameat,renameat2,link,linkat,bind"]  # fmt: skip
    for verb in (
        ("cp", tmp_path / "file", "ended:/x"), ("commit", "ended", "kept"), ("logs", "worked"),
        ("export", "ended", "-o", "/dev/null"), ("volume", "create", "v"), ("diff", "ended"),
        ("network", "create", "n"), ("volume", "rm", "v"), ("network", "rm", "n"),
        ("rename", "ended", "over"), ("save", "kept", "-o", "/dev/null"), ("rm", "over"),
    ):  # fmt: skip
        subprocess.run(
            ["unshare", "--map-root-user", *trace, *store.command(*verb)],
            env={**store.environment, "TMPDIR": "/tmp"}, check=False, capture_output=True,
        )  # fmt: skip
        made = ("O_CREAT", "mkdir", "symlink", "rename", "link(", "linkat", "bind(")
        for line in log.read_text().splitlines():
            if any(one in line for one in made) and ('"/tmp' in line or '"/var/tmp' in line):
                assert str(store.root) in line, (verb, line)
                within += 1
    assert within > 10, "what is made was seen"
    assert "kept" in store.ok("images"), "they have done their work"
