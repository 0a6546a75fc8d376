"""The instructions of a Dockerfile as values, one type each, and the `Dockerfile` they make.

Operands are as written: variables are still in them, for `expand` to replace when the build knows
their values. Whether an instruction can be carried out is the build's to say, not decided here.
Pure.
"""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError, Location, Source
from rootless.dockerfile.lexer import Heredoc
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

Pairs = tuple[tuple[str, str], ...]


class ShellForm(Record):
    """A command for the image's SHELL. Heredoc bodies are part of the text."""

    text: str

    def argv(self, shell: tuple[str, ...]) -> tuple[str, ...]:
        return (*shell, self.text)


class ExecForm(Record):
    """A command given as a JSON array, run as it is; `()` resets CMD and ENTRYPOINT."""

    args: tuple[str, ...]

    def argv(self, shell: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        return self.args


class ScriptForm(Record):
    """A RUN heredoc starting with `#!`: to be written to an executable file and run from there."""

    text: str


Command = ShellForm | ExecForm


class Statement(Record):
    """What every instruction has: its place, and its text without comments and continuations.

    `original` starts with the keyword and ends with the heredoc bodies, if any.
    """

    location: Location
    original: str


class From(Statement):
    """FROM [--platform=PLATFORM] IMAGE [AS NAME]; `name` is in lower case, empty without AS."""

    image: str
    platform: str = ""
    name: str = ""


class Mount(Record):
    """RUN --mount=…: `text` is as written, for a builder that knows its variables to understand;
    `from_` is the stage, image or context that it names, in which there can be none.
    """

    text: str
    from_: str = ""


class Run(Statement):
    """RUN [flags] COMMAND. `heredocs` are those that `command` was made of."""

    command: Command | ScriptForm
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[Mount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    devices: tuple[str, ...] = ()


class Copy(Statement):
    """COPY [flags] SOURCE… DESTINATION; a heredoc is a source file called by its name."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()


class Add(Statement):
    """ADD [flags] SOURCE… DESTINATION; sources are paths, archives, URLs or git repositories.

    `unpack` is None where only the default for the kind of source was asked for.
    """

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None


class Env(Statement):
    """ENV NAME=VALUE … or ENV NAME VALUE."""

    pairs: Pairs


class Arg(Statement):
    """ARG NAME[=DEFAULT] …; a default of None where there is none."""

    pairs: tuple[tuple[str, str | None], ...]


class Label(Statement):
    """LABEL NAME=VALUE … or LABEL NAME VALUE."""

    pairs: Pairs


class Workdir(Statement):
    """WORKDIR PATH."""

    path: str


class User(Statement):
    """USER NAME-OR-UID[:GROUP-OR-GID]."""

    user: str


class Expose(Statement):
    """EXPOSE PORT[-PORT][/PROTOCOL] …; each may expand to several words."""

    ports: tuple[str, ...]


class Volume(Statement):
    """VOLUME PATH … or a JSON array."""

    paths: tuple[str, ...]


class Cmd(Statement):
    """CMD COMMAND."""

    command: Command


class Entrypoint(Statement):
    """ENTRYPOINT COMMAND."""

    command: Command


class Healthcheck(Statement):
    """HEALTHCHECK [flags] CMD COMMAND, or `command` None for NONE.

    Times in nanoseconds; 0 means the inherited or default value.
    """

    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Shell(Statement):
    """SHELL ["program", "argument", …]."""

    args: tuple[str, ...]


class Stopsignal(Statement):
    """STOPSIGNAL NAME-OR-NUMBER."""

    signal: str


class Onbuild(Statement):
    """ONBUILD INSTRUCTION; `trigger` is its text, which `parse_trigger` reads."""

    trigger: str


class Maintainer(Statement):
    """MAINTAINER TEXT."""

    name: str


Instruction = (
    From | Run | Copy | Add | Env | Arg | Label | Workdir | User | Expose | Volume
    | Cmd | Entrypoint | Healthcheck | Shell | Stopsignal | Onbuild | Maintainer
)  # fmt: skip


class Dockerfile(Record):
    """A whole Dockerfile. Only ARGs stand before its first FROM, and it has a FROM."""

    instructions: tuple[Instruction, ...]
    source: Source
    directives: Mapping[str, str] = {}
    escape: str = "\\"

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def heads(self) -> tuple[From, ...]:
        """The FROM of each stage."""
        return tuple(one for one in self.instructions if isinstance(one, From))

    def excerpt(self, location: Location) -> str:
        """The lines of an instruction as the user wrote them, marked, between their neighbours."""
        return self.source.excerpt(location)

    def locate(self, error: DockerfileError, location: Location) -> DockerfileError:
        """The same error (of `expand`, or of a trigger) naming the file and showing the lines."""
        return self.source.locate(error, location)

    def error(self, problem: str, location: Location, hint: str | None = None) -> DockerfileError:
        """An error about an instruction, naming the file and showing the lines."""
        return self.source.locate(DockerfileError(problem, hint=hint), location)
