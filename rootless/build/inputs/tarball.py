"""A build context that comes as a tar, of whatever compression: unpacked as somebody else's word.

Runs in the process that has entered the user namespace; a forked worker makes the directory its
root and unpacks. A crash leaves a half-filled directory, which is the caller's staging.
"""

from __future__ import annotations

from rootless.archive import apply, codecs, tar, unpacking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.archive import Put, Read
    from rootless.userns import IdMap

ENOUGH = max(codecs.ENOUGH, tar.BLOCK)
"""Bytes at the beginning of a stream that tell what it is."""
_CHUNK = 1 << 18


def is_archive(start: bytes) -> bool:
    """Whether a stream that begins so is an archive, and no Dockerfile."""
    return codecs.recognise(start[: codecs.ENOUGH]) != "none" or tar.is_header(start[: tar.BLOCK])


def unpack(read: Read, directory: str, ids: IdMap) -> None:
    """Unpack what `read` gives into the empty `directory`; IntegrityError for what is unsound.

    Files keep their owners where there are ids for them; with one id all of it is root's.
    """
    owner = None if ids.is_range else (0, 0)

    def write(put: Put) -> None:
        while chunk := read(_CHUNK):
            put(chunk)

    def place(coming: Read, folder: str) -> None:
        content = codecs.decompress(coming)
        apply.unpack(content, folder, whiteouts=False, owner=owner)

    unpacking.unpack_apart(write, directory, place)


def begin(read: Read) -> tuple[bytes, Read]:
    """The beginning of a stream, `ENOUGH` of it if there is so much, and all of it once more."""
    start = b""
    while len(start) < ENOUGH and (piece := read(ENOUGH - len(start))):
        start += piece
    waiting = [start]

    def again(count: int) -> bytes:
        return waiting.pop() if waiting and start else read(count)

    return start, again
