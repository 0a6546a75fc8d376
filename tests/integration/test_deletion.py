"""What is mounted in a tree is not the tree's."""

from __future__ import annotations

import errno
import os

import pytest

from rootless import deletion, linux
from tests.support import child

pytestmark = pytest.mark.needs("userns")


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_nothing_that_is_mounted_in_a_tree_is_taken_away(tmp_path, kind):
    (tmp_path / "top/in/mounted").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("stays")

    def body():
        target = f"{tmp_path}/top/in/mounted"
        if kind == "tmpfs":
            linux.mount("x", target, "tmpfs")
            os.close(os.open(f"{target}/file", os.O_CREAT | os.O_WRONLY))
        else:
            linux.mount(f"{tmp_path}/other", target, None, linux.MS_BIND)
        try:
            deletion.remove(f"{tmp_path}/top")
        except OSError as error:
            return error.errno, os.listdir(target)
        return None

    assert child.in_child(body) == (errno.EBUSY, ["file"])
    assert (tmp_path / "other/file").read_text() == "stays"


def test_what_is_mounted_in_the_moment_of_entering_is_not_entered(tmp_path):
    """The kernel refuses it to who opens the directory."""
    (tmp_path / "top/in/x").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("stays")

    def body():
        enter = deletion.linux.openat2
        done = []

        def mounting(at, name, *flags):
            if os.fsencode(name) == b"in" and not done:
                done.append(name)
                linux.mount(f"{tmp_path}/other", f"{tmp_path}/top/in", None, linux.MS_BIND)
            return enter(at, name, *flags)

        deletion.linux.openat2 = mounting
        try:
            deletion.remove(f"{tmp_path}/top")
        except OSError as error:
            return error.errno
        return None

    assert child.in_child(body) == errno.EBUSY
    assert (tmp_path / "other/file").read_text() == "stays"


def test_files_of_other_ids_go_where_one_is_root(tmp_path):
    def body():
        for uid, mode in ((5, 0o000), (6, 0o500)):
            os.makedirs(f"{tmp_path}/top/{uid}/in")
            os.chown(f"{tmp_path}/top/{uid}", uid, uid)
            os.chmod(f"{tmp_path}/top/{uid}", mode)
        deletion.remove(f"{tmp_path}/top")
        return os.listdir(tmp_path)

    assert child.in_child(body) == []
