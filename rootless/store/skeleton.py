"""The skeleton: an always empty lowest layer that holds the mount points every container needs.

/proc, /dev, /sys and the files of /etc that are bound into a container must exist to be mounted
on. Stacked below the image, this directory lends them without a trace: nothing is made in the
writable layer, so a RUN step on an image without /proc leaves no /proc in the new layer. Made
once per store, by rename; runs in any process that may write the store.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store import Store

_FOLDERS = ("dev", "etc", "proc", "sys")
_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")


def path(store: Store) -> str:
    """The directory to put below all layers."""
    skeleton = store.path("skeleton")
    if not os.path.isdir(skeleton):
        _make(store, skeleton)
    return skeleton


def is_whole(store: Store) -> bool:
    """Whether all mount points are there."""
    top = store.path("skeleton")
    folders = all(os.path.isdir(os.path.join(top, name)) for name in _FOLDERS)
    return folders and all(os.path.isfile(os.path.join(top, name)) for name in _FILES)


def _make(store: Store, skeleton: str) -> None:
    from rootless.store.staging import Staging

    with store.writing(), Staging(store, _FOLDERS) as staged:
        os.chmod(staged.path, 0o755)
        for name in _FILES:
            os.close(os.open(os.path.join(staged.path, name), os.O_CREAT | os.O_WRONLY, 0o644))
        try:
            staged.publish(skeleton)
        except OSError:
            if not os.path.isdir(skeleton):  # else another process made it meanwhile
                raise
