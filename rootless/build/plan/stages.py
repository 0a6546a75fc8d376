"""From parsed instructions to stages: what each is built on, and which of them are needed.

Pure: no files, and nothing is known yet of base images, so instructions keep their variables
(`steps` replaces them). The rules of ARG before FROM and of stage names are BuildKit's.
"""

from __future__ import annotations

from rootless.dockerfile import expand
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import Arg, Cmd, Copy, Entrypoint, From, Run, ShellForm
from rootless.errors import RootlessError
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rootless.build.plan.sources import Remote
    from rootless.dockerfile import Dockerfile, Instruction

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PREDECLARED = frozenset(_PROXIES) | frozenset(name.lower() for name in _PROXIES)
HOSTNAME = "buildkitsandbox"
ENTITLEMENTS = ("network.host", "security.insecure")
"""What a command is only given when the caller allows it: docker's names."""
_CONTROLS = ("SOURCE_DATE_EPOCH", "BUILDKIT_")


class Stage(Record):
    """One FROM and what follows it. `base` is an image, another stage's number, or None: scratch.

    `name` is empty without AS; `image` is what FROM says, its variables replaced. A context that
    --build-context names is a stage, too, with a number below 0, that holds what is at `remote`.
    """

    number: int
    name: str
    base: Reference | int | None
    platform: Platform
    origin: From
    instructions: tuple[Instruction, ...]
    image: str
    remote: Remote | None = None

    @property
    def title(self) -> str:
        """What people call the stage."""
        return self.name or f"stage-{self.number}"


class Plan(Record):
    """The stages of a Dockerfile, the one that is wanted, and the ARGs before the first FROM.

    `has_image` says whether a name is one of the images that are here. `env` is what every stage
    begins with, and `unset` what the image does not have at its end. `allow` names what commands
    may have beyond a sandbox.
    `contexts` has what stands for images, by their whole names: other images, or stages below 0.
    """

    dockerfile: Dockerfile
    stages: tuple[Stage, ...]
    target: Stage
    arguments: Mapping[str, str]
    platform: Platform
    build_args: Mapping[str, str]
    has_image: Callable[[str], bool]
    env: Mapping[str, str] = {}
    unset: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset({"network.host"})
    contexts: Mapping[str, Stage | str] = {}

    def stage(self, number: int) -> Stage:
        """The stage with a number, or the context."""
        if number >= 0:
            return self.stages[number]
        return next(
            one for one in self.contexts.values() if isinstance(one, Stage) and one.number == number
        )

    @property
    def predefined(self) -> dict[str, str]:
        """What a stage can declare without anybody giving it, whatever its FROM says."""
        return platform_arguments(self.platform, self.target.name)

    @property
    def hostname(self) -> str:
        """What commands see as the name of their machine."""
        return self.build_args.get("BUILDKIT_SANDBOX_HOSTNAME", HOSTNAME)

    def find(self, name: str, before: int) -> Stage | None:
        """The stage before number `before` that a name or number means, or the context."""
        context = _context(self.contexts, name)
        return _find(self.stages[:before], name) or (None if isinstance(context, str) else context)

    def image(self, name: str) -> str:
        """The image that is meant by the name of one."""
        context = _context(self.contexts, name)
        return context if isinstance(context, str) else name

    def check_image(self, name: str, before: int) -> None:
        """RootlessError when `name`, which is no stage's, is that of a stage before number
        `before` but for a slip: a registry would be asked for whatever somebody put there.
        """
        meant = self._meant(name, before)
        if meant:
            raise RootlessError(
                f"there is no stage {name!r}, and no image of that name is here",
                hint=f"did you mean the stage {meant}? "
                f"The image is written in full: docker.io/library/{name.lower()}",
            )

    def _meant(self, name: str, before: int) -> str | None:
        if _context(self.contexts, name) is not None:
            return None
        name = name.lower()
        earlier = self.stages[:before]
        if any(mark in name for mark in "/.:@") or name in {one.image for one in earlier}:
            return None
        if not any(one.name for one in earlier):
            return None
        from rootless import nearest

        slips = (one.name for one in earlier if nearest.is_slip(name, one.name))
        meant = next(slips, None)
        return meant if meant and not self.has_image(name) else None

    def images(self) -> Iterator[tuple[Reference, Platform]]:
        """The images that the target needs, as far as the Dockerfile tells: a base's ONBUILD may
        name more. What cannot be an image's name is left to `check_image` and `steps`.
        """
        for stage in self.needed():
            for name in _names(stage):
                if self.find(name, stage.number) is None:
                    yield from self._image(name, stage)

    def needed(self) -> Iterator[Stage]:
        """The target and the stages that it needs, as far as the Dockerfile tells."""
        waiting, seen = [self.target], {self.target.number}
        while waiting:
            stage = waiting.pop()
            yield stage
            for name in _names(stage):
                used = self.find(name, stage.number)
                if used is not None and used.number not in seen:
                    seen.add(used.number)
                    waiting.append(used)

    def _image(self, name: str, stage: Stage) -> Iterator[tuple[Reference, Platform]]:
        try:
            self.check_image(name, stage.number)
            yield Reference.parse(self.image(name)), stage.platform
        except RootlessError:
            return

    def warnings(self) -> Iterator[str]:
        """What looks wrong but does not stop the build, a sentence each."""
        instructions = self.dockerfile.instructions
        declared = {name for one in instructions if isinstance(one, Arg) for name, _ in one.pairs}
        unused = [
            name
            for name in self.build_args
            if name not in declared | PREDECLARED and not name.startswith(_CONTROLS)
        ]
        if unused:
            from rootless import nearest

            meant = [hint for name in unused if (hint := nearest.hint(name, sorted(declared)))]
            message = f"one or more build-args [{' '.join(unused)}] were not consumed"
            yield ": ".join([message, *meant[:1]])
        for one in instructions:
            if isinstance(one, Run | Cmd | Entrypoint) and isinstance(one.command, ShellForm):
                text = one.command.text
                if text.startswith("['") and text.endswith("]"):
                    yield (
                        f"line {one.location.start_line}: {text} is no JSON array, so a shell "
                        'gets it as it is: write it with double quotes, as in ["a", "b"]'
                    )


