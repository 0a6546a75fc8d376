"""Copying between two roots by docker's rules, while somebody who owns one swaps names in it.

What docker 28 does was looked up for each; e2e/test_cp.py asks the command.
"""

from __future__ import annotations

import ctypes
import io
import os
import signal
import tarfile
from pathlib import Path

import pytest

from rootless import linux, userns
from rootless.container import cp, opened
from rootless.errors import NotFoundError, RootlessError
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids")


@pytest.fixture
def root(tmp_path) -> Path:
    """A container's tree."""
    folder = tmp_path / "root"
    (folder / "w/dir/sub").mkdir(parents=True)
    (folder / "w/exist/dir/old").mkdir(parents=True)
    (folder / "etc").mkdir()
    (folder / "etc/hostname").write_text("the container's\n")
    for name, content in (
        ("dir/a", "a"),
        ("dir/sub/b", "b"),
        ("file", "file"),
        ("exist/old", "old"),
    ):
        (folder / "w" / name).write_text(f"{content}\n")
    for name, target in (
        ("lfile", "file"),
        ("ldir", "dir"),
        ("labs", "/w/dir"),
        ("lbroken", "nope"),
        ("lup", "../../../../etc"),
        ("loop", "loop"),
    ):
        (folder / "w" / name).symlink_to(target)
    os.mkfifo(folder / "w/fifo")
    return folder


@pytest.fixture
def here(tmp_path) -> Path:
    """The host's files."""
    folder = tmp_path / "l"
    (folder / "d1/sub").mkdir(parents=True)
    (folder / "exist/d1").mkdir(parents=True)
    for name in ("d1/f1", "d1/sub/f2", "file"):
        (folder / name).write_text(f"{name}\n")
    (folder / "file").chmod(0o755)
    for name, target in (("rel", "d1/f1"), ("ldir", "d1"), ("lbroken", "nope")):
        (folder / name).symlink_to(target)
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Every path below a folder: what a link leads to, a file's content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_text()
        else:
            found[name] = "/" if path.is_dir() else "|"
    return found


def changed(folder: Path, act) -> dict[str, str]:
    before = tree(folder)
    child.in_child(act)
    after = tree(folder)
    assert before.keys() <= after.keys()
    return {name: what for name, what in after.items() if before.get(name) != what}


def into(root: Path, source: str, target: str, *, follow: bool = False) -> None:
    """`cp SOURCE cq:TARGET`."""
    container = cp.container(os.open(root, os.O_PATH), "cq")
    copied = cp.source(cp.host(os.open("/", os.O_PATH)), source, follow=follow)
    cp.copy(copied, cp.target(container, target, copied), lambda *ids: ids)


def out(root: Path, source: str, target: str, *, follow: bool = False) -> None:
    """`cp cq:SOURCE TARGET`."""
    container = cp.container(os.open(root, os.O_PATH), "cq")
    copied = cp.source(container, source, follow=follow)
    cp.copy(copied, cp.target(cp.host(os.open("/", os.O_PATH)), target, copied), lambda *_: (0, 0))


D1 = {"": "/", "/f1": "d1/f1\n", "/sub": "/", "/sub/f2": "d1/sub/f2\n"}


