"""The capability sets of a process that went the way of a container's child."""

from __future__ import annotations

import os

import pytest

from rootless.sandbox import caps
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns", "subids")


def sets_after_exec(keep: frozenset[str], uid: int = 0) -> dict[str, int]:
    """Cap* of /proc/self/status in a program executed after bound, setresuid, limit."""

    def body() -> str:
        read_fd, write_fd = os.pipe()
        if (pid := os.fork()) == 0:
            os.dup2(write_fd, 1)
            caps.bound(keep)
            os.setresuid(uid, uid, uid)
            caps.limit(keep if uid == 0 else frozenset())
            os.execv("/bin/grep", ["grep", "Cap", "/proc/self/status"])
        os.close(write_fd)
        text = os.read(read_fd, 4096).decode()
        os.waitpid(pid, 0)
        return text

    return {line[3:6]: int(line[8:], 16) for line in in_child(body).splitlines()}


def test_root_keeps_what_was_asked_and_no_more():
    kept = caps.mask(caps.DEFAULT)
    assert sets_after_exec(caps.DEFAULT) == {
        "Inh": 0,
        "Prm": kept,
        "Eff": kept,
        "Bnd": kept,
        "Amb": 0,
    }


def test_another_user_has_none_and_the_same_bound():
    kept = caps.mask(caps.DEFAULT)
    assert sets_after_exec(caps.DEFAULT, uid=1000) == {
        "Inh": 0,
        "Prm": 0,
        "Eff": 0,
        "Bnd": kept,
        "Amb": 0,
    }


def test_nothing_at_all():
    assert set(sets_after_exec(frozenset()).values()) == {0}
    assert set(sets_after_exec(frozenset(), uid=1000).values()) == {0}
