"""Files that a command writes: whole or not at all, and nothing beside them."""

from __future__ import annotations

import errno
import os
import signal
import stat

import pytest

from rootless.cli import files
from rootless.errors import RootlessError


def write(path: str, content: bytes) -> None:
    with files.replacing(path) as fd:
        os.write(fd, content)


@pytest.fixture(params=["nameless", "named"])
def kind(request, monkeypatch):
    """Whether the file system knows files without a name."""
    if request.param == "named":
        real = os.open

        def refusing(path, flags, *rest, **options):
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return real(path, flags, *rest, **options)

        monkeypatch.setattr(os, "open", refusing)
    return request.param


def test_it_appears_and_replaces(tmp_path, kind):
    old = os.umask(0o027)
    try:
        write(f"{tmp_path}/x", b"one")
        write(f"{tmp_path}/x", b"two")
    finally:
        os.umask(old)
    assert (tmp_path / "x").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["x"]


def test_a_link_is_replaced_and_not_followed(tmp_path, kind):
    (tmp_path / "there").write_text("kept")
    (tmp_path / "x").symlink_to("there")
    write(f"{tmp_path}/x", b"new")
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "x").is_symlink()


def test_an_error_changes_nothing(tmp_path, kind):
    (tmp_path / "x").write_text("kept")
    with pytest.raises(ZeroDivisionError), files.replacing(f"{tmp_path}/x") as fd:
        os.write(fd, b"half")
        raise ZeroDivisionError
    assert (tmp_path / "x").read_text() == "kept"
    assert os.listdir(tmp_path) == ["x"]


def test_what_cannot_be_replaced_is_told(tmp_path, kind):
    (tmp_path / "x").mkdir()
    with pytest.raises(RootlessError, match="x: Is a directory"):
        write(f"{tmp_path}/x", b"new")
    assert os.listdir(tmp_path) == ["x"]


def test_who_is_killed_leaves_nothing(tmp_path):
    (tmp_path / "x").write_text("kept")
    pid = os.fork()
    if pid == 0:
        with files.replacing(f"{tmp_path}/x") as fd:
            os.write(fd, b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert (tmp_path / "x").read_text() == "kept"
    assert os.listdir(tmp_path) == ["x"]
