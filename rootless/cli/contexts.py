"""Where the files of a build come from: a directory, an archive, the web or a repository.

What is no directory of the user's is brought into a staging of the store, which ends with the
build, or, a commit and an archive whose server tells an ETag, into its cache for the next. Git runs
before the user namespace is entered, as the user; archives are unpacked inside of it, for their
files may belong to many.
"""

from __future__ import annotations

import os

from rootless.build.request import Folder, Reach, Surroundings
from rootless.cli import dockerfiles, files
from rootless.cli.dockerfiles import Written
from rootless.cli.web import Web
from rootless.errors import NotFoundError, UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from rootless.archive import Read
    from rootless.cli.settings import Settings
    from rootless.dockerfile.remote import GitSource
    from rootless.store import Store
    from rootless.store.keeping import Held
    from rootless.store.staging import Staging
    from rootless.userns import IdMap

_FILE = "context"  # what docker calls a file that is a context
_YES = ("1", "t", "true")


class Found(Record):
    """A context: its `directory`, and what errors call it.

    `text` is the Dockerfile where that is all that came; then the directory `is_empty`, if the
    Dockerfile did not come from the web. What is `fetched` was made for this build, or is `kept`
    for the next.
    """

    directory: str
    shown: str
    text: bytes | None = None
    fetched: bool = False
    keeps_owners: bool = False
    is_empty: bool = False
    kept: bool = False

    def folder(self, ignore: bytes) -> Folder:
        """It as the builder wants it, with what its .dockerignore holds."""
        passes = self.fetched and not self.kept
        return Folder(self.directory, ignore, passes, self.keeps_owners, self.is_empty)


