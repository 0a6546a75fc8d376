"""What ADD and COPY name as sources: paths of a context, and what lies elsewhere. Pure."""

from __future__ import annotations

from rootless.dockerfile.ignore import Ignore
from rootless.errors import RootlessError
from rootless.oci.digest import Digest
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.dockerfile.instructions import Add
    from rootless.dockerfile.remote import GitSource


class UrlSource(Record):
    """A file on the web. `checksum` is what it must hold, if that is said.

    `unpacks` says that an archive is extracted; without it, it is a file like any other.
    """

    url: str
    checksum: Digest | None = None
    unpacks: bool = False

    @property
    def shown(self) -> str:
        """The URL without what may be a token."""
        return self.url.partition("?")[0]


class FolderSource(Record):
    """A directory that --build-context names, less what its own .dockerignore leaves out."""

    name: str

    @property
    def shown(self) -> str:
        return f"the context {self.name}"


if TYPE_CHECKING:
    Remote = GitSource | UrlSource | FolderSource


def patterns(exclude: tuple[str, ...]) -> tuple[str, ...]:
    """Those of --exclude that can match anything: as in docker, none that begins with `/`."""
    Ignore.of(exclude)  # complains of what is no pattern
    return tuple(one for one in exclude if not one.removeprefix("!").startswith("/"))


def check_local(sources: tuple[str, ...]) -> None:
    """RootlessError where a source of a COPY lies elsewhere."""
    for one in sources:
        if elsewhere(one):
            raise RootlessError(
                f"the source {one[:200]!r} of COPY is not in the context",
                hint="ADD fetches files from the web and git repositories",
            )


def remotes(sources: tuple[str, ...], add: Add, checksum: str) -> tuple[Remote, ...]:
    """Those sources of an ADD that lie elsewhere, with what its flags say of them."""
    found = tuple(_flagged(one, add, checksum) for one in map(elsewhere, sources) if one)
    if checksum and len(sources) != 1:
        raise RootlessError("--checksum is of one source", hint="write an ADD for each")
    if checksum and not found:
        raise RootlessError("--checksum is for files from the web and for git repositories")
    return found


def elsewhere(text: str) -> Remote | None:
    """What is named that is not in a context; None for a path."""
    if "://" not in text and "@" not in text:
        return None
    from rootless.dockerfile import remote

    repository = remote.git(text)
    if repository:
        return repository
    return UrlSource(text) if remote.is_url(text) else None


def _flagged(source: Remote, add: Add, checksum: str) -> Remote:
    from rootless.dockerfile import remote

    if isinstance(source, remote.GitSource):
        keeps = add.keep_git_dir or None
        return remote.agreed(source, keep_git_dir=keeps, checksum=checksum)
    assert isinstance(source, UrlSource)
    return source.replace(
        checksum=Digest.parse(checksum) if checksum else None, unpacks=add.unpack is True
    )