def plan(
    dockerfile: Dockerfile,
    build_args: Mapping[str, str],
    platform: Platform,
    target: str = "",
    has_image: Callable[[str], bool] = lambda _name: True,
    contexts: Mapping[str, Remote | str] = {},
) -> Plan:
    """The stages; DockerfileError shows the lines of what is wrong.

    `contexts` are what --build-context gives for names of images: other images, or files.
    """
    arguments: dict[str, str] = {}
    variables = platform_arguments(platform, target or dockerfile.heads[-1].name)
    stages: list[Stage] = []
    heads: list[int] = []
    for at, one in enumerate(dockerfile.instructions):
        if isinstance(one, From):
            heads.append(at)
        elif isinstance(one, Arg) and not heads:
            _declare(dockerfile, one, build_args, arguments, variables)
    for head, end in zip(heads, [*heads[1:], len(dockerfile.instructions)], strict=True):
        origin = dockerfile.instructions[head]
        assert isinstance(origin, From)
        body = dockerfile.instructions[head + 1 : end]
        stages.append(_stage(dockerfile, origin, body, stages, variables, platform))
    given = _contexts(contexts, stages[0].origin, platform) if contexts else {}
    stages = [_replaced(one, given) for one in stages] if given else stages
    wanted = _target(stages, target)
    planned = Plan(dockerfile, tuple(stages), wanted, arguments, platform, build_args, has_image)
    return planned.replace(contexts=given)


def context_name(text: str) -> str:
    """The whole name of an image, by which contexts are known; UsageError when it can be none."""
    return str(Reference.parse(text))


def _contexts(
    given: Mapping[str, Remote | str], origin: From, platform: Platform
) -> dict[str, Stage | str]:
    """What stands for the names of images; files become stages that hold them."""
    found: dict[str, Stage | str] = {}
    for name, one in given.items():
        known = context_name(name)
        if isinstance(one, str):
            found[known] = one
        else:
            number = -1 - len(found)
            found[known] = Stage(number, name, None, platform, origin, (), "scratch", one)
    return found


def _context(contexts: Mapping[str, Stage | str], name: str) -> Stage | str | None:
    if not contexts:
        return None
    try:
        return contexts.get(context_name(name))
    except RootlessError:
        return None


def _replaced(stage: Stage, contexts: Mapping[str, Stage | str]) -> Stage:
    """`stage`, or what stands for it by its name, or on what stands for its base."""
    context = _context(contexts, stage.name) if stage.name else None
    if context is not None:
        stage = stage.replace(instructions=())
    elif not isinstance(stage.base, Reference):
        return stage
    else:
        context = _context(contexts, stage.image)
    if context is None:
        return stage
    if isinstance(context, Stage):
        return stage.replace(base=context.number, image=context.name)
    base = None if context == "scratch" else Reference.parse(context)
    return stage.replace(base=base, image=context)


def proxies(build_args: Mapping[str, str]) -> dict[str, str]:
    """What commands see of the proxies that are given as build arguments: as in docker, whichever
    case a name is written in, it is there in both.
    """
    given = {name.upper(): value for name, value in build_args.items() if name in PREDECLARED}
    return {spelled: value for name, value in given.items() for spelled in (name, name.lower())} | {
        name: value for name, value in build_args.items() if name in PREDECLARED
    }


