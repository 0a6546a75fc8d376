"""A tree of layers stacked by overlayfs: nothing is copied, and changes are caught in one place.

Mounts are made in the caller's private mount namespace and gone with it. Nobody else spells
overlayfs.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.operations.tree import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from rootless.sandbox.spec import Operation


class Root(Record):
    """A tree: `layers` topmost first, absolute or relative to `base`, under the folder `writable`.

    `writable` has diff/ for all changes, work/ for overlayfs, and target/ to mount the tree on.
    """

    base: str
    layers: tuple[str, ...]
    writable: str
    volatile: bool = True

    @property
    def target(self) -> str:
        """Where it is mounted, in the namespace of who mounts it."""
        return f"{self.writable}/target"

    @property
    def caught(self) -> str:
        """Where changes are while a command runs."""
        return self.commit()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What the sandbox that lives in this tree starts with."""
        return (self._overlay(),)

    def mount(self) -> Mounted:
        """Mount it here and now; unmounted at the end of `with`."""
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._overlay().mount()  # which goes where the layers are
        finally:
            os.fchdir(here)
            os.close(here)
        return Mounted(self.target)

    def again(self) -> None:
        """Let what was mounted, and is not any more, be mounted once more: the kernel refuses that
        to a volatile tree, for it cannot know that there was no crash in between.
        """
        mark = f"{self.writable}/work/work/incompat"
        if os.path.isdir(mark):
            from rootless import deletion

            deletion.remove(mark)

    def commit(self) -> str:
        """The directory in overlayfs form that holds all changes; nobody changes it any more."""
        return f"{self.writable}/diff"

    def _overlay(self) -> Overlay:
        """overlayfs refuses a layer twice (ELOOP), and an image may have one twice, an empty one
        for example. What is below hides behind its equal, so the topmost is enough.
        """
        layers = tuple(dict.fromkeys(self.layers))
        return Overlay(
            self.base,
            layers,
            f"{self.writable}/diff",
            f"{self.writable}/work",
            self.target,
            volatile=self.volatile,
        )


class Mounted:
    """A mounted root and its descriptor; unmounted at the end of `with`."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        linux.umount2(self.target)

    def drop(self) -> None:
        """End it, with all that has been mounted in it."""
        os.close(self.fd)
        linux.umount2(self.target, linux.MNT_DETACH)
