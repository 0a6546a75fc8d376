"""Leases: who holds what, and until when."""

from __future__ import annotations

import os
import signal

import pytest

from rootless.oci.digest import Digest
from rootless.store import Store, lease

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def held(store):
    return sorted("".join(lease.living(Store(store.root))).split())


def in_fork(body):
    """`body()` in a forked process that then waits to be killed; its process id."""
    read_fd, write_fd = os.pipe()
    if (pid := os.fork()) == 0:
        body()
        os.write(write_fd, b"x")
        signal.pause()
    os.close(write_fd)
    assert os.read(read_fd, 1) == b"x"
    os.close(read_fd)
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_is_held_is_written_once(store):
    store.hold([ONE])
    store.hold([ONE, TWO, TWO])
    assert held(store) == sorted([str(ONE), str(TWO)])
    assert len(os.listdir(store.path("leases"))) == 1
    assert os.listdir(store.path("tmp")) == []


def test_letting_go_takes_the_file_away(store):
    store.hold([ONE])
    store.let_go()
    assert os.listdir(store.path("leases")) == []
    store.hold([TWO])
    assert held(store) == [str(TWO)]


def test_a_killed_owner_holds_nothing_and_its_file_goes(store):
    store.create()
    pid = in_fork(lambda: store.hold([ONE]))
    assert held(store) == [str(ONE)]
    end(pid)
    assert held(store) == []
    assert os.listdir(store.path("leases")) == []


def test_a_fork_adds_to_the_lease_of_its_parent_and_keeps_it(store):
    store.hold(())
    pid = in_fork(lambda: store.hold([ONE]))
    assert len(os.listdir(store.path("leases"))) == 1
    end(pid)
    assert held(store) == [str(ONE)], "the parent goes on with what the fork made"


def test_the_next_lease_clears_away_dead_ones(store):
    store.create()
    for _ in range(3):
        end(in_fork(lambda: Store(store.root).hold([ONE])))
        assert len(os.listdir(store.path("leases"))) == 1
    store.hold([TWO])
    assert held(store) == [str(TWO)]


@pytest.mark.parametrize("content", ["", "\n\n", "rubbish\nsha256:12\n\0\xff"])
def test_a_file_that_nobody_holds_means_nothing(store, content):
    store.create()
    with open(store.path("leases/other"), "w") as file:
        file.write(content)
    assert held(store) == []
    assert os.listdir(store.path("leases")) == []


def test_what_is_no_file_is_no_lease_and_stops_nothing(store):
    store.create()
    os.mkdir(store.path("leases/folder"))
    os.symlink("/etc/passwd", store.path("leases/link"))
    os.mkfifo(store.path("leases/pipe"))
    store.hold([ONE])
    assert held(store) == [str(ONE)]


def test_a_line_that_a_full_disk_cut_short_does_not_spoil_the_next(store):
    store.hold([ONE])
    (name,) = os.listdir(store.path("leases"))
    with open(store.path("leases", name), "a") as file:
        file.write("sha256:abc")
    store.hold([TWO])
    assert str(TWO) in held(store)


def test_a_store_of_an_older_version_has_no_folder_for_them(store):
    store.create()
    os.rmdir(store.path("leases"))
    assert held(store) == []
    store.hold([ONE])
    assert held(store) == [str(ONE)]
