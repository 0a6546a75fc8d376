"""Trees of any kind are taken away, and nothing else; see also integration/test_deletion.py."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from rootless import deletion


def deep(top: str, levels: int, name: str, link: str) -> None:
    """Directories within each other, each with a file and a link in it."""
    os.mkdir(top)
    at = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        os.symlink(link, "link", dir_fd=at)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.fixture
def victim(tmp_path):
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("stays")
    yield folder
    assert (folder / "file").read_text() == "stays"


def test_of_any_depth_with_names_of_any_length_through_no_link(tmp_path, victim):
    top = tmp_path / "top"
    deep(str(top), 3000, "n" * 255, str(victim))
    before = len(os.listdir("/proc/self/fd"))
    deletion.remove(str(top))
    assert not top.exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_wide_and_branched(tmp_path):
    top = tmp_path / "top"
    for outer in range(30):
        for inner in range(20):
            (top / f"{outer}/{inner}/empty").mkdir(parents=True)
            (top / f"{outer}/{inner}/file").touch()
        (top / f"{outer}/fifo-{outer}").touch()
    deletion.remove(bytes(top))
    assert not top.exists()


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o300, 0o600], ids=oct)
def test_directories_that_their_owner_may_not_use(tmp_path, mode):
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/b/file").touch()
    for folder in (top / "a/b", top / "a", top):
        folder.chmod(mode)
    deletion.remove(str(top))
    assert not top.exists()


def test_what_is_no_directory_and_what_is_not_there(tmp_path, victim):
    (tmp_path / "link").symlink_to(victim)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "file", "fifo", "nothing", "nowhere/at/all"):
        deletion.remove(f"{tmp_path}/{name}")
    deletion.remove(f"{tmp_path}/link/nothing/")
    assert os.listdir(tmp_path) == ["victim"]


def test_by_a_name_in_a_directory(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    deletion.remove(b"a", dir_fd=fd)
    os.close(fd)
    assert os.listdir(tmp_path) == []


def test_names_that_are_no_text(tmp_path):
    os.makedirs(bytes(tmp_path) + b"/top/\xff\xfe/\x80")
    deletion.remove(tmp_path / "top")
    assert os.listdir(tmp_path) == []


def test_a_directory_that_becomes_a_link_when_it_is_entered_is_not_followed(
    tmp_path, victim, monkeypatch
):
    (tmp_path / "top/d/e").mkdir(parents=True)
    enter = deletion.linux.openat2

    def swapped(at, name, *flags):
        if os.fsencode(name) == b"d" and not os.path.islink(tmp_path / "top/d"):
            os.rename(tmp_path / "top/d", tmp_path / "top/was")
            os.symlink(victim, tmp_path / "top/d")
        return enter(at, name, *flags)

    monkeypatch.setattr(deletion.linux, "openat2", swapped)
    deletion.remove(tmp_path / "top")
    assert not (tmp_path / "top").exists()


def test_a_directory_that_is_moved_away_leads_nobody_out(tmp_path, victim, monkeypatch):
    """Its `..` is another's then: what lies there is not ours."""
    (tmp_path / "top/a/b/c").mkdir(parents=True)
    (victim / "b").mkdir()  # of the name that would be deleted there
    clear = deletion._clear
    seen: list[object] = []

    def moved(fd):
        seen.append(None)
        if len(seen) == 3:
            os.rename(tmp_path / "top/a/b", victim / "moved")
        return clear(fd)

    monkeypatch.setattr(deletion, "_clear", moved)
    deletion.remove(tmp_path / "top")
    assert not (tmp_path / "top").exists()
    assert sorted(os.listdir(victim)) == ["b", "file", "moved"]


def test_what_comes_meanwhile_goes_too_but_not_for_ever(tmp_path, monkeypatch):
    clear = deletion._clear
    left = [3]

    def adding(fd):
        found = clear(fd)
        if left[0]:
            left[0] -= 1
            os.mkdir("new", dir_fd=fd)
        return found

    monkeypatch.setattr(deletion, "_clear", adding)
    (tmp_path / "top/a").mkdir(parents=True)
    deletion.remove(tmp_path / "top")
    assert not (tmp_path / "top").exists()
    left[0] = 1 << 20
    (tmp_path / "top/a").mkdir(parents=True)
    with pytest.raises(OSError) as caught:
        deletion.remove(tmp_path / "top")
    assert caught.value.errno == errno.ENOTEMPTY


def test_by_several_at_once(tmp_path):
    top = tmp_path / "top"
    for one in range(200):
        (top / f"{one % 10}/{one}/x/y").mkdir(parents=True)
        (top / f"{one % 10}/{one}/x/f").touch()
    failed: list[BaseException] = []

    def run():
        try:
            deletion.remove(top)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    assert not top.exists()
