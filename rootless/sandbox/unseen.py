"""Becoming another where nobody may look into this process, not even who answers for other ids.

Runs in the child that enters a container which runs, and in any other before it executes.
"""

from __future__ import annotations

import os

from rootless import linux


def give_terminal(fd: int, uid: int) -> None:
    """Who answers must see what is open; else the terminal stays root's, who is the user."""
    try:
        os.fchown(fd, uid, -1)
    except PermissionError:
        if linux.prctl(linux.PR_GET_DUMPABLE):
            raise


def set_groups(groups: tuple[int, ...], answerer_fd: int) -> None:
    """Where only one id is mapped, the kernel denies setgroups: there are no others to have.

    Who answers cannot read them here, and is told by `answerer_fd`; -1 where nobody does.
    """
    if answerer_fd >= 0 and not linux.prctl(linux.PR_GET_DUMPABLE):
        os.write(answerer_fd, b"".join(one.to_bytes(4, "little") for one in groups))
    try:
        os.setgroups(groups)
    except PermissionError:
        pass
