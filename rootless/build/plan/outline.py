"""What a build can be given: ARGs, secrets, ssh agents, as `--call outline` lists them. Pure.

Only what the target needs counts. Base images are not asked for, so what their ONBUILD triggers
declare is not among it.
"""

from __future__ import annotations

from rootless.build.plan.mounts import Secret, Ssh, read
from rootless.dockerfile.errors import DockerfileError, Location
from rootless.dockerfile.expand import expand
from rootless.dockerfile.instructions import Arg, Copy, Env, From, Run
from rootless.dockerfile.lint.writing import Comments
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.plan.stages import Plan, Stage
    from rootless.dockerfile.instructions import Mount


class Parameter(Record):
    """An ARG with the value it has in this build and what a comment above says of it."""

    name: str
    value: str
    description: str
    location: Location


class Access(Record):
    """A secret or an ssh agent that a RUN mounts."""

    name: str
    required: bool
    location: Location


class Outline(Record):
    """All of a target, in the order of the lines; `name` is empty without AS."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    secrets: tuple[Access, ...]
    ssh: tuple[Access, ...]


def outline(plan: Plan) -> Outline:
    """The target's; where two stages declare the same name, the one nearer to the target counts."""
    comments = Comments(plan.dockerfile)
    reader = _Reader(plan, comments)
    parameters: dict[str, Parameter] = {}
    mounts: list[tuple[Mount, Location]] = []
    for stage in _needed(plan):
        for one in reader.parameters(stage):
            parameters.setdefault(one.name, one)
        runs = (one for one in stage.instructions if isinstance(one, Run))
        mounts += [(mount, one.location) for one in runs for mount in one.mounts]
    target = plan.target
    return Outline(
        name=target.name,
        description=comments.describing(target.name, target.origin.location),
        parameters=tuple(sorted(parameters.values(), key=_line)),
        secrets=_accesses(mounts, Secret),
        ssh=_accesses(mounts, Ssh),
    )


def _line(one: Parameter | Access) -> int:
    return one.location.start_line


def _accesses(mounts: list[tuple[Mount, Location]], kind: type[Secret | Ssh]) -> tuple[Access, ...]:
    """Variables stay as they are written; what cannot be understood is for the build to tell."""
    found: dict[str, Access] = {}
    for mount, location in mounts:
        try:
            one = read(mount, str, "/", str)
        except DockerfileError:
            continue
        if isinstance(one, Secret | Ssh) and isinstance(one, kind):
            found.setdefault(one.id, Access(one.id, one.required, location))
    return tuple(sorted(found.values(), key=_line))


def _needed(plan: Plan) -> Iterator[Stage]:
    """The target, what it is built on, and what all of them copy from and mount."""
    waiting, seen = [plan.target], set()
    while waiting:
        stage = waiting.pop(0)
        if stage.number in seen:
            continue
        seen.add(stage.number)
        yield stage
        base = [plan.stage(stage.base)] if isinstance(stage.base, int) else []
        found = (plan.find(name, stage.number) for name in _origins(stage))
        waiting = [*base, *(one for one in found if one), *waiting]


def _origins(stage: Stage) -> Iterator[str]:
    for one in stage.instructions:
        if isinstance(one, Copy) and one.from_:
            yield one.from_
        elif isinstance(one, Run):
            yield from (mount.from_ for mount in one.mounts if mount.from_)


class _Reader:
    """Knows the ARGs before the first FROM, and which others each is made of."""

    def __init__(self, plan: Plan, comments: Comments) -> None:
        self._plan = plan
        self._comments = comments
        self._values = plan.predefined
        self._known: dict[str, Parameter] = {}
        self._parts: dict[str, set[str]] = {}
        self._environments: dict[int, dict[str, str]] = {}
        for one in plan.dockerfile.instructions:
            if isinstance(one, From):
                break
            assert isinstance(one, Arg)
            for name, default in one.pairs:
                used: set[str] = set()
                self._declare(one, name, default, self._values, self._known, used)
                self._parts[name] = used - {name}

    def parameters(self, stage: Stage) -> list[Parameter]:
        """Those that the stage itself uses: in its FROM, and by ARG."""
        used: set[str] = set()
        for text in (stage.origin.image, stage.origin.platform):
            self._expand(text, self._values, used)
        known = dict(self._known)
        self._environment(stage, known, used)
        waiting = list(used)
        while waiting:
            fresh = self._parts.get(waiting.pop(), set()) - used
            used |= fresh
            waiting += fresh
        return [one for name, one in known.items() if name in used]

    def _environment(
        self, stage: Stage, known: dict[str, Parameter], used: set[str]
    ) -> dict[str, str]:
        """What its instructions see at its end, less what an image brings."""
        chain = [stage]
        while isinstance(chain[-1].base, int) and chain[-1].base not in self._environments:
            chain.append(self._plan.stage(chain[-1].base))
        first = chain[-1].base
        environment = dict(self._environments[first]) if isinstance(first, int) else {}
        for one in reversed(chain[1:]):
            self._walk(one, environment, dict(self._known), set())
            self._environments[one.number] = dict(environment)
        self._walk(stage, environment, known, used)
        return environment

    def _walk(
        self,
        stage: Stage,
        environment: dict[str, str],
        known: dict[str, Parameter],
        used: set[str],
    ) -> None:
        for one in stage.instructions:
            if isinstance(one, Env):
                environment |= {
                    self._expand(name, environment): self._expand(value, environment)
                    for name, value in one.pairs
                }
            elif isinstance(one, Arg):
                for name, default in one.pairs:
                    used.add(name)
                    is_given = default is not None or name in self._plan.build_args
                    if is_given or name not in self._values:
                        self._declare(one, name, default, environment, known)
                    else:
                        environment[name] = self._values[name]

    def _declare(
        self,
        one: Arg,
        name: str,
        default: str | None,
        environment: dict[str, str],
        known: dict[str, Parameter],
        used: set[str] | None = None,
    ) -> None:
        value = self._plan.build_args.get(name)
        if value is None and default is not None:
            value = self._expand(default, environment, used)
        if value is not None:
            environment[name] = value
        description = self._comments.describing(name, one.location)
        known[name] = Parameter(name, value or "", description, one.location)

    def _expand(self, text: str, environment: dict[str, str], used: set[str] | None = None) -> str:
        try:
            return expand(text, environment, self._plan.dockerfile.escape, used)
        except DockerfileError:
            return text
