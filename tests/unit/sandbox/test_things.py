"""What is put into a tree instead of a mount; what becomes of it is in e2e/test_rung_root.py."""

from __future__ import annotations

import os
import resource
import socket
import stat

import pytest

from rootless.sandbox.errors import SandboxError
from rootless.sandbox.sink import Sink
from rootless.sandbox.things import Copy, Device, Nodes, Shared
from tests.support.child import in_child


def test_a_copy_has_all_but_sockets(tmp_path, monkeypatch):
    source = tmp_path / "source"
    (source / "in").mkdir(parents=True)
    (source / "in/file").write_text("content")
    os.mkfifo(source / "in/pipe", 0o640)
    (source / "in/link").symlink_to("file")
    monkeypatch.chdir(source)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    Copy("/x", str(source)).put(str(tmp_path / "target"), str(tmp_path))
    target = tmp_path / "target"
    assert sorted(str(one.relative_to(target)) for one in target.rglob("*")) == [
        *("in", "in/file", "in/link", "in/pipe"),
    ]
    mode = os.lstat(target / "in/pipe").st_mode
    assert (stat.S_ISFIFO(mode), stat.S_IMODE(mode)) == (True, 0o640)


@pytest.mark.parametrize("kind", [Copy, Shared])
def test_a_directory_is_not_copied_into_itself(tmp_path, kind):
    (tmp_path / "way").symlink_to(tmp_path)
    (tmp_path / "tree").mkdir()
    for source in (tmp_path, tmp_path / "way"):
        with pytest.raises(SandboxError, match="own files are in it"):
            kind("/x", str(source)).put(str(tmp_path / "tree/x"), str(tmp_path))
    (tmp_path / "tre").mkdir()  # a name that another begins with
    kind("/x", str(tmp_path / "tre")).put(str(tmp_path / "tree/x"), str(tmp_path))


def test_a_device_that_may_not_be_made_is_named(tmp_path):
    with pytest.raises(SandboxError, match="the device /dev/zero cannot be given"):
        Device("/x", "/dev/zero").put(str(tmp_path / "x"), str(tmp_path))
    assert not (tmp_path / "x").exists()


def test_an_ordinary_file_does_for_dev_null_where_nobody_may_be_told_of_writes(tmp_path):
    def body() -> list[int]:
        found: list[Sink | None] = []
        for rest in (1, 3):
            folder = tmp_path / str(rest)
            folder.mkdir()
            lowest = os.dup(0)
            os.close(lowest)
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + rest, hard))
            found.append(Nodes().prepare(str(folder)))
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            Nodes().put(str(folder / "dev"), str(folder / "0"))
        return [len(one.fds) if one else 0 for one in found]

    assert in_child(body, enter=False) == [0, 2]
    for rest in ("1", "3"):
        status = (tmp_path / rest / "dev" / "null").stat()
        assert stat.S_ISREG(status.st_mode)
        assert (stat.S_IMODE(status.st_mode), status.st_size) == (0o666, 0)
