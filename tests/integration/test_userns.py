"""Entering the user namespace: what this process is afterwards, and the words when it cannot."""

from __future__ import annotations

import errno
import os
import pickle
import socket
from pathlib import Path

import pytest

from rootless import complaints, doctor, linux, programs, userns
from rootless.errors import RootlessError
from rootless.linux import SyscallError
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns")


def entered() -> dict[str, object]:
    ids = userns.enter()
    return {
        "ids": (os.getresuid(), os.getresgid()),
        "map": [tuple(map(int, line.split())) for line in open("/proc/self/uid_map")],
        "uids": ids.uids,
        "namespaces": tuple(os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt")),
        "shared": "shared:" in Path("/proc/self/mountinfo").read_text(),
        "children": Path("/proc/self/task").exists() and _children(),
    }


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def test_this_process_becomes_root_of_namespaces_of_its_own():
    seen = in_child(entered, enter=False)
    assert seen["ids"] == ((0, 0, 0), (0, 0, 0))
    assert tuple(seen["map"]) == seen["uids"]
    assert seen["uids"][0] == (0, os.getuid(), 1)
    assert seen["children"] == ""
    for kind, inside in zip(("user", "mnt"), seen["namespaces"], strict=True):
        assert inside != os.readlink(f"/proc/self/ns/{kind}")
    assert not seen["shared"], "a mount made inside must not travel out"


@pytest.mark.needs("subids")
def test_the_subordinate_ids_can_be_used():
    def body() -> tuple[int, ...]:
        ids = userns.enter()
        path = f"/tmp/rootless-test-{os.getpid()}"
        os.close(os.open(path, os.O_CREAT))
        found = []
        for uid in (1, ids.size - 1, 0):
            os.chown(path, uid, uid)
            found.append(os.stat(path).st_uid)
        os.unlink(path)
        return (*found, ids.size)

    first, last, own, size = in_child(body, enter=False)
    assert (first, last, own) == (1, size - 1, 0)
    assert size > 65536


def test_it_can_be_entered_again_from_within():
    def body() -> tuple[int, ...]:
        userns.enter()
        return os.getresuid()

    assert in_child(body) == (0, 0, 0)


def test_descriptors_are_as_they_were():
    def body() -> bool:
        before = os.listdir("/proc/self/fd")
        userns.enter()
        return os.listdir("/proc/self/fd") == before

    assert in_child(body, enter=False)


def test_without_newuidmap_only_the_own_id_is_mapped(monkeypatch):
    monkeypatch.setattr(programs, "SYSTEM_PATH", "/nowhere")

    def body() -> tuple[object, ...]:
        ids = userns.enter()
        return ids.uids, ids.is_range, Path("/proc/self/setgroups").read_text(), os.getuid()

    uids, is_range, setgroups, uid = in_child(body, enter=False)
    assert (uids, is_range, setgroups, uid) == (((0, os.getuid(), 1),), False, "deny\n", 0)


class Holder:
    """A process that has entered, and lives until it is told to end."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self._socket = here
        self.pid = os.fork()
        if self.pid == 0:
            here.close()
            there.sendall(pickle.dumps(userns.enter()))
            there.recv(1)
            os._exit(0)
        there.close()
        self.ids = pickle.loads(here.recv(1 << 16))

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.send(b"x")
        self._socket.close()
        os.waitpid(self.pid, 0)


def joined(pid: int) -> dict[str, object]:
    ids = userns.join(pid)
    path = f"/tmp/rootless-test-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT))
    os.chown(path, ids.size - 1, ids.size - 1)
    owner = os.stat(path).st_uid
    os.unlink(path)
    Path("/tmp/rootless-joined").mkdir(exist_ok=True)
    linux.mount("none", "/tmp/rootless-joined", "tmpfs")
    return {
        "ids": (os.getresuid(), os.getresgid()),
        "map": ids,
        "namespaces": tuple(os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt")),
        "shared": "shared:" in Path("/proc/self/mountinfo").read_text(),
        "owner": owner,
        "net": in_child(new_network, enter=False),
    }


def new_network() -> bool:
    linux.unshare(linux.CLONE_NEWNET)
    return True


def test_another_process_joins_it():
    with Holder() as holder:
        seen = in_child(lambda: joined(holder.pid), enter=False)
        user, mounts = (os.readlink(f"/proc/{holder.pid}/ns/{kind}") for kind in ("user", "mnt"))
        assert "rootless-joined" not in Path("/proc/self/mountinfo").read_text()
        assert "rootless-joined" not in Path(f"/proc/{holder.pid}/mountinfo").read_text()
    assert seen["ids"] == ((0, 0, 0), (0, 0, 0))
    assert seen["map"] == holder.ids
    assert seen["owner"] == holder.ids.size - 1
    assert seen["net"], "it must have every capability there"
    assert seen["namespaces"][0] == user
    assert seen["namespaces"][1] != mounts
    assert not seen["shared"]


def test_the_joined_namespace_outlives_the_first():
    with Holder() as holder:
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            here.close()
            userns.join(holder.pid)
            there.send(b"x")
            there.recv(1)
            os._exit(0)
        there.close()
        assert here.recv(1) == b"x"
    ids = in_child(lambda: userns.join(pid), enter=False)
    assert ids == holder.ids
    here.close()
    os.waitpid(pid, 0)


def test_what_cannot_be_joined_is_named():
    with Holder() as holder:
        pass
    for pid, why in ((holder.pid, "has ended"), (1, "not yours"), (os.getpid(), "none of its")):
        with pytest.raises(RootlessError, match=f"process {pid} cannot be joined.*{why}"):
            in_child(lambda pid=pid: userns.join(pid), enter=False)


def test_refusals_are_sentences_with_a_cure():
    for number in (errno.EPERM, errno.ENOSPC):
        error = complaints.explain_userns(SyscallError(number, "unshare", "0x10000000"), "me")
        assert "user namespace" in error.message
    for layers, number in ((501, errno.EINVAL), (3, errno.EINVAL), (3, errno.EPERM)):
        error = complaints.explain_overlay(OSError(number, os.strerror(number)), layers)
        assert ("500" in error.message) == (layers == 501)
    disk = complaints.explain_storage(OSError(errno.ENOSPC, "full"), "/x")
    assert "/x" in disk.message
    assert "system prune" in disk.hint


def test_every_check_has_a_cure_when_it_fails():
    checks = doctor.checks("")
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.detail
        assert check.ok or check.hint, check


@pytest.mark.needs("userns", "subids")
def test_without_new_privileges_there_is_one_id():
    """newuidmap's setuid bit means nothing then; what needs one id goes on working."""

    def body():
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        [check] = [check for check in doctor.checks("") if check.name == "ids"]
        return userns.enter().is_range, os.getuid(), check.ok, check.detail

    is_range, uid, ok, detail = in_child(body, enter=False)
    assert (is_range, uid, ok) == (False, 0, False)
    assert "no_new_privs" in detail


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ([], ()),
        ([(100, 10)], ((1, 100, 10),)),
        ([(100, 10), (200, 5)], ((1, 100, 10), (11, 200, 5))),
        ([(100, 10), (110, 5)], ((1, 100, 10), (11, 110, 5))),
        ([(100, 10), (109, 5), (200, 5)], ((1, 100, 10), (11, 200, 5))),
        ([(100, 10), (95, 6)], ((1, 100, 10),)),
        ([(100, 10), (90, 40)], ((1, 100, 10),)),
        ([(100, 10), (100, 10)], ((1, 100, 10),)),
        ([(0, 2000), (100, 10)], ((1, 100, 10),)),
        ([(1001, 1), (1002, 1)], ((1, 1002, 1),)),
    ],
)
def test_ranges_that_overlap_are_left_out(granted, expected):
    """Else newuidmap refuses the whole map, and nothing works for this user."""
    assert userns.stack(1001, granted) == expected
