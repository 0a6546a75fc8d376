"""A network namespace that is there before anybody is in it."""

from __future__ import annotations

import os
import resource
import subprocess

import pytest

from rootless import linux
from rootless.network import netns
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns")
OWN = "/proc/self/ns/net"


def _inode(path: str) -> int:
    return os.stat(path).st_ino


def _open() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def _made() -> tuple[int, int, int, list[str], list[str], bool]:
    """Our namespace before and after, the new one's, our descriptors before and after."""
    own, before = _inode(OWN), _open()
    fd = netns.new()
    inherited = os.get_inheritable(fd)
    found = (own, _inode(OWN), os.fstat(fd).st_ino)
    os.close(fd)
    return (*found, before, _open(), inherited)


def test_a_new_one_is_neither_ours_nor_entered_and_nothing_else_stays_open():
    before, after, made, opened, still, inherited = in_child(_made)
    assert before == after != made
    assert opened == still
    assert not inherited


def _child_is_gone() -> bool:
    os.close(netns.new())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, 0)
    return True


def test_no_process_stays():
    assert in_child(_child_is_gone)


def _devices() -> str:
    """What is in there, for who enters: the powers over it are ours."""
    fd = netns.new()
    linux.setns(fd, linux.CLONE_NEWNET)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with open("/proc/self/net/dev", encoding="ascii") as file:
        return ",".join(line.partition(":")[0].strip() for line in file.readlines()[2:])


def test_it_has_lo_only_and_obeys_us():
    assert in_child(_devices) == "lo"


def _without_room() -> tuple[bool, str]:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    lowest = os.dup(0)  # all below are taken
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))  # the child needs one more
    try:
        netns.new()
    except OSError as error:
        return os.dup(0) == lowest, str(error)
    return False, "made"


def test_where_there_is_no_room_for_it_nothing_stays_open():
    assert in_child(_without_room) == (True, "a network namespace could not be opened")
