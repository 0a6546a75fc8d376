"""Extended attributes across the border: which ones a layer keeps, and what stands for a device.

Kept: user.*, security.capability, system.posix_acl_*. Dropped on the way in and out: *.overlay.*
(forged ones would hide or redirect files of other layers), user.rootless.* (ours), trusted.* and
the rest of security.* and system.* (they belong to the machine, not the image).

security.capability (capabilities(7), "File capability extended attribute versioning"): a kernel
writes revision 3, with the namespace's root id, when a user namespace sets revision 2. A layer
always holds revision 2.

A device node cannot be made in a user namespace: see `standins`. Capabilities cannot be given by
an ordinary user who has none: they are recorded as user.rootless.capability.
"""

from __future__ import annotations

import os
from errno import ENOTSUP, EPERM

from rootless import owners, permissions, standins
from rootless.archive import tar

CAPABILITY = b"security.capability"
RECORD = b"user.rootless.capability"
_RECORDS = (owners.KEY, permissions.KEY, standins.KEY, RECORD)
_OURS = (b"user.overlay.", b"user.rootless.")
_ACL = b"system.posix_acl_"
_REVISION_2, _REVISION_3 = 2, 3


def portable(xattrs: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Those that a layer keeps, as a layer spells them."""
    return {
        name: _revision_2(value) if name == CAPABILITY else value
        for name, value in xattrs.items()
        if name == CAPABILITY
        or name.startswith(_ACL)
        or (name.startswith(b"user.") and not name.startswith(_OURS))
    }


def told(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """What a layer keeps of the attributes that a file has here, with what is recorded of them."""
    kept = portable(found)
    if record := found.get(RECORD):
        kept[CAPABILITY] = record
    return kept


def _revision_2(capability: bytes) -> bytes:
    """The magic's last byte (it is little-endian) is the revision, revision 3 appends a root id."""
    if len(capability) != 24 or capability[3] != _REVISION_3:
        return capability
    return capability[:3] + bytes((_REVISION_2,)) + capability[4:20]


def read(path: bytes | int) -> dict[bytes, bytes]:
    """All attributes of a file, not following a link; none where the file system has none."""
    follow = isinstance(path, int)
    try:
        names = os.listxattr(path, follow_symlinks=follow)
    except OSError as error:
        if error.errno == ENOTSUP:
            return {}
        raise
    return {os.fsencode(n): os.getxattr(path, n, follow_symlinks=follow) for n in names}


def write(fd: int, xattrs: dict[bytes, bytes]) -> None:
    """Set those that a layer may carry; access lists only where the file system keeps them."""
    for name, value in portable(xattrs).items():
        _set(fd, name, value)


def _set(target: bytes | int, name: bytes, value: bytes) -> None:
    try:
        os.setxattr(target, name, value)
    except OSError as error:
        if error.errno == EPERM and name == CAPABILITY and permissions.are_limited():
            os.setxattr(target, RECORD, value)
        elif error.errno != ENOTSUP or not name.startswith(_ACL):
            raise


def copy(source: bytes | int, target: bytes | int) -> None:
    """Those that go along when a file of a layer is copied on this machine: not overlayfs's."""
    pass_on(read(source), target)


def pass_on(found: dict[bytes, bytes], target: bytes | int) -> None:
    """The same of all that have been `found`."""
    for name, value in found.items():
        if name in _RECORDS:
            os.setxattr(target, name, value)
        elif kept := portable({name: value}):
            _set(target, name, kept[name])


def mark_device(fd: int, kind: int, device: tuple[int, int]) -> None:
    standins.mark(fd, b"c" if kind == tar.CHARACTER else b"b", device)


def device(xattrs: dict[bytes, bytes]) -> tuple[int, tuple[int, int]] | None:
    """The kind and numbers of the device that an empty file stands for; None for a plain file."""
    if found := standins.meant(xattrs):
        return (tar.CHARACTER if found[0] == b"c" else tar.BLOCK_DEVICE), found[1]
    return None
