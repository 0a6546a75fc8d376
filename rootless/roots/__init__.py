"""File trees: layers under a writable directory, put together, looked at, and turned into layers.

`present` says how a tree is put together. A sandbox begins with the root's `operations`; whoever
works on the tree himself `mount`s it; `commit` is the directory, in overlayfs form, that has taken
all changes. `view` is a tree that is only read. Where mounts are allowed overlayfs does it, and
else plain copies, whose changes are found by looking at every file: nobody but this room, and
`runspec`, knows which.

Runs as (mapped) root. A crash leaves what the caller's folder is, an owned directory in tmp/ or a
container's, and owned directories in tmp/.
"""

from __future__ import annotations

import errno
import os

from rootless import rung

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol, Self

    from rootless.sandbox.spec import Operation
    from rootless.store import Store
    from rootless.store.snapshots import Snapshot

    class Mounted(Protocol):
        """A tree that is there as long as `with` lasts."""

        target: str
        fd: int

        def __enter__(self) -> Self: ...

        def __exit__(self, *_: object) -> None: ...

        def drop(self) -> None:
            """Instead of `with`: end it, with all that has been mounted in it."""

    class Root(Protocol):
        """A tree, under the folder `writable`."""

        @property
        def writable(self) -> str:
            """A folder of who works on it."""

        @property
        def target(self) -> str:
            """Where the whole tree is."""

        @property
        def caught(self) -> str:
            """Where changes are while a command runs."""

        @property
        def operations(self) -> tuple[Operation, ...]:
            """What the sandbox that lives in this tree starts with."""

        def mount(self) -> Mounted:
            """Have it here and now, until the end of `with`."""

        def again(self) -> None:
            """Let what was used, and is not any more, be used once more."""

        def commit(self) -> str:
            """The directory in overlayfs form with all changes; nobody changes it any more."""


def present(
    store: Store,
    layers: Iterable[str],
    writable: str,
    *,
    bottom: str,
    volatile: bool = True,
    names: tuple[str, ...] = (),
) -> Root:
    """The tree of these layer directories of the store, topmost first, under `writable`.

    Below all lies `bottom`: the store's skeleton where mount points are needed, else `empty`.
    With `volatile` nothing of it is synchronised: a crash throws it away. `names` are what the
    layers are known by, while their directories move: a tree that has them already is used again.
    Without, `writable` lasts, and may have changes of before.
    """
    paths = tuple(layers)
    _try_attributes(writable)
    _fit(paths)
    if os.path.isdir(upper := f"{writable}/diff"):
        _fit([upper])
    if not rung.current().may_mount:
        from rootless.roots import copied, lasting

        if names:
            return copied.present(store, paths, writable, names)
        return lasting.Root(paths, writable)
    from rootless.roots import overlay

    base = store.path("layers")
    stacked = tuple(_name(store, path) for path in (*paths, bottom))
    return overlay.Root(base, stacked, writable, volatile)


def _fit(paths: Iterable[str]) -> None:
    """Layers that were made with fewer ids, or with more, than there are here."""
    from rootless import owners

    recorded = rung.current().is_recorded
    for path in paths:
        if owners.is_marked(path) != recorded:
            from rootless.store import belonging

            belonging.fit(path, recorded=recorded)


def _try_attributes(folder: str) -> None:
    """Without them a directory that replaces another cannot be told, nor, with one id, an owner."""
    try:
        os.setxattr(folder, "user.rootless.tried", b"")
    except FileNotFoundError:  # a plan that nobody carries out
        return
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        from rootless import complaints

        raise complaints.explain_attributes(error) from None


def empty(snapshot: Snapshot) -> str:
    """A new empty directory to put at the bottom: overlayfs wants a layer."""
    path = os.path.join(snapshot.path, "empty")
    os.mkdir(path, 0o755)
    return path


def view(store: Store, layers: Iterable[str], *, bottom: str = "") -> View:
    """Show layers, on `bottom` if given, to be read; nobody may write there."""
    from rootless.store import snapshots

    paths = tuple(layers)
    snapshot = snapshots.create(store)
    try:
        if not rung.current().may_mount:
            from rootless.roots import copied

            _fit(paths)
            return View(copied.show(snapshot, (*paths, *filter(None, [bottom]))), snapshot)
        root = present(store, paths, snapshot.path, bottom=bottom or empty(snapshot))
        return View(root.mount(), snapshot)
    except BaseException:
        snapshot.discard()
        raise


def spread(layers: Iterable[str], folder: str) -> str:
    """The layers' very files, topmost first, as one tree in a new `folder`: to be copied, nobody
    may write there. "" where they can be stacked instead. OSError.
    """
    if rung.current().may_mount:
        return ""
    from rootless.roots import merging

    paths = tuple(layers)
    _fit(paths)
    os.makedirs(folder, mode=0o755)
    merging.merge(paths, folder, linked=True)
    return folder


def unfolded(writable: str) -> str:
    """Where the whole tree of a folder is, whose `diff` is not as it is now; else ""."""
    path = f"{writable}/tree"
    return path if os.path.isdir(path) else ""


def unfold(writable: str, diff: str) -> None:
    """What has changed so far in a tree that is `unfolded`, while others work in it: put, in
    overlayfs form, into the empty directory `diff`. OSError.
    """
    from rootless.roots import lasting

    lasting.unfold(writable, diff)


def let_go() -> None:
    """Throw away the trees that are kept because they may be wanted again."""
    if not rung.current().may_mount:
        from rootless.roots import copied

        copied.let_go()


class View:
    """A tree that is only read."""

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

    def drop(self) -> None:
        """Instead of `with`: end it, with all that has been mounted in it."""
        self._mounted.drop()
        self._snapshot.discard()


def _name(store: Store, path: str) -> str:
    """As seen from layers/: short, for all names of a mount must fit into one page."""
    inside = path.removeprefix(f"{store.root}/")
    name = inside.removeprefix("layers/")
    return name if name != inside else f"../{inside}"
