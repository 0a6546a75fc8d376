"""`ns`: a running container beside this machine, in words."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("ns")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    for name in command.ok("ps", "-aq").split():
        command("rm", "-f", name)
    child.remove_tree(folder / "store")


def told(store, name: str, *flags: str) -> dict[str, list[str]]:
    """The lines of `ns`, by their first word, each as its columns."""
    store.ok("run", "-d", "--name", name, "--network", "none", *flags, "busybox", "sleep", "600")
    text = store.ok("ns", name)
    store.ok("rm", "-f", name)
    lines = [[one.strip() for one in line.split("  ") if one.strip()] for line in text.splitlines()]
    return {line[0]: line[1:] for line in reversed(lines) if line}


def test_a_container_as_usual(store, tmp_path):
    found = told(store, "usual", "-v", f"{tmp_path}:/data:ro")
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        number = os.readlink(f"/proc/self/ns/{kind}").partition("[")[2].rstrip("]")
        assert found[kind][1].startswith("its own, ")
        assert found[kind][2] == number
    assert found["uids"] == [f"0 = the machine's {os.getuid()}", "all of them"]
    assert found["runs as"][0] == "0:0, groups 0"
    assert found["capabilities"][0] == "the usual 14"
    assert found["hands on"][0] == "none"
    assert found["system calls"] == ["those of rootless's filter", "all of them"]
    assert found["/"] == ["read, write", "the image's layers, under its own files"]
    assert found["/proc/sys"] == ["read", "only to be read"]
    assert found["/dev/null"] == ["read, write", "the machine's /dev/null"]
    assert found["/data"][0] == "read"
    assert str(tmp_path).rpartition("/")[2] in found["/data"][1]
    assert "hidden" in {columns[-1] for columns in found.values() if columns}


def test_one_that_is_less_apart(store):
    flags = ("--pid=host", "--uts=host", "--privileged", "--security-opt", "no-new-privileges")
    found = told(store, "less", *flags, "--userns=keep-id:uid=7,gid=8")
    assert found["pid"][1] == found["uts"][1] == "the machine's"
    assert found["ipc"][1].startswith("its own")
    assert found["runs as"][0] == "7:8, groups 8"
    assert found["capabilities"][0] == "none"
    assert found["could have"][0].startswith("all ")
    assert found["new powers by exec"][0] == "never"
    assert found["system calls"][0] == "all of them"


def test_one_that_does_not_run(store):
    store.ok("create", "--name", "still", "busybox", "true")
    done = store("ns", "still")
    assert (done.exit, "is not running" in done.stderr) == (1, True)
    assert "rootless start still" in done.stderr
    assert store("ns", "nosuch").exit == 1
    assert store("ns").exit != 0


@pytest.mark.parametrize("flags", [("--userns=keep-id",), ("--userns=auto",), ("--pid=host",)])
def test_such_containers_are_stopped_and_removed(store, flags):
    """Whoever they are inside, they are the user's to end."""
    for verb in (("stop", "-t", "0"), ("kill",), ("rm", "-f")):
        store.ok(
            "run", "-d", "--name", "ended", "--network", "none", *flags, "busybox", "sleep", "600"
        )
        store.ok(*verb, "ended")
        store("rm", "-f", "ended")
        assert "ended" not in store.ok("ps", "-a", "--format", "{{.Names}}").split()
