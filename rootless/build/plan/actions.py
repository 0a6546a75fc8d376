"""What a step does to the files of its stage, as values: everything but the doing. Pure."""

from __future__ import annotations

from rootless.build.plan.mounts import Bind, Cache
from rootless.dockerfile.patterns import is_wild
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.plan.mode import Mode
    from rootless.build.plan.mounts import Mount
    from rootless.build.plan.sources import Remote


class _Action(Record):
    """What a step does to the files."""

    @property
    def origins(self) -> tuple[int | Reference, ...]:
        """The stages and images that it reads from."""
        return ()

    @property
    def shown(self) -> tuple[CopyFiles, ...]:
        """The files that it reads but does not copy: what a COPY would copy."""
        return ()

    @property
    def named(self) -> tuple[object, ...]:
        """What it names to read, which its key knows by contents only."""
        return ()

    @property
    def reads_context(self) -> bool:
        """Whether any of its files come from the context."""
        return False


class RunCommand(_Action):
    """Run `argv` in a sandbox. `hidden` is environment that is neither kept nor in cache keys.

    `script` is the text of a `#!` heredoc that `argv` ends with. `insecure` asks for all powers.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str
    network: str
    hidden: Mapping[str, str] = {}
    script: str | None = None
    mounts: tuple[Mount, ...] = ()
    insecure: bool = False
    devices: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[CopyFiles, ...]:
        binds = (one for one in self.mounts if isinstance(one, Bind))
        return tuple(one for one in map(reading, binds) if one)

    @property
    def read(self) -> tuple[CopyFiles, ...]:
        """Those files, and what its caches begin with."""
        mounts = (one for one in self.mounts if isinstance(one, Bind | Cache))
        return tuple(one for one in map(reading, mounts) if one)

    @property
    def origins(self) -> tuple[int | Reference, ...]:
        return tuple(origin for one in self.read for origin in one.origins)

    @property
    def named(self) -> tuple[object, ...]:
        return tuple(one.named for one in self.shown)

    @property
    def reads_context(self) -> bool:
        return any(one.reads_context for one in self.shown)


class CopyFiles(_Action):
    """Put files at `destination` (absolute; a directory when it ends with `/`).

    `origin` is None for the context, else a stage's number or an image. `contents` are heredocs.
    `unpacks` says that archives are extracted, `exclude` what of directories is left out.
    `remotes` are sources that lie elsewhere.
    """

    sources: tuple[str, ...]
    destination: str
    origin: int | Reference | None = None
    contents: tuple[tuple[str, str], ...] = ()
    owner: str = ""
    mode: Mode | None = None
    link: bool = False
    parents: bool = False
    unpacks: bool = False
    exclude: tuple[str, ...] = ()
    remotes: tuple[Remote, ...] = ()

    @property
    def origins(self) -> tuple[int | Reference, ...]:
        return () if self.origin is None else (self.origin,)

    @property
    def named(self) -> tuple[object, ...]:
        image = str(self.origin) if isinstance(self.origin, Reference) else ""
        return (self.selection, self.remotes, image or isinstance(self.origin, int))

    @property
    def selection(self) -> tuple[object, ...]:
        """What it takes from where it copies."""
        return (self.sources, self.parents, self.exclude)

    @property
    def reads_context(self) -> bool:
        return self.origin is None and bool(self.sources)


def reading(mount: Bind | Cache) -> CopyFiles | None:
    """The files of a mount as a COPY of them; None when it begins with nothing."""
    if isinstance(mount.origin, str):
        return None
    source = "".join(f"\\{one}" if is_wild(one) else one for one in mount.source)
    return CopyFiles((source,), "/", mount.origin)


class MakeFolder(_Action):
    """Create `path` and its missing parents for `user`."""

    path: str
    user: str


if TYPE_CHECKING:
    Action = RunCommand | CopyFiles | MakeFolder
