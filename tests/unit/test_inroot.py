"""Paths inside a root that does not deserve trust; everything outside stays as it is."""

from __future__ import annotations

import os
import signal
import stat

import pytest

from rootless import inroot


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    yield folder
    assert sorted(os.listdir(folder)) == ["secret"]
    assert (folder / "secret").read_text() == "secret"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def root_fd(root):
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def where(fd: int) -> str:
    path = os.readlink(f"/proc/self/fd/{fd}")
    os.close(fd)
    return path


@pytest.mark.parametrize("path", ["a/b/c", "/a/b/c", "a//b/./c/", "../../a/b/c", "a/x/../b/c"])
def test_directories_are_made(root, root_fd, path):
    (root / "a" / "x").mkdir(parents=True)
    old = os.umask(0o077)
    try:
        assert where(inroot.make_directory(root_fd, path)) == f"{root}/a/b/c"
    finally:
        os.umask(old)
    assert stat.S_IMODE((root / "a" / "b").stat().st_mode) == 0o755
    assert where(inroot.make_directory(root_fd, path)) == f"{root}/a/b/c"


@pytest.mark.parametrize("path", ["", "/", ".", "..", "/../.."])
def test_the_root_itself(root, root_fd, path):
    assert where(inroot.make_directory(root_fd, path)) == str(root)


def test_symbolic_links_end_inside(root, root_fd, outside):
    (root / "abs").symlink_to(outside)
    (root / "up").symlink_to("../outside")
    (root / "chain").symlink_to("abs")
    for name in ("abs", "chain"):
        assert where(inroot.make_directory(root_fd, f"{name}/d")).startswith(f"{root}{outside}")
    assert where(inroot.make_file(root_fd, "up/secret")) == f"{root}/outside/secret"
    assert (root / "outside" / "secret").read_bytes() == b""
    assert inroot.read_file(root_fd, "up/secret") == b""


@pytest.mark.parametrize("target", ["../run/systemd/resolv.conf", "/run/systemd/resolv.conf"])
def test_a_link_to_nothing_is_followed_and_its_target_made(root, root_fd, target):
    (root / "etc").mkdir()
    (root / "etc" / "resolv.conf").symlink_to(target)
    made = where(inroot.make_file(root_fd, "/etc/resolv.conf"))
    assert made == f"{root}/run/systemd/resolv.conf"
    assert (root / "etc" / "resolv.conf").is_symlink()


def test_links_to_nothing_may_be_chained_and_climb(root, root_fd, outside):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("../../../outside/new")
    assert where(inroot.make_directory(root_fd, "a")) == f"{root}/outside/new"


@pytest.mark.parametrize("make", [inroot.make_directory, inroot.make_file])
def test_loops_end(root, root_fd, make):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    (root / "self").symlink_to("self/x")
    for path in ("a", "a/x", "self", "self/x"):
        with pytest.raises(OSError, match="symbolic links"):
            make(root_fd, path)


@pytest.mark.parametrize("make", [inroot.make_directory, inroot.make_file])
def test_a_file_is_no_directory(root, root_fd, make):
    (root / "file").write_text("x")
    with pytest.raises(OSError, match="Not a directory"):
        make(root_fd, "file/x")
    assert (root / "file").read_text() == "x"


def test_the_kernels_own_links_are_not_followed(tmp_path):
    """RESOLVE_IN_ROOT refuses /proc/self/fd/N and /proc/1/cwd (CVE-2024-21626)."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        for path in (f"/proc/self/fd/{held}", "/proc/self/cwd", f"/proc/self/fd/{held}/x"):
            with pytest.raises(OSError, match=r"symbolic links|cross-device"):
                inroot.make_directory(fd, path)
    finally:
        os.close(fd)
        os.close(held)


def test_reading(root, root_fd):
    (root / "f").write_text("0123456789")
    assert inroot.read_file(root_fd, "/f") == b"0123456789"
    assert inroot.read_file(root_fd, "f", limit=3) == b"012"
    assert inroot.read_file(root_fd, "missing") == b""
    assert inroot.read_file(root_fd, "f/x") == b""


def test_reading_what_is_no_file_gives_nothing_and_does_not_hang(root, root_fd, outside):
    os.mkfifo(root / "fifo")
    (root / "directory").mkdir()
    (root / "link").symlink_to(outside / "secret")
    (root / "loop").symlink_to("loop")
    for name in ("fifo", "directory", "link", "loop"):
        assert inroot.read_file(root_fd, name) == b""


@pytest.mark.parametrize("path", ["a/b", "/a/b", "a/b/", "a/b//", "a/b/./."])
def test_split(path):
    parent, name = inroot.split(path)
    assert (parent.strip("/"), name) == ("a", "b")


@pytest.mark.parametrize("path", ["", "/", ".", "a/..", "..", "/."])
def test_what_has_no_last_name(path):
    with pytest.raises(FileNotFoundError):
        inroot.split(path)


def test_no_descriptor_is_left(root, root_fd):
    (root / "a").symlink_to("b/c")
    before = os.listdir("/proc/self/fd")
    os.close(inroot.make_directory(root_fd, "a/d"))
    os.close(inroot.make_file(root_fd, "a/e/f"))
    with pytest.raises(OSError, match="Not a directory"):
        inroot.make_directory(root_fd, "a/e/f/g")
    assert os.listdir("/proc/self/fd") == before


def test_what_others_rename_meanwhile_hides_nothing(root, root_fd, tmp_path):
    """The kernel gives `..` up when anything is renamed anywhere; that is no answer."""
    (root / "a").mkdir()
    (root / "b").touch()
    one, two = tmp_path / "one", tmp_path / "two"
    one.touch()
    renamer = os.fork()
    if renamer == 0:
        while True:
            os.rename(one, two)
            os.rename(two, one)
    try:
        for _ in range(20_000):
            os.close(inroot.open_path(root_fd, "a/../a/../a/../b"))
    finally:
        os.kill(renamer, signal.SIGKILL)
        os.waitpid(renamer, 0)
