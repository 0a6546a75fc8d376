"""What stands in for mounts where nothing can be mounted: operations become things (`things`).

Only looked at are the process's own powers, and what is to be shown. What has no substitute is
refused by its name.
"""

from __future__ import annotations

import os
import stat

from rootless.errors import RootlessError
from rootless.sandbox import caps
from rootless.sandbox.covering import FOLDER, Cover
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.mountpoints import Memory, MountPoints
from rootless.sandbox.operations.scratch import Scratch
from rootless.sandbox.operations.tree import Bind, Files, Tmpfs
from rootless.sandbox.secrets import Secrets
from rootless.sandbox.things import Copy, Device, Folder, Nodes, Shared, Text, Views

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.sandbox.covering import Thing
    from rootless.sandbox.spec import Operation

__all__ = ["FOLDER", "capabilities", "lacking", "of"]


def of(
    mounts: Iterable[Operation], folder: str, tree: str, *, is_shown: bool = False
) -> tuple[Operation, ...]:
    """The same for a tree that is only a directory; what is covered waits in `folder`.

    With `is_shown` this machine's own devices and kernel are seen, and need only places.
    """
    made = tuple(one for one in mounts if isinstance(one, MountPoints))
    rest = [one for one in mounts if not isinstance(one, MountPoints)]
    things = [thing for one in rest for thing in _things(one)]
    kernel: tuple[Thing, ...] = (Nodes(), Views(), Folder("/sys", 0o555))
    if is_shown:
        kernel = (Nodes(places_only=True), Folder("/proc", 0o555), Folder("/sys", 0o555))
    return (*made, Cover((*kernel, *things), tree, folder))


def capabilities(wanted: frozenset[str]) -> frozenset[str]:
    """Those that can be given. RootlessError for what is more than usual and not here."""
    here = caps.effective()
    if more := wanted - caps.DEFAULT - here:
        few = sorted(more, key=lambda name: (name != "SYS_ADMIN", name))[:3]  # the one that counts
        raise lacking(", ".join(f"CAP_{name}" for name in few) + (", …" if len(more) > 3 else ""))
    return wanted & here


def lacking(what: str) -> RootlessError:
    """The error for what cannot be had on this rung."""
    return RootlessError(
        f"this needs {what}, which a container without namespaces of its own cannot give",
        hint="run rootless where user namespaces are allowed: rootless doctor says how",
    )


def _things(one: Operation) -> Iterator[Thing]:
    if isinstance(one, Bind):
        yield _shown(one)
    elif isinstance(one, Files):
        for path, content in one.contents:
            yield Text(path, content.encode())
    elif isinstance(one, Secrets):
        for file in one.files:
            yield Text(file.path, file.content, file.mode, file.uid, file.gid, secret=True)
    elif isinstance(one, Memory):
        yield Folder(one.path, one.mode)
    elif isinstance(one, Tmpfs):
        yield _empty(one)
    elif isinstance(one, Scratch):
        yield Copy(one.path, one.source, "what is changed there is thrown away")
    else:
        raise lacking(f"a mount ({one.describe()})")


def _shown(one: Bind) -> Thing:
    source = f"{one.source}/{one.subpath}" if one.subpath else one.source
    if _is_device(source):
        return Device(one.path, source)
    if one.read_only or one.scratch:
        return Copy(one.path, source, one.why)
    return Shared(one.path, source, one.why)


def _is_device(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _empty(one: Tmpfs) -> Folder:
    """What can be had of a tmpfs: its mode, and whose it is."""
    values = dict(word.partition("=")[::2] for word in one.options.split(","))
    try:
        mode = int(values["mode"], 8) if "mode" in values else None
        uid, gid = one.owner
        return Folder(one.path, mode, (int(values.get("uid", uid)), int(values.get("gid", gid))))
    except ValueError:
        raise SandboxError(
            f"a tmpfs cannot be made at {one.path}", hint=f"look at its options: {one.options}"
        ) from None
