"""Layers between their two forms: an OCI tar stream, and a directory as overlayfs wants it.

`apply.unpack` and `diff.write` cross the border in either direction; `tar` is the format,
`whiteout` and `xattrs` translate what the two sides spell differently, `codecs` undoes compression,
`unpacking` does so beside the making of files.
Knows directories and streams of bytes; never images, digests, stores or networks.

A stream to read is a `Read`: called with n, it gives up to n bytes, and b"" at the end.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int], bytes]
    Put = Callable[[bytes], object]
