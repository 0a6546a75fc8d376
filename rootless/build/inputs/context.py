"""The build context: the user's directory seen through .dockerignore, and what its files hold.

A digest says what a COPY would put into the image: names, modes, links and contents, not owners
or times. File contents are hashed once; `cache/contexts/<name>.json` remembers each by device,
inode, size, mtime and ctime, so that an unchanged context costs one lstat walk. Its first line
is the directory: what is remembered of one that is gone, or that nobody uses, is forgotten. Runs in
the builder. The file may be lost or damaged at any time: hashing again makes it.

Others may write to the context meanwhile. What a COPY reads is what the image gets, and `Changes`
sees to it that its layer is recorded under the digest of just that.
"""

from __future__ import annotations

import os
from errno import EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, ENXIO
from time import time_ns

from rootless import leanjson
from rootless.build.inputs import contents
from rootless.dockerfile.ignore import Ignore
from rootless.errors import IntegrityError, RootlessError
from rootless.oci.digest import Digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.inputs.contents import Held
    from rootless.build.inputs.tree import Source
    from rootless.build.request import Folder
    from rootless.store import Store

_GONE = (ENOENT, ENOTDIR, ELOOP, EISDIR, EINVAL, ENXIO)  # nothing, or nothing of its kind
_RACY = 50_000_000  # ns: a change this close to its hashing may not show in the times
_UNUSED = 30 * 86_400 * 10**9  # ns after which what is remembered of a context goes
_LONGEST = 1 << 16  # bytes of a directory's name as JSON
_SPARE = 10_000  # remembered files that no COPY of this build asked for


def of(store: Store, folder: Folder) -> Context:
    """A directory, opened; what its files hold is remembered if it may be seen again."""
    directory = os.path.abspath(folder.directory)
    name = Digest.of(os.fsencode(directory)).hex[:16]
    ignore = Ignore.parse(folder.ignore) if folder.ignore.strip() else None
    memory = "" if folder.fetched else store.path("cache", "contexts", f"{name}.json")
    return Context(directory, ignore, memory, keeps_owners=folder.keeps_owners)


class Context:
    """An open context directory. Everything is found from its descriptor."""

    def __init__(
        self, directory: str, ignore: Ignore | None, memory: str, *, keeps_owners: bool = False
    ) -> None:
        """`memory` is the path of the file that remembers digests, "" for a directory that will
        not be seen again. With `keeps_owners` files are copied with the owners they have.
        """
        try:
            self.fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RootlessError(
                f"the build context {directory} cannot be opened: {error.strerror}"
            ) from None
        self.ignore = ignore
        self.keeps_owners = keeps_owners
        self._directory = os.path.abspath(directory)
        self._memory = memory
        self._known = _recall(memory)
        self._seen: dict[str, str] = {}
        self._is_new = False
        self._settled = time_ns() - _RACY

    def digest(self, sources: tuple[Source, ...], changes: Changes | None = None) -> str:
        """A hex digest of the listing."""
        return contents.digest(self.listing(sources, changes))

    def listing(self, sources: tuple[Source, ...], changes: Changes | None = None) -> str:
        """Everything `sources` would put into an image, or, but for `changes`, has put there: see
        `contents.listing`.
        """

        def content(path: str, found: os.stat_result) -> Held | None:
            if changes and path in changes.copied:
                return changes.copied[path]
            known = self._content(path, found)
            return None if known is None else (known, contents.links(found))

        return contents.listing(sources, content, owned=self.fd if self.keeps_owners else -1)

    def changes(self) -> Changes:
        """To be told what a COPY reads."""
        return Changes(self._settled)

    def remember(self) -> None:
        """Write down the digests of this build's files, for the next one."""
        if not self._is_new or not self._memory:
            if self._known:
                _touch(self._memory)
            return
        kept = {**self._known, **self._seen}
        if len(kept) > 2 * len(self._seen) + _SPARE:
            kept = self._seen
        unfinished = f"{self._memory}.{os.getpid()}"
        os.makedirs(os.path.dirname(self._memory), mode=0o700, exist_ok=True)
        with open(unfinished, "wb") as file:
            file.write(leanjson.dumps(self._directory) + b"\n" + leanjson.dumps(kept))
        os.rename(unfinished, self._memory)
        _forget_unused(os.path.dirname(self._memory))

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self.fd)

    def _content(self, path: str, found: os.stat_result) -> str | None:
        """The digest of a file's bytes or of a link's text; computed only when they are new."""
        identity = ":".join(map(str, _identity(found)))
        digest = self._known.get(identity) or self._seen.get(identity)
        if digest is None:
            try:
                digest = contents.read(self.fd, path, found, attributes=self.keeps_owners)
            except OSError as error:
                if error.errno in _GONE:
                    return None
                raise RootlessError(
                    f'"{path}" cannot be read: {error.strerror}',
                    hint="name it in .dockerignore if it is no part of the image",
                ) from None
            self._is_new = True
        if found.st_ctime_ns < self._settled:
            self._seen[identity] = digest
        return digest


class Changes:
    """What a COPY has read that may not be what its key says.

    `copied` is what was copied instead, by path; None where nothing was. `names` are the paths of
    files that did change while the build ran.
    """

    def __init__(self, settled: int) -> None:
        """What changed after `settled` (ns) is not trusted to show it in its times."""
        self.copied: dict[str, Held | None] = {}
        self.names: set[str] = set()
        self._settled = settled

    def is_doubtful(self, path: str, found: os.stat_result, now: os.stat_result) -> bool:
        """Whether a file that was looked up as `found`, and is `now` another or may be, must be
        told by what was copied of it.
        """
        if _identity(found) == _identity(now):
            return now.st_ctime_ns >= self._settled
        self.names.add(path)
        return True

    def vanished(self, path: str) -> None:
        """Nothing was copied: no such file is there any more."""
        self.names.add(path)
        self.copied[path] = None


def _identity(found: os.stat_result) -> tuple[int, ...]:
    """Equal for a file that nobody has written to in between."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _touch(memory: str) -> None:
    """It was of use."""
    try:
        os.utime(memory)
    except OSError:  # a store that can only be read, or a neighbour who prunes
        pass


def _forget_unused(folder: str) -> None:
    """Delete the memories of contexts that are gone, or that nobody has built from for long."""
    oldest = time_ns() - _UNUSED
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        try:
            is_whole = name.endswith(".json")  # not one that is being written
            if os.lstat(path).st_mtime_ns < oldest or (is_whole and _is_orphan(path)):
                os.unlink(path)
        except FileNotFoundError:  # somebody else was faster
            continue


def _is_orphan(memory: str) -> bool:
    """Whether the context is no directory any more; what does not say which, is of no use."""
    with open(memory, "rb") as file:
        try:
            directory = leanjson.loads(file.readline(_LONGEST))
        except IntegrityError:
            return True
    return not isinstance(directory, str) or not os.path.isdir(directory)


def _recall(memory: str) -> dict[str, str]:
    """What an earlier build wrote down; nothing when it cannot be read."""
    try:
        with open(memory, "rb") as file:
            known = leanjson.loads(file.read().partition(b"\n")[2])
    except (OSError, IntegrityError):
        return {}
    return known if isinstance(known, dict) else {}