class Contexts:
    """Those of one build; what was fetched is there until the end of `with`."""

    def __init__(
        self,
        given: Settings,
        store: Store,
        surroundings: Surroundings,
        *,
        quiet: bool = True,
    ) -> None:
        """`surroundings` may have logins for the web and for git among its secrets, and an agent
        for ssh. Unless it is to be `quiet`, standard error is told of what is fetched.
        """
        self._quiet = quiet
        self.store = store
        secrets = surroundings.secrets
        self.web = Web(given, secrets)
        self._staged: list[Staging] = []
        self._held: list[Held] = []
        agent = self._agent(surroundings.agents.get("default", ""))
        self.reach = Reach(self.web, given.environment, secrets, agent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._staged:
            one.discard()
        for held in self._held:
            held.release()

    def find(
        self, text: str, enter: Callable[[], IdMap], build_args: Mapping[str, str] = {}
    ) -> Found:
        """What `text` names; `enter` enters the user namespace."""
        if text == "-":
            return self._piped(enter)
        if os.path.isdir(text):
            return Found(os.path.abspath(text), text)
        if os.path.isfile(text):
            return self._archive(text, enter)
        from rootless.dockerfile import remote

        if repository := remote.git(text, short=True):
            if build_args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "").lower() in _YES:
                repository = repository.replace(keep_git_dir=True)
            return self._repository(repository)
        if remote.is_url(text):
            return self._download(text, enter)
        raise NotFoundError(
            f"the build context {text!r} is not a directory",
            hint="name the directory that holds the Dockerfile and its files, such as .; "
            "an archive, a URL or a git repository will do, too",
        )

    def dockerfile(self, found: Found, file: str | None, ignorefile: str | None) -> Written:
        """The Dockerfile that -f names, else the context's, and what --ignorefile or the context
        says of files that are left out.
        """
        if found.text is not None:
            if file is not None:
                raise UsageError(
                    f"-f cannot be used when the context is a Dockerfile ({found.shown})"
                )
            written = Written("Dockerfile", found.text)
        elif file and file.startswith(("http://", "https://")):
            with self.web.get(file) as answer:
                content = files.limited(answer.read, file.partition("?")[0])
            written = dockerfiles.beside(found.directory, found.shown, content, found.fetched)
        else:
            where = (found.directory, found.shown, file)
            written = dockerfiles.find(*where, fetched=found.fetched)
        return written.replace(ignore=files.read(ignorefile)) if ignorefile else written

    def _piped(self, enter: Callable[[], IdMap]) -> Found:
        """Standard input: an archive, or a Dockerfile."""
        from rootless.build.inputs import tarball

        start, read = tarball.begin(lambda count: os.read(0, count))
        if tarball.is_archive(start):
            return self._unpacked(read, "standard input", enter)
        content = files.limited(read, "standard input")
        return Found(self._folder(), "standard input", content, fetched=True, is_empty=True)

    def _archive(self, path: str, enter: Callable[[], IdMap]) -> Found:
        from rootless.build.inputs import tarball

        fd = files.open_file(path, os.O_RDONLY)
        with open(fd, "rb", buffering=0) as file:
            start, read = tarball.begin(file.read)
            if not tarball.is_archive(start):
                raise NotFoundError(
                    f"the build context {path!r} is neither a directory nor an archive",
                    hint=f"a Dockerfile is named by -f: -f {path} DIRECTORY",
                )
            return self._unpacked(read, path, enter)

    def _download(self, url: str, enter: Callable[[], IdMap]) -> Found:
        """An archive on the web, or a Dockerfile, which is its context's only file then."""
        from rootless.build.inputs import fetched, tarball
        from rootless.cli.fetching import Fetching

        shown = url.partition("?")[0]
        if held := fetched.file(self.store, self.web, url):
            return self._kept_archive(held, shown, enter)
        with (
            Fetching(shown, quiet=self._quiet) as fetching,
            self.web.get(url) as answer,
        ):
            start, read = tarball.begin(fetching.counting(answer.read, answer.size))
            if tarball.is_archive(start):
                etag = answer.headers.get("ETag", "")
                if not fetched.is_worth_keeping(etag):
                    return self._unpacked(read, shown, enter)
                held = fetched.keep_file(self.store, url, etag, read)
                return self._kept_archive(held, shown, enter)
            content = files.limited(read, shown)
        folder = self._folder()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(os.path.join(folder, _FILE), flags, 0o600), "wb") as file:
            file.write(content)
        os.utime(os.path.join(folder, _FILE), (0, 0))
        return Found(folder, shown, content, fetched=True)

    def _repository(self, source: GitSource) -> Found:
        from rootless.build.inputs import fetched
        from rootless.build.inputs.git import Git
        from rootless.cli.fetching import Fetching

        own = None if source.is_ssh else ""  # who names its host is the user
        agent = self.reach.agent or own
        with Fetching(source.shown, quiet=self._quiet) as fetching:
            git = Git(self.reach.environment, self.reach.secrets, agent, fetching.watch)
            held, folder = fetched.commit(self.store, git, source, git.commit(source))
        self._held.append(held)
        return Found(folder, source.shown, fetched=True, kept=True)

    def _kept_archive(self, held: Held, shown: str, enter: Callable[[], IdMap]) -> Found:
        from rootless.build.inputs import fetched, tarball

        self._held.append(held)
        with open(fetched.open_file(held), "rb", buffering=0) as file:
            _, read = tarball.begin(file.read)
            return self._unpacked(read, shown, enter)

    def _agent(self, socket: str) -> str:
        """That socket, by a name that ssh can use: it does not keep a descriptor of ours."""
        if not socket.startswith("/proc/self/"):
            return socket
        from rootless.build.carry.agents import Door, open_doors

        path = os.path.join(self._stage(), "agent")
        open_doors((Door(socket, path, 0o600, os.getuid(), os.getgid()),))
        return path

    def _unpacked(self, read: Read, shown: str, enter: Callable[[], IdMap]) -> Found:
        from rootless.build.inputs import tarball

        ids = enter()
        folder = self._folder()
        tarball.unpack(read, folder, ids)
        return Found(folder, shown, fetched=True, keeps_owners=True)

    def _folder(self) -> str:
        folder = os.path.join(self._stage(), "tree")
        os.mkdir(folder, 0o755)
        return folder

    def _stage(self) -> str:
        from rootless.store.staging import Staging

        self._staged.append(Staging(self.store))
        return self._staged[-1].path
