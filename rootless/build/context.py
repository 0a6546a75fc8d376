"""The build context: the user's directory seen through .dockerignore, and what its files hold.

A digest says what a COPY would put into the image: names, modes, links and contents, not owners
or times. File contents are hashed once; `cache/contexts/<name>.json` remembers each by device,
inode, size, mtime and ctime, so that an unchanged context costs one lstat walk. Runs in the
builder. The file may be lost or damaged at any time: hashing again makes it.
"""

from __future__ import annotations

import os
import stat
from time import time_ns

from rootless import inroot, leanjson
from rootless.errors import IntegrityError, RootlessError
from rootless.linux import SyscallError
from rootless.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.tree import Source
    from rootless.dockerfile.ignore import Ignore

_CHUNK = 1 << 18
_RACY = 50_000_000  # ns: a change this close to its hashing may not show in the times
_SPARE = 10_000  # remembered files that no COPY of this build asked for


class Context:
    """An open context directory. Everything is found from its descriptor."""

    def __init__(self, directory: str, ignore: Ignore | None, memory: str) -> None:
        """`memory` is the path of the file that remembers digests."""
        try:
            self.fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RootlessError(
                f"the build context {directory} cannot be opened: {error.strerror}"
            ) from None
        self.ignore = ignore
        self._memory = memory
        self._known = _recall(memory)
        self._seen: dict[str, str] = {}
        self._is_new = False
        self._settled = time_ns() - _RACY

    def digest(self, sources: tuple[Source, ...]) -> str:
        """A hex digest of everything `sources` would put into an image."""
        lines = [line for source in sources for line in self._describe(source)]
        return Digest.of("\n".join(lines).encode("utf-8", "surrogateescape")).hex

    def remember(self) -> None:
        """Write down the digests of this build's files, for the next one."""
        if not self._is_new:
            return
        kept = {**self._known, **self._seen}
        if len(kept) > 2 * len(self._seen) + _SPARE:
            kept = self._seen
        unfinished = f"{self._memory}.{os.getpid()}"
        os.makedirs(os.path.dirname(self._memory), mode=0o700, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(leanjson.dumps(kept))
        os.rename(unfinished, self._memory)

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.fd)

    def _describe(self, source: Source) -> Iterator[str]:
        name = source.name if "/" in source.name or not source.folders else ""
        yield f"{name}\0{source.stat.st_mode:o}"
        if not source.folders:
            yield self._content(source.path, source.stat)
        for folder in source.folders:
            yield f"{folder.path}\0{folder.stat.st_mode:o}"
            top = os.path.join(source.path, folder.path)
            for file, found in folder.files:
                yield f"{file}\0{found.st_mode:o}\0{self._content(os.path.join(top, file), found)}"

    def _content(self, path: str, found: os.stat_result) -> str:
        """The digest of a file's bytes or of a link's text; computed only when they are new."""
        identity = (
            f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"
        )
        digest = self._known.get(identity)
        if digest is None:
            digest = self._hash(path, found)
            self._is_new = True
        if found.st_ctime_ns < self._settled:
            self._seen[identity] = digest
        return digest

    def _hash(self, path: str, found: os.stat_result) -> str:
        from hashlib import sha256

        if stat.S_ISLNK(found.st_mode):
            fd = inroot.open_path(self.fd, path, os.O_PATH | os.O_NOFOLLOW)
            try:
                return sha256(os.fsencode(os.readlink("", dir_fd=fd))).hexdigest()
            finally:
                os.close(fd)
        if not stat.S_ISREG(found.st_mode):
            return ""
        try:
            fd = inroot.open_path(self.fd, path, os.O_RDONLY | os.O_NONBLOCK)
        except SyscallError as error:
            raise RootlessError(f'"{path}" cannot be read: {error.strerror}') from None
        with open(fd, "rb", buffering=0) as file:
            hashed = sha256()
            while chunk := file.read(_CHUNK):
                hashed.update(chunk)
        return hashed.hexdigest()


def _recall(memory: str) -> dict[str, str]:
    """What an earlier build wrote down; nothing when it cannot be read."""
    try:
        with open(memory, "rb") as file:
            known = leanjson.loads(file.read())
    except (OSError, IntegrityError):
        return {}
    return known if isinstance(known, dict) else {}
