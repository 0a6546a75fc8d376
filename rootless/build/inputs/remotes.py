"""What the ADDs of one build fetch from elsewhere, each thing once.

To know whether a step is cached, a repository is only asked for its commit, and a file on the web
for its ETag; they are fetched when a step needs them, or when nothing less tells. Runs in the
builder and in the processes that carry strands out. A crash leaves owned directories in `tmp/`; of
a repository the files are kept for later builds.
"""

from __future__ import annotations

import os

from rootless.build.inputs import context as contexts
from rootless.build.inputs import fetched, tree, url
from rootless.build.plan.sources import FolderSource
from rootless.dockerfile.remote import GitSource
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.inputs.context import Changes, Context
    from rootless.build.inputs.git import Git
    from rootless.build.inputs.tree import Source
    from rootless.build.inputs.url import Web
    from rootless.build.plan.sources import Remote, UrlSource
    from rootless.build.request import Folder, Reach
    from rootless.store import Store
    from rootless.store.keeping import Held


class Remotes:
    """Everything fetched is below stagings of the process that fetched it, until `close`."""

    def __init__(
        self,
        store: Store,
        reach: Reach | None,
        folders: Mapping[str, Folder],
        pins: Mapping[Remote, str] | None = None,
    ) -> None:
        """What is fetched must be what `pins` say: see `now`."""
        self._pins = pins or {}
        """`folders` are the directories that FolderSources name."""
        self._store = store
        self._reach = reach
        self._given = folders
        self._contexts: dict[str, Context] = {}
        self._git: Git | None = None
        self._versions: dict[Remote, str] = {}
        self._folders: dict[Remote, str] = {}
        self._stagings: list[tuple[int, Staging]] = []
        self._held: list[tuple[int, Held]] = []

    def digest(self, local: str, remotes: tuple[Remote, ...]) -> str:
        """The digest of all that a step reads: `local` is that of what it reads here."""
        text = "\n".join((local, *map(self._version, remotes)))
        return Digest.of(text.encode("utf-8", "surrogateescape")).hex

    def now(self, one: Remote) -> str:
        """The digest of a file on the web, the commit of a repository."""
        return self._version(one).split("\0")[2]

    def open(self, one: Remote, exclude: tuple[str, ...]) -> tuple[int, tuple[Source, ...]]:
        """A descriptor of the directory that has it, and the sources to copy from there."""
        if isinstance(one, FolderSource):
            context = self.context(one)
            return os.dup(context.fd), tree.select(context.fd, "/", context.ignore)
        fd = os.open(self._folder(one), os.O_RDONLY | os.O_DIRECTORY)
        if isinstance(one, GitSource):
            return fd, tree.select_all(fd, ("/",), exclude=exclude)
        return fd, tree.select_all(fd, ("*",))

    def newest(self, remotes: tuple[Remote, ...]) -> int:
        """The latest time (whole seconds) of all that they bring; it is fetched for that."""
        found = 0
        for one in remotes:
            fd, sources = self.open(one, ())
            os.close(fd)
            found = max(found, tree.newest(sources))
        return found

    def context(self, one: FolderSource) -> Context:
        """A directory of the user's."""
        if one.name not in self._contexts:
            self._contexts[one.name] = contexts.of(self._store, self._given[one.name])
        return self._contexts[one.name]

    def changed(self, one: FolderSource, changes: Changes) -> None:
        """The directory is what was copied of it, for keys to come."""
        context = self.context(one)
        found = tree.select(context.fd, "/", context.ignore)
        self._versions[one] = f"folder\0{context.digest(found, changes)}"

    def close(self) -> None:
        """Delete what this process has fetched; its parent's is the parent's."""
        for context in self._contexts.values():
            context.remember()
            context.close()
        self._contexts.clear()
        ours = [staged for pid, staged in self._stagings if pid == os.getpid()]
        for staged in ours:
            staged.discard()
        self._stagings = [(pid, one) for pid, one in self._stagings if one not in ours]
        for pid, held in self._held:
            if pid == os.getpid():
                held.release()
        self._held.clear()

    def _version(self, one: Remote) -> str:
        """What is there now, as far as an image gets to see it."""
        if one not in self._versions:
            if isinstance(one, GitSource):
                keeps = bool(one.keep_git_dir)
                what = (self._git_program().commit(one), one.subdir, keeps, one.submodules)
                place = one.shown if keeps or one.submodules else ""
                self._versions[one] = "\0".join(("git", place, *map(str, what)))
            elif isinstance(one, FolderSource):
                context = self.context(one)
                found = tree.select(context.fd, "/", context.ignore)
                self._versions[one] = f"folder\0{context.digest(found)}"
            else:
                version = url.known(self._store, self._web, one)
                self._versions[one] = version.key(one) if version else self._fetched(one)
            self._check(one)
        return self._versions[one]

    def _check(self, one: Remote) -> None:
        """RootlessError when it is another by now than the lock was held against."""
        pinned, found = self._pins.get(one), self._versions[one].split("\0")
        if pinned and found[2] != pinned:
            raise RootlessError(
                f"{one.shown} was {pinned} when it was looked up, is {found[2]}",
                hint="its server gives another each time: build again, or name a fixed version",
            )

    def _fetched(self, one: UrlSource) -> str:
        """What a file on the web is, which nobody knows without fetching it."""
        staged = self._stage()
        version = url.fetch(self._store, self._web, one, staged)
        self._folders[one] = staged
        return version.key(one)

    def _folder(self, one: GitSource | UrlSource) -> str:
        """The directory with what `one` names, fetched if it is not there yet."""
        if one not in self._folders:
            version = self._version(one)
            if isinstance(one, GitSource):
                commit = version.split("\0")[2]
                held, self._folders[one] = fetched.commit(
                    self._store, self._git_program(), one, commit
                )
                self._held.append((os.getpid(), held))
            elif one not in self._folders and self._fetched(one) != version:
                raise RootlessError(
                    f"{one.shown} changed while the build ran",
                    hint="build again: what its server says of its ETag may be wrong, too",
                )
        return self._folders[one]

    def _stage(self) -> str:
        staged = Staging(self._store)
        self._stagings.append((os.getpid(), staged))
        return staged.path

    def _git_program(self) -> Git:
        if self._git is None:
            from rootless.build.inputs.git import Git

            self._git = Git(self._reached.environment, self._reached.secrets, self._reached.agent)
        return self._git

    @property
    def _web(self) -> Web:
        return self._reached.web

    @property
    def _reached(self) -> Reach:
        if self._reach is None:
            raise RootlessError("nothing can be fetched from elsewhere here")
        return self._reach
