"""What the instructions of each stage mean where they stand: variables, paths, commands, secrets.

A stage is walked with the environment that its instructions see, as `build` has it, too: ENVs of
the base, ARGs in scope, and those of the stage that it is built on.
"""

from __future__ import annotations

from rootless.dockerfile import instructions
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expand import expand, expand_body, words
from rootless.dockerfile.flags import fields
from rootless.dockerfile.instructions import From, Onbuild, ShellForm
from rootless.dockerfile.lexer import split_keyword, split_quoted
from rootless.dockerfile.lint.findings import Finding
from rootless.dockerfile.lint.suggest import meant
from rootless.dockerfile.lint.writing import written
from rootless.dockerfile.parser import parse_trigger
from rootless.dockerfile.quoting import quoted
from rootless.oci.config import DEFAULT_PATH, ImageConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rootless.dockerfile.errors import Location
    from rootless.dockerfile.instructions import Dockerfile, Instruction
    from rootless.dockerfile.lint.findings import Asked

SECRET = (
    *("apikey", "auth", "credential", "credentials", "key"),
    *("password", "pword", "passwd", "secret", "token"),
)
PUBLIC = "public"


def check(dockerfile: Dockerfile, asked: Asked, values: Mapping[str, str]) -> Iterator[Finding]:
    """`values` are the ARGs before the first FROM."""
    scopes: list[_Scope] = []
    triggers: list[str] = []
    for one in dockerfile.instructions:
        if isinstance(one, From):
            scope, triggers = _begin(dockerfile, asked, values, scopes)
            scopes.append(scope)
            for trigger in triggers:
                scopes[-1].trigger(trigger, one.location)
        elif scopes and asked.needs(len(scopes) - 1):
            scopes[-1].apply(one, one.location)
    for scope in scopes:
        yield from scope.found


def _begin(
    dockerfile: Dockerfile, asked: Asked, values: Mapping[str, str], earlier: list[_Scope]
) -> tuple[_Scope, list[str]]:
    """A stage's scope, and the triggers that come with its base."""
    number = len(earlier)
    base = asked.base(number) if asked.needs(number) else None
    scope = _Scope(dockerfile, asked, values)
    if isinstance(base, int):
        scope.inherit(earlier[base])
        return scope, earlier[base].triggers
    if isinstance(base, ImageConfig):
        scope.environment = {"PATH": DEFAULT_PATH} | base.environment
        scope.has_shell = bool(base.shell)
        return scope, list(base.onbuild)
    scope.is_known = False
    return scope, []


