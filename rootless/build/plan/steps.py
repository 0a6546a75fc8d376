"""From a stage and its base's config to steps: every variable replaced, nothing carried out.

Pure. Instructions that only change the config are applied here; those that change files become
steps with an action. So all of a Dockerfile is understood, and refused where it must be, before
its first command runs. History is written as BuildKit writes it.
"""

from __future__ import annotations

import os

from rootless.build.plan import config as configs
from rootless.build.plan import mounts as mounting
from rootless.build.plan import sources, spelling
from rootless.build.plan.actions import CopyFiles, MakeFolder, RunCommand
from rootless.build.plan.mode import Mode
from rootless.build.plan.stages import ENTITLEMENTS, proxies
from rootless.dockerfile import expand, instructions, parse_trigger
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import ScriptForm, ShellForm
from rootless.dockerfile.quoting import quoted
from rootless.errors import RootlessError
from rootless.oci.config import DEFAULT_PATH, History, ImageConfig
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.plan.actions import Action
    from rootless.build.plan.sources import Remote
    from rootless.build.plan.stages import Plan, Stage
    from rootless.dockerfile import Instruction
    from rootless.dockerfile.errors import Location
    from rootless.dockerfile.lexer import Heredoc

_COMMENT = "buildkit.dockerfile.v0"
PENDING = "pending"
"""The time of history entries whose step has not been carried out."""


class Step(Record):
    """One instruction that makes a layer; `location` is its place in the Dockerfile.

    What an ONBUILD of the base brings has the place of our FROM, and a `text` that says so.
    """

    action: Action
    text: str
    location: Location

    def complaint(self, message: str) -> str:
        """`message`, and of which trigger it is where the line at `location` does not show it."""
        return of_trigger(self.text, message) if self.text.startswith("ONBUILD ") else message


def of_trigger(text: str, message: str) -> str:
    """What is wrong with an ONBUILD of the base, in one sentence."""
    first = text.partition("\n")[0]
    return f"{first if len(first) < 200 else first[:200] + '…'} (of the base): {message}"


class Recipe(Record):
    """A stage understood: its steps, and the config it ends with, but for their diff_ids.

    `environment` is what a command would see at its end, of ENVs and `arguments`; a stage that is
    built on this one begins with both.
    """

    stage: Stage
    steps: tuple[Step, ...]
    config: ImageConfig
    environment: Mapping[str, str]
    arguments: Mapping[str, str | None]

    @property
    def has_image(self) -> bool:
        """Whether its FROM names an image, which people see as a step."""
        return isinstance(self.stage.base, Reference)


def resolve(plan: Plan, stage: Stage, base: ImageConfig | Recipe) -> Recipe:
    """The steps of `stage` on `base`; DockerfileError for whatever cannot be done.

    New history entries are PENDING: `stamped` gives them their times.
    """
    if isinstance(base, Recipe):
        resolver = _Resolver(plan, stage, base.config)
        resolver.environment = {**base.environment, **resolver.environment}  # an ENV before an ARG
        resolver.arguments |= base.arguments
        base = base.config
    else:
        resolver = _Resolver(plan, stage, base)
    if stage.remote:
        resolver.load(stage.remote)
    for trigger in base.onbuild:
        resolver.trigger(trigger)
    for one in stage.instructions:
        resolver.location = one.location
        resolver.apply(one)
    config = resolver.finished()
    return Recipe(stage, tuple(resolver.steps), config, resolver.environment, resolver.arguments)


def stamped(config: ImageConfig, times: tuple[str, ...], epoch: str = "") -> ImageConfig:
    """`config` with the times (RFC 3339) at which its layers were made, base first.

    What made no layer is as old as what came before it. With an `epoch` that is the time of
    everything new.
    """
    pending = [one for one in config.history if one.created == PENDING]
    layered = sum(not one.empty_layer for one in pending)
    coming = iter([epoch] * layered if epoch else times[len(times) - layered :])
    last = epoch or config.created or (times[-layered] if layered else "")
    history = []
    for entry in config.history:
        if entry.created != PENDING:
            history.append(entry)
            continue
        last = last if entry.empty_layer else next(coming)
        history.append(entry.replace(created=last))
    return config.replace(history=tuple(history), created=last)


