"""log.jsonl.N.gz: a log's full files, compressed, and read again.

Packing is done by a process of the monitor's, beside what the container writes meanwhile; it ends
with the monitor. The packed file has the time of the one it was made of, so that a reader knows it
again, and stands beside that for a moment: whoever finds both takes the other. Killed, it leaves a
file that nobody reads and the next one of that number replaces.
"""

from __future__ import annotations

import os
import zlib

from rootless import process
from rootless.errors import RootlessError

ENDING = ".gz"
_PIECE = 1 << 18
_GZIP = 31  # zlib's word for a window of 32 KiB and a header and end as of gzip
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def begin(path: str) -> process.Child:
    """Pack `path` in a process of its own, which holds nothing of ours."""
    return process.fork(lambda _: _pack(path), "what packs a log", kept=())


def finish(packer: process.Child) -> None:
    """Return when it has; what could not be packed, as on a full disk, stays as it was."""
    try:
        packer.result()
    except (OSError, RootlessError):
        pass
    packer.kill()


def _pack(path: str) -> None:
    unfinished = f"{path}.new"
    try:
        _write(path, unfinished)
        os.rename(unfinished, f"{path}{ENDING}")
    except OSError:
        os.unlink(unfinished)
        raise
    os.unlink(path)


def _write(path: str, unfinished: str) -> None:
    packer = zlib.compressobj(wbits=_GZIP)
    with open(path, "rb", buffering=0) as source:
        with open(os.open(unfinished, _NEW, 0o600), "wb", buffering=_PIECE) as target:
            while content := source.read(_PIECE):
                target.write(packer.compress(content))
            target.write(packer.flush())
        status = os.fstat(source.fileno())
    os.utime(unfinished, ns=(status.st_atime_ns, status.st_mtime_ns))


def unpacked(fd: int, folder: str) -> int:
    """A file without a name that holds what is packed in another, as far as that is whole.

    It lies in `folder`, the log's own: /tmp may be small.
    """
    import tempfile

    with tempfile.TemporaryFile(dir=folder) as file:
        reader = zlib.decompressobj(_GZIP)
        try:
            while not reader.eof and (content := os.read(fd, _PIECE)):
                while content:
                    file.write(reader.decompress(content, _PIECE))
                    content = reader.unconsumed_tail
        except zlib.error:  # damaged: what came before is shown
            pass
        file.seek(0)
        return os.dup(file.fileno())