class _Scope:
    """The state that a stage's instructions change; `is_known` unless the base is a mystery."""

    def __init__(self, dockerfile: Dockerfile, asked: Asked, values: Mapping[str, str]) -> None:
        self.dockerfile = dockerfile
        self.asked = asked
        self.values = values
        self.environment: dict[str, str] = {}
        self.declared: set[str] = set()
        self.triggers: list[str] = []
        self.last: dict[str, Location] = {}
        self.is_known = True
        self.has_shell = False
        self.has_workdir = False
        self.found: list[Finding] = []
        self.location: Location

    def inherit(self, base: _Scope) -> None:
        self.environment = dict(base.environment)
        self.declared = set(base.declared)
        self.is_known, self.has_shell = base.is_known, base.has_shell
        self.has_workdir = base.has_workdir

    def trigger(self, text: str, location: Location) -> None:
        try:
            one = parse_trigger(text, self.dockerfile.escape)
        except DockerfileError:
            return
        self.apply(one, location)

    def apply(self, one: Instruction, location: Location) -> None:
        self.location = location
        look = _LOOKS.get(type(one))
        if look:
            look(self, one)

    def find(self, rule: str, detail: str) -> None:
        self.found.append(Finding(rule, detail, self.location))

    def expand(self, text: str) -> str:
        """`text` with its variables replaced, and a finding for each that is not there."""
        if "$" not in text and "\\" not in text and '"' not in text and "'" not in text:
            return text
        used: set[str] = set()
        try:
            text = expand(text, self.environment, self.dockerfile.escape, used)
        except DockerfileError:
            pass
        self.undefined(used)
        return text

    def undefined(self, used: set[str]) -> None:
        unknown = used.difference(self.environment, self.declared) if self.is_known else ()
        for name in sorted(unknown):
            detail = f"Usage of undefined variable '${name}'"
            near = meant(name, self.environment)
            self.find("UndefinedVar", f"{detail} (did you mean ${near}?)" if near else detail)

    # ── one instruction each ──────────────────────────────────────────────────────────────────

    def env(self, one: instructions.Env) -> None:
        pairs = [(self.expand(name), self.expand(value)) for name, value in one.pairs]
        self.legacy(one)
        for name, _ in pairs:
            self.secret("ENV", name)
        self.environment.update(pairs)

    def label(self, one: instructions.Label) -> None:
        for name, value in one.pairs:
            self.expand(name)
            self.expand(value)
        self.legacy(one)

    def legacy(self, one: instructions.Env | instructions.Label) -> None:
        _, operands = split_keyword(one.original)
        first = split_quoted(operands, self.dockerfile.escape)[:1]
        if first and "=" not in first[0]:
            word = written(one)
            detail = (
                f'"{word} key=value" should be used instead of legacy "{word} key value" format'
            )
            self.find("LegacyKeyValueFormat", detail)

    def secret(self, keyword: str, name: str) -> None:
        parts = name.lower().split("_")
        if PUBLIC not in parts and any(part in SECRET for part in parts):
            detail = (
                f"Do not use ARG or ENV instructions for sensitive data ({keyword} {quoted(name)})"
            )
            self.find("SecretsUsedInArgOrEnv", detail)

    def arg(self, one: instructions.Arg) -> None:
        for name, default in one.pairs:
            self.secret("ARG", name)
            value = self.asked.build_args.get(name)
            if value is None and default is not None:
                value = self.expand(default)
            if value is None:
                value = self.values.get(name)
            if value is not None:
                self.environment[name] = value
            self.declared.add(name)

    def run(self, one: instructions.Run) -> None:
        for mount in one.mounts:
            for field in fields(mount.text):
                key, _, value = field.partition("=")
                if key.lower() != "from":
                    self.expand(value)

    def copy(self, one: instructions.Copy) -> None:
        self.files(one, (one.chown, one.chmod), "" if one.from_ else "Copy")

    def add(self, one: instructions.Add) -> None:
        self.files(one, (one.chown, one.chmod, one.checksum), "Add")

    def files(
        self, one: instructions.Copy | instructions.Add, flags: tuple[str, ...], verb: str
    ) -> None:
        """`verb` is how docker calls it; empty when the sources are not of the context."""
        for flag in flags:
            self.expand(flag)
        sources = [self.expand(source) for source in one.sources]
        self.expand(one.destination)
        for heredoc in one.heredocs:
            if heredoc.expands:
                self.body(heredoc.content)
        for source in sources if verb else ():
            if self.is_ignored(source):
                detail = (
                    f"Attempting to {verb} file {quoted(source)} that is excluded by .dockerignore"
                )
                self.find("CopyIgnoredFile", detail)

    def body(self, text: str) -> None:
        used: set[str] = set()
        try:
            expand_body(text, self.environment, used)
        except DockerfileError:
            pass
        self.undefined(used)

    def is_ignored(self, source: str) -> bool:
        ignore = self.asked.ignore
        if ignore is None or source.startswith(("http://", "https://")):
            return False
        return ignore.excludes(source) or (source.startswith("/") and ignore.excludes("."))

    def workdir(self, one: instructions.Workdir) -> None:
        path = self.expand(one.path)
        if not self.has_workdir and not path.startswith("/"):
            detail = (
                f"Relative workdir {quoted(path)} can have unexpected results "
                "if the base image changes"
            )
            self.find("WorkdirRelativePath", detail)
        self.has_workdir = True

    def user(self, one: instructions.User) -> None:
        self.expand(one.user)

    def volume(self, one: instructions.Volume) -> None:
        for path in one.paths:
            self.expand(path)

    def stopsignal(self, one: instructions.Stopsignal) -> None:
        self.expand(one.signal)

    def expose(self, one: instructions.Expose) -> None:
        """docker does not look for undefined variables here, and sorts the ports."""
        for port in sorted(one.ports):
            for word in self.ports(port):
                protocol = word.partition("/")[2]
                if protocol != protocol.lower():
                    detail = f"Defined protocol '{word}' in EXPOSE instruction should be lowercase"
                    self.find("ExposeProtoCasing", detail)
                if ":" in word:
                    detail = (
                        "EXPOSE instruction should not define an IP address "
                        f"or host-port mapping, found '{word}'"
                    )
                    self.find("ExposeInvalidFormat", detail)

    def ports(self, port: str) -> tuple[str, ...]:
        try:
            return words(port, self.environment, self.dockerfile.escape)
        except DockerfileError:
            return ()

    def command(self, one: instructions.Cmd | instructions.Entrypoint) -> None:
        self.once(one)
        if isinstance(one.command, ShellForm) and not self.has_shell and self.is_known:
            detail = (
                f"JSON arguments recommended for {written(one)} "
                "to prevent unintended behavior related to OS signals"
            )
            self.find("JSONArgsRecommended", detail)

    def once(
        self, one: instructions.Cmd | instructions.Entrypoint | instructions.Healthcheck
    ) -> None:
        """The finding is about the one before, which counts no more."""
        kind = type(one).__name__
        if kind in self.last:
            detail = (
                f"Multiple {written(one)} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            place = self.last[kind]
            self.found.append(Finding("MultipleInstructionsDisallowed", detail, place))
        self.last[kind] = self.location

    def shell(self, _one: instructions.Shell) -> None:
        self.has_shell = True

    def onbuild(self, one: Onbuild) -> None:
        self.triggers.append(one.trigger)


_LOOKS: dict[type, Callable[..., None]] = {
    instructions.Add: _Scope.add,
    instructions.Arg: _Scope.arg,
    instructions.Cmd: _Scope.command,
    instructions.Copy: _Scope.copy,
    instructions.Entrypoint: _Scope.command,
    instructions.Env: _Scope.env,
    instructions.Expose: _Scope.expose,
    instructions.Healthcheck: _Scope.once,
    instructions.Label: _Scope.label,
    instructions.Onbuild: _Scope.onbuild,
    instructions.Run: _Scope.run,
    instructions.Shell: _Scope.shell,
    instructions.Stopsignal: _Scope.stopsignal,
    instructions.User: _Scope.user,
    instructions.Volume: _Scope.volume,
    instructions.Workdir: _Scope.workdir,
}