def platform_arguments(target: Platform, stage: str) -> dict[str, str]:
    """The ARGs that every build knows: TARGETPLATFORM, BUILDOS and so on.

    They are about the whole build: `stage` is the target's name, empty without AS.
    """
    values = {"TARGETSTAGE": stage or "default"}
    for prefix, platform in (("TARGET", target), ("BUILD", Platform.host())):
        values[f"{prefix}PLATFORM"] = str(platform)
        values[f"{prefix}OS"] = platform.os
        values[f"{prefix}ARCH"] = platform.architecture
        values[f"{prefix}VARIANT"] = platform.variant
        values[f"{prefix}OSVERSION"] = ""
    return values


def _declare(
    dockerfile: Dockerfile,
    arg: Arg,
    build_args: Mapping[str, str],
    arguments: dict[str, str],
    variables: dict[str, str],
) -> None:
    """Add what one global ARG makes known to `arguments`, and to all `variables` known so far."""
    for name, default in arg.pairs:
        if name in build_args:
            arguments[name] = variables[name] = build_args[name]
        elif default is not None:
            value = _expanded(dockerfile, arg, default, variables)
            arguments[name] = variables[name] = value


def _stage(
    dockerfile: Dockerfile,
    origin: From,
    body: tuple[Instruction, ...],
    earlier: list[Stage],
    variables: Mapping[str, str],
    target: Platform,
) -> Stage:
    platform = target
    image = _expanded(dockerfile, origin, origin.image, variables)
    wanted = _expanded(dockerfile, origin, origin.platform, variables)
    # As in docker, only a name in small letters: AS writes it so, and FROM is not read again.
    parent = _find(earlier, image) if not image.isdecimal() and image == image.lower() else None
    base: Reference | int | None = parent.number if parent else None
    try:
        if wanted:
            platform = Platform.parse(wanted)
        elif origin.platform:
            raise RootlessError(f"--platform={origin.platform} names no platform: it is empty")
        elif parent:
            platform = parent.platform
        if base is None and image != "scratch":
            base = _reference(image)
    except RootlessError as error:
        meant = _find(earlier, image)
        hint = f"the stage is called {meant.name}" if meant and meant.name else None
        hint = hint or _misspelled(dockerfile, origin, variables) or error.hint
        raise dockerfile.error(error.message, origin.location, hint) from None
    return Stage(len(earlier), origin.name, base, platform, origin, body, image)


def _misspelled(dockerfile: Dockerfile, origin: From, known: Mapping[str, str]) -> str | None:
    """The variable that one of a FROM stands for which nobody has declared."""
    from rootless import nearest

    used: set[str] = set()
    for text in (origin.image, origin.platform):
        expand.expand(text, known, dockerfile.escape, used)
    hints = (nearest.hint(name, known, prefix="$") for name in sorted(used - known.keys()))
    return next(filter(None, hints), None)


def _names(stage: Stage) -> Iterator[str]:
    """What a stage is built on and copies from, as it is written."""
    if stage.base is not None:
        yield stage.image
    for one in stage.instructions:
        if isinstance(one, Copy) and one.from_:
            yield one.from_
        if isinstance(one, Run):
            yield from (mount.from_ for mount in one.mounts if mount.from_ not in ("", "scratch"))


def _reference(image: str) -> Reference:
    if not image:
        raise RootlessError(
            "FROM has no image name: its variables are empty",
            hint="give the ARG before FROM a default, or pass it with --build-arg",
        )
    return Reference.parse(image)


def _find(stages: Sequence[Stage], name: str) -> Stage | None:
    wanted = name.lower()
    for stage in reversed(stages):
        if stage.name == wanted and wanted:
            return stage
    if name.isdecimal() and int(name) < len(stages):
        return stages[int(name)]
    return None


def _target(stages: Sequence[Stage], name: str) -> Stage:
    if not name:
        return stages[-1]
    stage = _find(stages, name)
    if stage is None:
        from rootless import nearest

        names = [stage.name or str(stage.number) for stage in stages]
        meant = nearest.hint(name, names)
        listed = f"stages: {', '.join(names)}"
        raise RootlessError(
            f"target stage {name!r} could not be found",
            hint=f"{meant} {listed}" if meant else listed,
        )
    return stage


def _expanded(
    dockerfile: Dockerfile, one: Arg | From, text: str, variables: Mapping[str, str]
) -> str:
    try:
        return expand.expand(text, variables, dockerfile.escape)
    except DockerfileError as error:
        raise dockerfile.locate(error, one.location) from None
