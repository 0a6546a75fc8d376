"""File trees: layers under a writable directory, mounted, looked at, and turned into layers.

`present` says how a tree is put together; nothing is mounted yet. A sandbox begins with the root's
`operations`; whoever works on the tree himself `mount`s it; `commit` is the directory, in overlayfs
form, that has taken all changes. `view` is a tree that is only read. Nobody else spells overlayfs.

Runs as (mapped) root; mounts are made in the caller's private mount namespace and gone with it. A
crash leaves what the caller's folder is: an owned directory in tmp/, or a container's.
"""

from __future__ import annotations

import os

from rootless import linux
from rootless.record import Record
from rootless.sandbox.operations.tree import Overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from rootless.sandbox.spec import Operation
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot


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
            from rootless.store import staging

            staging.remove_tree(mark)

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


def present(
    store: Store, layers: Iterable[str], writable: str, *, bottom: str, volatile: bool = True
) -> Root:
    """The tree of these layer directories of the store, topmost first, under `writable`.

    Below all lies `bottom`: the store's skeleton where mount points are needed, else `empty`.
    With `volatile` nothing of it is synchronised: a crash throws it away.
    """
    base = store.path("layers")
    return Root(base, tuple(_name(store, path) for path in (*layers, bottom)), writable, volatile)


def empty(snapshot: Snapshot) -> str:
    """A new empty directory to put at the bottom: overlayfs wants a layer."""
    path = os.path.join(snapshot.path, "empty")
    os.mkdir(path, 0o755)
    return path


def view(store: Store, layers: Iterable[str], *, bottom: str = "") -> View:
    """Mount layers, on `bottom` if given, to read from; what would be written is thrown away."""
    from rootless.store import snapshots

    snapshot = snapshots.create(store)
    try:
        root = present(store, layers, snapshot.path, bottom=bottom or empty(snapshot))
        return View(root.mount(), snapshot)
    except BaseException:
        snapshot.discard()
        raise


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


class View:
    """A mounted root that is only read."""

    def __init__(self, mounted: Mounted, snapshot: Snapshot) -> None:
        self._mounted = mounted
        self._snapshot = snapshot
        self.fd = mounted.fd
        self.target = mounted.target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._mounted.__exit__()
        self._snapshot.discard()


def _name(store: Store, path: str) -> str:
    """As seen from layers/: short, for all names of a mount must fit into one page."""
    inside = path.removeprefix(f"{store.root}/")
    name = inside.removeprefix("layers/")
    return name if name != inside else f"../{inside}"
