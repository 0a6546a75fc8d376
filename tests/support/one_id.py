"""A user namespace with the user's own id only, whatever the machine grants."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rootless import linux, userns
from tests.support import child

T = TypeVar("T")

PREFIX = ("setpriv", "--no-new-privs")
"""Before a command: newuidmap can do nothing there."""


def in_child(body: Callable[[], T]) -> T:
    """What `body()` returns in a process that is uid 0 of such a namespace."""

    def alone() -> T:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        assert not userns.enter().is_range
        return body()

    return child.in_child(alone, enter=False)