def below(name: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{name}{path}".lstrip("/"): what for path, what in files.items()}


@pytest.mark.parametrize(
    ("source", "target", "new"),
    [
        ("file", "/w/new", {"w/new": "file\n"}),
        ("file", "/w/exist", {"w/exist/file": "file\n"}),
        ("file", "/w/ldir", {"w/dir/file": "file\n"}),
        ("file", "/w/labs/x", {"w/dir/x": "file\n"}),
        ("file", "/w/lup", {"etc/file": "file\n"}),
        ("file", "/w/lup/hostname", {"etc/hostname": "file\n"}),
        ("file", "/w/lbroken", {"w/nope": "file\n"}),
        ("file", "/w/dir/a", {"w/dir/a": "file\n"}),
        ("file", "/w/fifo", {"w/fifo": "file\n"}),
        ("file", "/", {"file": "file\n"}),
        ("file", "/w/../../../new", {"new": "file\n"}),
        ("d1", "/w/new", below("w/new", D1)),
        ("d1", "/w/new/", below("w/new", D1)),
        ("d1", "/w/exist", below("w/exist/d1", D1)),
        ("d1/", "/w/exist", below("w/exist/d1", D1)),
        ("d1/.", "/w/exist", {k: v for k, v in below("w/exist", D1).items() if k != "w/exist"}),
        ("d1/.", "/w/new", below("w/new", D1)),
        ("rel", "/w/exist", {"w/exist/rel": "-> d1/f1"}),
        ("ldir", "/w/exist", {"w/exist/ldir": "-> d1"}),
        ("ldir/", "/w/exist", below("w/exist/ldir", D1)),
        ("lbroken", "/w/exist", {"w/exist/lbroken": "-> nope"}),
    ],
)
def test_where_files_go_in_a_container(root, here, source, target, new):
    assert changed(root, lambda: into(root, f"{here}/{source}", target)) == new


@pytest.mark.parametrize(
    ("source", "target", "new"),
    [
        ("/w/file", "new", {"new": "file\n"}),
        ("/w/file", "exist/", {"exist/file": "file\n"}),
        ("/w/file", "file", {"file": "file\n"} | {}),
        ("/w/file", "ldir", {"d1/file": "file\n"}),
        ("/w/file", "lbroken", {"nope": "file\n"}),
        ("/w/dir", "new", {"new": "/", "new/a": "a\n", "new/sub": "/", "new/sub/b": "b\n"}),
        ("/w/dir/.", "exist", {"exist/a": "a\n", "exist/sub": "/", "exist/sub/b": "b\n"}),
        ("/w/lfile", "exist", {"exist/lfile": "-> file"}),
        ("/w/labs", "exist", {"exist/labs": "-> /w/dir"}),
        ("/w/lup/hostname", "exist", {"exist/hostname": "the container's\n"}),
        ("/w/lup/.", "new", {"new": "/", "new/hostname": "the container's\n"}),
        ("/w/fifo", "exist", {"exist/fifo": "|"}),
    ],
)
def test_where_files_go_on_the_host(root, here, source, target, new):
    found = changed(here, lambda: out(root, source, f"{here}/{target}"))
    if target == "file":
        assert (here / "file").read_text() == "file\n"
    else:
        assert found == new


def test_followed_links_keep_their_own_names(root, here):
    new = changed(root, lambda: into(root, f"{here}/rel", "/w/exist", follow=True))
    assert new == {"w/exist/rel": "d1/f1\n"}
    new = changed(here, lambda: out(root, "/w/ldir", f"{here}/exist", follow=True))
    assert new == {
        **{"exist/ldir": "/", "exist/ldir/a": "a\n"},
        **{"exist/ldir/sub": "/", "exist/ldir/sub/b": "b\n"},
    }


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("file", "/w/nodir/", "no such directory: cq:/w/nodir/"),
        ("file", "/no/dir/", "no such directory: cq:/no/dir/"),
        ("file", "/w/nodir/x", "Could not find the file /w/nodir in container cq"),
        ("file", "/w/file/", "no such directory: cq:/w/file/"),
        ("d1", "/w/file", "cannot copy directory"),
        ("d1/.", "/w/file", "cannot copy directory"),
        ("d1/.", "/w/nodir/new", "Could not find the file /w/nodir in container cq"),
        ("file/", "/w", "not a directory"),
        ("nope", "/w", "nope: no such file or directory"),
        ("file", "/w/loop", "Too many levels of symbolic links"),
        ("file", "/w/loop/x", "Too many levels of symbolic links"),
        ("file", "/w/exist/old/x", "Could not find the file /w/exist/old in container cq"),
    ],
)
def test_what_cannot_be_copied_into_a_container(root, here, source, target, said):
    before = tree(root)
    with pytest.raises(RootlessError) as caught:
        child.in_child(lambda: into(root, f"{here}/{source}", target))
    assert said in caught.value.message
    assert tree(root) == before


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("/w/file", "nodir/", "no such directory: /tmp/"),
        ("/w/file", "nodir/x", 'nodir" does not exist'),
        ("/w/file", "file/", "file/: not a directory"),
        ("/w/file/", "new", "lstat /w/file/: not a directory"),
        ("/w/dir", "file", "cannot copy directory"),
        ("/w/nope", "exist", "Could not find the file /w/nope in container cq"),
    ],
)
def test_what_cannot_be_copied_out_of_a_container(root, here, source, target, said):
    before = tree(here)
    with pytest.raises(RootlessError) as caught:
        child.in_child(lambda: out(root, source, f"{here}/{target}"))
    assert said in caught.value.message
    assert tree(here) == before


def test_directories_and_others_do_not_take_each_other_s_places(root, here):
    (root / "w/exist/d1").write_text("a file")
    (root / "w/exist/file").mkdir()
    for name, said in (("d1", "non-directory"), ("file", "directory")):
        with pytest.raises(RootlessError, match=f"cannot overwrite {said} "):
            child.in_child(lambda name=name: into(root, f"{here}/{name}", "/w/exist"))
    assert (root / "w/exist/d1").read_text() == "a file"
    assert os.listdir(root / "w/exist/file") == []


def test_modes_times_links_and_holes(root, here, tmp_path):
    (here / "file").chmod(0o6751)
    os.utime(here / "file", (1, 981173106))
    os.link(here / "file", here / "d1/again")
    os.link(here / "file", here / "d1/once-more")
    child.in_child(lambda: into(root, f"{here}/file", "/w/new"))
    found = (root / "w/new").stat()
    assert (found.st_mode & 0o7777, int(found.st_mtime)) == (0o6751, 981173106)
    child.in_child(lambda: into(root, f"{here}/d1", "/w/links"))
    again, once_more = ((root / "w/links" / name).stat() for name in ("again", "once-more"))
    assert again.st_ino == once_more.st_ino


