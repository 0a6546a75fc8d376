"""Files that others change while a COPY reads them: the image has what was read, and its layer is
recorded under the digest of just that."""

from __future__ import annotations

import os

import pytest

from rootless.build.carry.copy import Placement, Target
from rootless.build.inputs import tree
from rootless.build.inputs.context import Context
from rootless.errors import RootlessError

LONG = "long " * 100_000


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "context"
    (root / "d" / "deep").mkdir(parents=True)
    (root / "a").write_text("one")
    (root / "big").write_text(LONG)
    (root / "d" / "b").write_text("two")
    (root / "d" / "deep" / "c").write_text("three")
    os.link(root / "a", root / "second")
    return root


def replace(path, make):
    path.unlink()
    make(path)


def keep_time(path, text):
    before = os.stat(path)
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(folder):
    for path in (folder / "d" / "deep" / "c", folder / "d" / "b"):
        path.unlink()
    (folder / "d" / "deep").rmdir()
    (folder / "d").rmdir()


CHANGES = {
    "grown": lambda folder: (folder / "d" / "b").write_text("two and more"),
    "shrunk": lambda folder: (folder / "big").write_text("short"),
    "emptied": lambda folder: (folder / "big").write_text(""),
    "same size and time": lambda folder: keep_time(folder / "d" / "b", "TWO"),
    "vanished": lambda folder: (folder / "d" / "b").unlink(),
    "replaced": lambda folder: replace(folder / "d" / "b", lambda path: path.write_text("new")),
    "a link": lambda folder: replace(folder / "d" / "b", lambda path: os.symlink("/etc", path)),
    "a pipe": lambda folder: replace(folder / "d" / "b", os.mkfifo),
    "a directory": lambda folder: replace(folder / "d" / "b", os.mkdir),
    "a folder less": remove,
    "one name of two": lambda folder: replace(folder / "a", lambda path: path.write_text("new")),
    "both names": lambda folder: (folder / "second").write_text("new"),
}


class Copied:
    """The context copied to `target`; `meanwhile` happens when all is looked up and hashed."""

    def __init__(self, folder, target, meanwhile, settled=None):
        target.mkdir()
        context = Context(str(folder), None, "/nonexistent")
        if settled is not None:
            context._settled = settled
        try:
            sources = tree.select(context.fd, ".")
            self.before = context.digest(sources)
            meanwhile(folder)
            changes = context.changes()
            root_fd = os.open(target, os.O_RDONLY)
            owner = (os.getuid(), os.getgid())
            Target(root_fd, Placement(owner), changes).place(sources, context.fd, "/")
            os.close(root_fd)
            self.after = context.digest(sources, changes)
            self.names = changes.names
        finally:
            os.close(context.fd)


def digest(folder):
    context = Context(str(folder), None, "/nonexistent")
    try:
        return context.digest(tree.select(context.fd, "."))
    finally:
        os.close(context.fd)


@pytest.fixture(autouse=True)
def any_mode():
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("settled", [None, 1 << 62], ids=["fresh", "settled"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_key_is_that_of_what_was_copied(folder, tmp_path, change, settled):
    done = Copied(folder, tmp_path / "copy", CHANGES[change], settled)
    (tmp_path / "copy").chmod(os.stat(folder).st_mode & 0o7777)
    assert done.after != done.before
    assert done.after == digest(tmp_path / "copy")
    assert len(done.names) >= 1


def test_a_change_that_no_time_shows_is_seen_in_a_fresh_file(folder, tmp_path, monkeypatch):
    """The kernel's clock may stand still between a write, our reading, and one more write."""
    monkeypatch.setattr("rootless.build.inputs.context._identity", lambda _found: (1,))
    done = Copied(folder, tmp_path / "copy", CHANGES["same size and time"], 0)
    (tmp_path / "copy").chmod(os.stat(folder).st_mode & 0o7777)
    assert (tmp_path / "copy" / "d" / "b").read_text() == "TWO"
    assert done.after == digest(tmp_path / "copy")


def test_what_was_only_touched_keeps_its_key(folder, tmp_path):
    done = Copied(folder, tmp_path / "copy", lambda folder: os.utime(folder / "a"))
    assert done.after == done.before


def test_a_file_that_never_ends_is_copied_as_long_as_it_was(tmp_path, monkeypatch):
    log = tmp_path / "context" / "log"
    log.parent.mkdir()
    log.write_text(LONG)
    read = os.read

    def grow_and_read(fd, size):
        with open(log, "a") as file:
            file.write(LONG)
        return read(fd, size)

    monkeypatch.setattr("rootless.build.inputs.context.contents.of_file", lambda _fd: "0")
    monkeypatch.setattr(os, "read", grow_and_read)
    Copied(log.parent, tmp_path / "copy", lambda _folder: None)
    assert (tmp_path / "copy" / "log").read_text() == LONG


@pytest.mark.parametrize("change", ["vanished", "a pipe", "a directory"])
def test_a_file_that_is_named_must_be_there(folder, tmp_path, change):
    context = Context(str(folder), None, "/nonexistent")
    sources = tree.select(context.fd, "d/b")
    CHANGES[change](folder)
    target = Target(context.fd, Placement((os.getuid(), os.getgid())), context.changes())
    with pytest.raises(RootlessError, match="d/b vanished while the build ran"):
        target.place(sources, context.fd, "/x")
    os.close(context.fd)
