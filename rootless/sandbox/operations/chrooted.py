"""The tree of a sandbox that has no mounts of its own: it lies there, and becomes the root.

Runs in the child, which shares all with its parent but the root directory.
"""

from __future__ import annotations

import os

from rootless.record import Record
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot


class Outside(Record):
    """What is needed before there is a tree is found in the root that there is."""

    call = "open(2)"

    def describe(self) -> str:
        return "take a terminal of this machine's"

    def shell(self) -> tuple[str, ...]:
        return ()

    def apply(self, newroot: Newroot) -> None:
        newroot.open("/")


class Enter(Record):
    """Take the directory `tree` for the new root."""

    tree: str

    call = "open(2)"

    def describe(self) -> str:
        return "take a directory with a copy of all layers: nothing can be mounted here"

    def shell(self) -> tuple[str, ...]:
        return (
            f"cd {quote(self.tree)}",
            # What an image's links lead to outside is not for the lines below.
            'within() { case $(realpath -m "$1") in "$PWD" | "$PWD"/*) ;;',
            '*) echo "$1 leads out of the container" >&2; exit 1;; esac; }',
        )

    def apply(self, newroot: Newroot) -> None:
        if os.statvfs(self.tree).f_flag & os.ST_NOEXEC:
            from rootless import complaints

            raise complaints.explain_noexec(self.tree)
        newroot.open(self.tree)


class Chroot(Record):
    """Make the tree the root of this process, and of what it starts."""

    call = "chroot(2)"

    def describe(self) -> str:
        return "make this tree the root: who is root in it can leave it, it keeps nobody apart"

    def shell(self) -> tuple[str, ...]:
        return ("# chroot . : the last lines do that, for a shell's tools stay behind",)

    def apply(self, newroot: Newroot) -> None:
        os.fchdir(newroot.fd)
        os.chroot(".")
        os.chdir("/")
