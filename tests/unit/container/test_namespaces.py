"""What is read of a process in /proc."""

from __future__ import annotations

import os

import pytest

from rootless.container import namespaces
from rootless.errors import RootlessError


def test_this_process():
    found = namespaces.read(os.getpid())
    assert found.uid == os.geteuid()
    assert found.groups == tuple(sorted(os.getgroups()))
    assert found.namespaces["pid"] in os.readlink("/proc/self/ns/pid")
    assert namespaces.inner(found.uids, 7) == 7
    assert found.powers.keys() == {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}
    targets = [mount.target for mount in namespaces.mounts(os.getpid())]
    assert {"/", "/proc"} <= set(targets)


def test_none():
    for ask in (namespaces.read, namespaces.mounts):
        with pytest.raises(RootlessError, match="process 999999999 cannot be looked at"):
            ask(999999999)


def test_a_line_of_mountinfo():
    line = r"36 35 98:0 /mnt1 /a\040b\012c rw,noatime master:1 - ext3 /dev/ro\134ot rw"
    found = namespaces._mount(line)
    assert (found.target, found.source, found.root) == ("/a b\nc", "/dev/ro\\ot", "/mnt1")
    assert not found.read_only
    assert found.options == ("rw", "noatime")


def test_ids():
    ranges = ((0, 100, 10), (10, 5, 1))
    assert [namespaces.inner(ranges, number) for number in (100, 109, 5, 6)] == [0, 9, 10, None]
