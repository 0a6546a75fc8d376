"""What follows from the checks: on which rung images are built and run here, with which storage."""

from __future__ import annotations

import os

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.doctor.check import Check

_RANGE = "a user namespace with a range of ids"
_ONE = "a user namespace with one id"
_ROOT = "root without namespaces"
_NO_MOUNTS = "a user namespace without mounts"
_PLAIN = "neither root nor namespaces"


class Way(Record):
    """`rung` counts from 1, the widest. `storage` is how layers become a tree."""

    rung: int
    name: str
    storage: str
    reason: str


def way(checks: Sequence[Check]) -> Way:
    """The one that `checks` leave, and what stands in the way of a wider one."""
    failed = {check.name: check for check in checks if not check.ok}
    storage = "none" if "overlayfs" in failed or "store" in failed else "overlayfs"
    copied = "none" if "store" in failed else "copies"
    if any(check.name == "copies" for check in checks):
        name = _NO_MOUNTS if os.getuid() else _ROOT
        return Way(3, name, copied, failed["user namespace"].detail)
    if "user namespace" in failed:
        return Way(4, _PLAIN, copied, failed["user namespace"].detail)
    if "ids" in failed:
        return Way(2, _ONE, storage, failed["ids"].detail)
    ids = next(check for check in checks if check.name == "ids")
    who = "real root" if os.getuid() == 0 else "newuidmap works"
    return Way(1, _RANGE, storage, f"{who}: {ids.detail}")