def test_a_name_that_looks_compressed(root, here):
    name = os.fsencode(here) + b"/\x1f\x8b\x08name"
    with open(name, "wb") as file:
        file.write(b"content")
    child.in_child(lambda: into(root, os.fsdecode(name), "/w/exist"))
    with open(os.fsencode(root) + b"/w/exist/\x1f\x8b\x08name", "rb") as file:
        assert file.read() == b"content"


def test_an_archive_has_docker_s_names(root):
    def names(path: str) -> list[str]:
        def body() -> bytes:
            pieces: list[bytes] = []
            side = cp.container(os.open(root, os.O_PATH), "cq")
            cp.pack(cp.source(side, path, follow=False), pieces.append)
            return b"".join(pieces)

        with tarfile.open(fileobj=io.BytesIO(child.in_child(body))) as archive:
            return sorted(archive.getnames())

    assert names("/w/dir") == ["dir", "dir/a", "dir/sub", "dir/sub/b"]
    assert names("/w/dir/.") == [".", "./a", "./sub", "./sub/b"]
    assert names("/w/file") == ["file"]
    assert names("/w/lfile") == ["lfile"]
    assert names("/w/ldir/") == ["ldir", "ldir/a", "ldir/sub", "ldir/sub/b"]


class Exchanger:
    """A process that makes a directory and a link to the victim change places, without end."""

    def __init__(self, folder: Path, victim: Path) -> None:
        (folder / "d").mkdir()
        (folder / "d/f").write_text("the container's")
        (folder / "link").symlink_to(victim)
        self._folder = folder
        self._pid = 0

    def __enter__(self) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            rename = ctypes.CDLL(None).renameat2
            name, link = (os.fsencode(self._folder / one) for one in ("d", "link"))
            while True:
                rename(-100, name, -100, link, 2)

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


@pytest.mark.parametrize("target", ["/w/d/f", "/w/d", "/w/d/"])
def test_a_container_that_swaps_names_leads_nobody_outside(root, here, tmp_path, target):
    """`d` is a directory one moment, a link to the host's victim the next (CVE-2018-15664)."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "f").write_text("the host's")
    before = (victim.stat().st_ctime_ns, (victim / "f").stat().st_ctime_ns)

    def body() -> None:
        with Exchanger(root / "w", victim):
            for _ in range(200):
                try:
                    into(root, f"{here}/file", target)
                except (RootlessError, OSError):
                    continue

    child.in_child(body)
    assert (victim / "f").read_text() == "the host's"
    assert (victim.stat().st_ctime_ns, (victim / "f").stat().st_ctime_ns) == before
    assert os.listdir(victim) == ["f"]


@pytest.mark.parametrize("source", ["/w/d/f", "/w/d", "/w/d/.", "/w"])
def test_nothing_of_the_host_comes_out_of_such_a_container(root, here, tmp_path, source):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "f").write_text("the host's")
    taken = here / "taken"
    taken.mkdir()

    def body() -> None:
        with Exchanger(root / "w", victim):
            for number in range(200):
                try:
                    (taken / str(number)).mkdir()
                    out(root, source, f"{taken}/{number}")
                except (RootlessError, OSError):
                    continue

    child.in_child(body)
    files = [path for path in taken.rglob("f") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if path.read_text() == "the host's"] == []


def test_what_is_not_there_is_not_found(root):
    with pytest.raises(NotFoundError):
        cp.source(cp.container(os.open(root, os.O_PATH), "cq"), "/nope", follow=False)


def supervisor(ready_fd: int, *roots: str) -> None:
    """A process with a child in each root; those that are not / are roots of a namespace's."""
    for root in roots:
        ready = os.pipe()
        if os.fork() == 0:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            if root != "/":
                userns.enter()
                os.chroot(root)
            os.write(ready[1], b"x")
            signal.pause()
        os.read(ready[0], 1)
    os.write(ready_fd, b"x")
    signal.pause()


@pytest.mark.parametrize("inside", [(), ("etc",), ("w", "etc")])
def test_what_is_being_started_has_our_root_which_is_not_looked_into(root, inside):
    """Its process is still one of ours, in mounts of its own: / is this machine's."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        supervisor(write_fd, "/", *(str(root / name) for name in inside))
    os.read(read_fd, 1)
    try:
        if not inside:
            with pytest.raises(RootlessError, match="no process whose files could be reached"):
                opened.running(pid, "/nowhere")
            return
        found = opened.running(pid, "/nowhere")
        assert os.path.samestat(os.fstat(found), (root / inside[0]).stat())
        os.close(found)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read_fd)
        os.close(write_fd)
