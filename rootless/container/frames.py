"""What is spoken on a container's `attach` socket: frames of a kind, a length and a content.

The numbers of the streams are those of docker's attach. Pure.
"""

from __future__ import annotations

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

INPUT, OUTPUT, ERRORS = 0, 1, 2  # bytes, as on the descriptors
END_OF_INPUT = 3  # from who is attached: no more comes
RESIZE = 4  # the terminal's new size, a struct winsize
STATUS = 5  # to who is attached: the exit status, 4 bytes; the last frame
_HEAD = 5
_LONGEST = 1 << 20


def pack(kind: int, content: bytes = b"") -> bytes:
    """One frame."""
    return bytes((kind,)) + len(content).to_bytes(4, "big") + content


class Frames:
    """Puts together what comes in pieces."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """(kind, content) of each frame that is whole now; RootlessError for what is none."""
        self._held += content
        while len(self._held) >= _HEAD:
            size = int.from_bytes(self._held[1:_HEAD], "big")
            if size > _LONGEST:
                raise RootlessError("what came on the container's socket is no frame")
            if len(self._held) < _HEAD + size:
                return
            kind, whole = self._held[0], self._held[_HEAD : _HEAD + size]
            self._held = self._held[_HEAD + size :]
            yield kind, whole
