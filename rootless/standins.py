"""Files that stand for a device, where no node can be made: recorded on the file itself.

An empty file with the attribute user.rootless.node = "c MAJOR MINOR", or "b …", is that node in a
layer's tar. Runs as (mapped) root, in any process.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ATTRIBUTE = "user.rootless.node"
KEY = ATTRIBUTE.encode()
MOST = 0x1FFFFF
"""The highest number of a device that a tar's header holds."""


def mark(fd: int, kind: bytes, device: tuple[int, int]) -> None:
    """Let an open, empty file stand for a device: `kind` is b"c" or b"b". OSError."""
    os.setxattr(fd, ATTRIBUTE, b"%b %d %d" % (kind, *device))


def meant(attributes: Mapping[bytes, bytes]) -> tuple[bytes, tuple[int, int]] | None:
    """The kind and numbers that a file with these attributes stands for; None for a plain file."""
    kind, *numbers = attributes.get(KEY, b"").split(b" ")
    if kind not in (b"c", b"b") or len(numbers) != 2:
        return None
    if not all(number.isdigit() and len(number) < 8 for number in numbers):
        return None
    major, minor = int(numbers[0]), int(numbers[1])
    return (kind, (major, minor)) if max(major, minor) <= MOST else None