class _Resolver:
    """The state that instructions change, one after the other.

    `environment` is what a command would see: ENV and ARG, the last one of a name wins.
    `arguments` are the ARGs declared in this stage, or in those that it is built on. `exported`
    are the ENVs that `config` does not have yet, and labels, ports, volumes, triggers and history
    wait likewise: a config is made anew by each change, and they may be thousands.
    """

    def __init__(self, plan: Plan, stage: Stage, base: ImageConfig) -> None:
        self.plan = plan
        self.stage = stage
        self.config = base
        known = base.environment
        self.exported = {} if "PATH" in known else {"PATH": DEFAULT_PATH}
        self.labels = dict(base.labels)
        self.ports = dict.fromkeys(base.exposed_ports)
        self.volumes = dict.fromkeys(base.volumes)
        self.triggers: list[str] = []  # the base's are ours to carry out, not to hand on
        self.history = list(base.history)
        if not isinstance(stage.base, int):
            self.exported |= plan.env
        self.environment = {**known, **self.exported}
        self.arguments: dict[str, str | None] = {}
        self.steps: list[Step] = []
        self.has_own_cmd = False
        self.origin = ""  # what a step's text begins with
        self.location = stage.origin.location

    def finished(self) -> ImageConfig:
        """The config with all that was gathered beside it."""
        return (
            self.config.with_env(self.exported)
            .without_env(self.plan.unset)
            .replace(
                labels=self.labels,
                exposed_ports=tuple(self.ports),
                volumes=tuple(self.volumes),
                onbuild=tuple(self.triggers),
                history=tuple(self.history),
            )
        )

    def load(self, remote: Remote) -> None:
        """All the files of a context that --build-context names."""
        text = f"load the context {self.stage.name}"
        self.history.append(History(PENDING, text, _COMMENT))
        action = CopyFiles((), "/", remotes=(remote,))
        self.steps.append(Step(action, text, self.location))

    def trigger(self, text: str) -> None:
        """An ONBUILD instruction of the base; its place is our FROM."""
        self.origin = "ONBUILD "
        try:
            self._change(parse_trigger(text))
        except RootlessError as error:
            problem = error.problem if isinstance(error, DockerfileError) else error.message
            told = of_trigger(f"{self.origin}{text}", problem)
            raise self.plan.dockerfile.error(told, self.location, error.hint) from None
        self.origin = ""

    def apply(self, one: Instruction) -> None:
        """Change the state; errors are given their place."""
        dockerfile = self.plan.dockerfile
        try:
            self._change(one)
        except DockerfileError as error:
            raise dockerfile.locate(error, self.location) from None
        except RootlessError as error:
            raise dockerfile.error(error.message, self.location, error.hint) from None

    def _change(self, one: Instruction) -> None:  # noqa: C901, PLR0912 - one rule for each
        """Closed: an instruction without a rule is an error of types."""
        match one:
            case instructions.Run():
                self.run(one)
            case instructions.Copy():
                self.copy(one)
            case instructions.Add():
                self.add(one)
            case instructions.Workdir():
                self.workdir(one)
            case instructions.Env():
                self.env(one)
            case instructions.Arg():
                self.arg(one)
            case instructions.Label():
                self.label(one)
            case instructions.User():
                self.user(one)
            case instructions.Expose():
                self.expose(one)
            case instructions.Volume():
                self.volume(one)
            case instructions.Cmd():
                self.cmd(one)
            case instructions.Entrypoint():
                self.entrypoint(one)
            case instructions.Healthcheck():
                self.healthcheck(one)
            case instructions.Shell():
                self.shell(one)
            case instructions.Stopsignal():
                self.stopsignal(one)
            case instructions.Onbuild():
                self.onbuild(one)
            case instructions.Maintainer():
                self.maintainer(one)
            case instructions.From():
                raise AssertionError("a stage has one FROM, its first")

    def _expand(self, text: str) -> str:
        return expand.expand(text, self.environment, self.plan.dockerfile.escape)

    def _note(self, created_by: str) -> None:
        """One line of history for an instruction that made no layer."""
        self.history.append(History(PENDING, created_by, _COMMENT, empty_layer=True))

    def _add(self, one: Instruction, action: Action, created_by: str) -> None:
        self.history.append(History(PENDING, created_by, _COMMENT))
        text = self.origin + one.original.partition("\n")[0]
        self.steps.append(Step(action, text, self.location))

    def run(self, one: instructions.Run) -> None:
        self._check_allowed(one)
        command, script = one.command, None
        if isinstance(command, ScriptForm):
            command, script = ShellForm(f"/dev/pipes/{one.heredocs[0].name}"), command.text
        argv = configs.argv(self.config, command)
        if not argv:
            raise RootlessError("RUN has no command")
        mounts = mounting.read_all(
            one.mounts,
            self._expand,
            self.config.working_dir,
            lambda name: "" if name == "scratch" else self._origin(name),
            self.plan.build_args.get("BUILDKIT_CACHE_MOUNT_NS", ""),
        )
        action = RunCommand(
            argv,
            dict(self.environment),
            self.config.working_dir or "/",
            self.config.user,
            one.network,
            proxies(self.plan.build_args),
            script,
            mounts,
            one.security == "insecure",
            one.devices,
        )
        self._add(one, action, f"RUN {self._shown_arguments()}{' '.join(argv)} # buildkit")

    def _check_allowed(self, one: instructions.Run) -> None:
        if one.devices and not any(word.partition("=")[0] == "device" for word in self.plan.allow):
            raise RootlessError("device is not allowed", hint="allow it: --allow device")
        for name in (f"network.{one.network}", f"security.{one.security}"):
            if name in ENTITLEMENTS and name not in self.plan.allow:
                raise RootlessError(f"{name} is not allowed", hint=f"allow it: --allow {name}")

    def _shown_arguments(self) -> str:
        """ARGs in front of a command, as BuildKit's history has them: what the command sees."""
        known = {**self.arguments, **self.environment}
        pairs = [f"{name}={known[name] or ''}" for name in self.arguments]
        return f"|{len(pairs)} {' '.join(pairs)} " if pairs else ""

    def copy(self, one: instructions.Copy) -> None:
        origin = self._origin(one.from_) if one.from_ and one.sources else None
        sources.check_local(tuple(map(self._expand, one.sources)))
        self._copy(one, "COPY", origin=origin, parents=one.parents)

    def add(self, one: instructions.Add) -> None:
        named = tuple(map(self._expand, one.sources))
        remotes = sources.remotes(named, one, self._expand(one.checksum))
        self._copy(one, "ADD", remotes=remotes, unpacks=one.unpack is not False)

    def _copy(
        self,
        one: instructions.Copy | instructions.Add,
        keyword: str,
        *,
        remotes: tuple[Remote, ...] = (),
        origin: int | Reference | None = None,
        parents: bool = False,
        unpacks: bool = False,
    ) -> None:
        named = tuple(map(self._expand, one.sources))
        destination = self._expand(one.destination)
        chown, chmod = self._expand(one.chown), self._expand(one.chmod)
        names = [heredoc.name for heredoc in one.heredocs]
        for name in names:
            if "/" in name:
                raise RootlessError(f"<<{name}: the name of a file has no slash in it")
        action = CopyFiles(
            tuple(one for one in named if not sources.elsewhere(one)),
            self._destination(destination),
            origin,
            tuple((heredoc.name, self._body(heredoc)) for heredoc in one.heredocs),
            chown,
            Mode.parse(chmod) if chmod else None,
            one.link and not chmod,  # as docker: it has no way to do both
            parents,
            unpacks,
            sources.patterns(one.exclude),
            remotes,
        )
        flags = {"--chown": chown, "--chmod": chmod}
        shown = " --parents" if parents else ""
        shown += "".join(f" {name}={value}" for name, value in flags.items() if value)
        words = " ".join((*named, *(f"<<{name}" for name in names), destination))
        self._add(one, action, f"{keyword}{shown} {words} # buildkit")

    def _body(self, heredoc: Heredoc) -> str:
        if not heredoc.expands:
            return heredoc.content
        return expand.expand_body(heredoc.content, self.environment)

    def _destination(self, text: str) -> str:
        """Absolute from the working directory, its final `/` kept; `..` at the end is no folder."""
        path = os.path.normpath(os.path.join("/", self.config.working_dir, text))
        is_folder = text in ("", ".") or text.endswith(("/", "/."))
        path = "/" + path.lstrip("/")
        return path.rstrip("/") + "/" if is_folder else path

    def _origin(self, name: str) -> int | Reference:
        """What --from names: an earlier stage, or an image."""
        stage = self.plan.find(name, self.stage.number)
        if stage:
            return stage.number
        later = self.plan.find(name, len(self.plan.stages))
        if later or name.isdecimal():
            raise RootlessError(f"--from={name} is not an earlier stage")
        self.plan.check_image(name, self.stage.number)
        return Reference.parse(self.plan.image(name))

    def workdir(self, one: instructions.Workdir) -> None:
        """No path, as of an empty variable, stays where we are; an absolute one stays as it is."""
        text = self._expand(one.path)
        path = "/" + os.path.normpath(os.path.join("/", self.config.working_dir, text)).lstrip("/")
        shown = text if text.startswith("/") else path
        self.config = self.config.replace(working_dir=shown)
        if path == "/":
            self._note(f"WORKDIR {shown}")
        else:
            self._add(one, MakeFolder(path, self.config.user), f"WORKDIR {shown}")

    def env(self, one: instructions.Env) -> None:
        pairs = [(self._expand(name), self._expand(value)) for name, value in one.pairs]
        for name, value in pairs:
            self.environment[name] = self.exported[name] = value
        self._note("ENV " + " ".join(f"{name}={value}" for name, value in pairs))

    def arg(self, one: instructions.Arg) -> None:
        shown = []
        for name, default in one.pairs:
            value = self._argument(name, default)
            self.arguments[name] = value
            if value is not None:
                self.environment[name] = value
            shown.append(name if value is None else f"{name}={value}")
        self._note("ARG " + " ".join(shown))

    def _argument(self, name: str, default: str | None) -> str | None:
        """From the command line, else the default written here, else what is known globally."""
        if name in self.plan.build_args:
            return self.plan.build_args[name]
        if default is not None:
            return self._expand(default)
        if name in self.plan.arguments:
            return self.plan.arguments[name]
        return self.plan.predefined.get(name)

    def label(self, one: instructions.Label) -> None:
        pairs = [(self._expand(name), self._expand(value)) for name, value in one.pairs]
        self.labels |= dict(pairs)
        self._note("LABEL " + " ".join(f"{name}={value}" for name, value in pairs))

    def user(self, one: instructions.User) -> None:
        self.config = self.config.replace(user=self._expand(one.user))
        self._note(f"USER {self.config.user}")

    def expose(self, one: instructions.Expose) -> None:
        escape = self.plan.dockerfile.escape
        words = (expand.words(port, self.environment, escape) for port in one.ports)
        ports = {port for some in words for word in some for port in configs.ports(word)}
        self.ports |= dict.fromkeys(sorted(ports))
        self._note(f"EXPOSE [{' '.join(sorted(ports))}]")

    def volume(self, one: instructions.Volume) -> None:
        paths = tuple(map(self._expand, one.paths))
        if "" in paths:
            raise RootlessError("VOLUME has an empty path")
        self.volumes |= dict.fromkeys(paths)
        self._note(f"VOLUME [{' '.join(paths)}]")

    def cmd(self, one: instructions.Cmd) -> None:
        argv = configs.argv(self.config, one.command)
        self.config = self.config.replace(cmd=argv)
        self.has_own_cmd = True
        self._note(f"CMD {_quoted(argv)}")

    def entrypoint(self, one: instructions.Entrypoint) -> None:
        self.config = configs.with_entrypoint(
            self.config, one.command, cmd_is_inherited=not self.has_own_cmd
        )
        self._note(f"ENTRYPOINT {_quoted(self.config.entrypoint or ())}")

    def healthcheck(self, one: instructions.Healthcheck) -> None:
        self.config = configs.with_healthcheck(self.config, one)
        assert self.config.healthcheck
        self._note(f"HEALTHCHECK {spelling.healthcheck(self.config.healthcheck)}")

    def shell(self, one: instructions.Shell) -> None:
        self.config = self.config.replace(shell=one.args)
        self._note(f"SHELL [{' '.join(one.args)}]")

    def stopsignal(self, one: instructions.Stopsignal) -> None:
        self.config = configs.with_stop_signal(self.config, self._expand(one.signal))
        self._note(f"STOPSIGNAL {self.config.stop_signal}")

    def onbuild(self, one: instructions.Onbuild) -> None:
        """As BuildKit has it, history does not tell of it."""
        self.triggers.append(one.trigger)

    def maintainer(self, one: instructions.Maintainer) -> None:
        self.config = self.config.replace(author=one.name)
        self._note(f"MAINTAINER {one.name}")


def _quoted(argv: tuple[str, ...]) -> str:
    return f"[{' '.join(map(quoted, argv))}]"
