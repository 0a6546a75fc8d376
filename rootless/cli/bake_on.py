"""`bake --on`: each target is a job of a scheduler, and all of them share a registry.

Of the repository that `registry=` names, each target has a tag for its cache (cache-NAME), and one
for what pods are given to build from (context-NAME); a target that others are made from is pushed
under a tag of this run (target-NAME-RUN), and taken from there by its digest.
"""

from __future__ import annotations

import os
import sys

from rootless import nearest
from rootless.cli import bake_files, bake_run, bake_words, fetch, settings, words
from rootless.cli.bake_lines import Speaker
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.fleet import Job
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from rootless.bake.attributes import Target
    from rootless.bake.definition import Resolved
    from rootless.cli.bake_allowed import Allowed
    from rootless.cli.settings import Settings
    from rootless.fleet import Scheduler

_SCHEDULERS = ("slurm", "kubernetes")
_EXAMPLE = "write --on slurm,registry=REGISTRY/REPOSITORY"


class On(Record):
    """What --on says: a scheduler, `options` for it, and the repository that all share."""

    scheduler: str
    registry: str
    options: Mapping[str, str]


def parse(text: str) -> On:
    """`slurm|kubernetes,registry=NAME[,KEY=VALUE…]`; UsageError."""
    name, *fields = words.fields(text, "--on") or [""]
    if name not in _SCHEDULERS:
        hint = nearest.hint(name, _SCHEDULERS) or _EXAMPLE
        raise UsageError(f"--on {name!r}: no such scheduler is known", hint=hint)
    options: dict[str, str] = {}
    known = ("registry", *_options(name))
    for field in fields:
        key, _, value = field.partition("=")
        if key not in known:
            hint = nearest.hint(key, known) or f"the keys are {', '.join(known)}"
            raise UsageError(f"--on {name}: there is no key {key!r}", hint=hint)
        if not value or key in options:
            raise UsageError(f"--on {name}: {key} has one value", hint=f"write {key}=VALUE")
        options[key] = value
    if "registry" not in options:
        raise UsageError(f"--on {name}: there is no registry that all share", hint=_EXAMPLE)
    registry = Reference.parse(options.pop("registry"))
    return On(name, registry.familiar_name, options)


def _options(name: str) -> tuple[str, ...]:
    if name == "slurm":
        from rootless.fleet import slurm

        return ("logs", *slurm.OPTIONS)
    from rootless.fleet import kubernetes

    return kubernetes.OPTIONS


def commands(given: Settings, on: On, resolved: Resolved) -> Iterator[str]:
    """What would be handed over, for --dry-run; images and contexts have no digests yet."""
    bake = _Bake(given, on, resolved, "plain")
    for name in bake_run.in_order(bake.needs):
        images = {one: bake.tag(f"target-{one}-{bake.run}") for one in bake.needs[name]}
        context = "" if bake.scheduler.shares_files else bake.tag(f"context-{name}")
        yield bake.scheduler.describe(bake.job(name, images, context))


def build(
    given: Settings, on: On, resolved: Resolved, how: str, at_once: int, allowed: Allowed
) -> dict[str, dict[str, Any]]:
    """Build all targets; the metadata of each by its name. `how` is --progress."""
    from rootless.fleet.carry import carry_out

    bake = _Bake(given, on, resolved, how)
    bake_run.in_order(bake.needs)
    for name, target in resolved.targets.items():
        bake.check(name, target)
    bake.scheduler.check()
    bake.ask_registry()
    speaker = Speaker(resolved.targets, how, given)
    if not bake.scheduler.shares_files:
        bake.send_contexts(allowed)

    def prepare(name: str) -> Job:
        allowed.check(name, resolved.targets[name])
        images = {one: bake.image(one) for one in bake.needs[name]}
        return bake.job(name, images, bake.contexts.get(name, ""))

    def say(name: str, line: bytes) -> None:
        speaker.say(name, line, sys.stderr)

    carry_out(bake.scheduler, bake.needs, prepare, say, at_once=at_once)
    bake.scheduler.close()
    return {name: bake.metadata(target) for name, target in resolved.targets.items()}


class _Bake:
    """One bake: its targets, and what they leave for each other in the registry."""

    def __init__(self, given: Settings, on: On, resolved: Resolved, how: str) -> None:
        self._given = given
        self._repository = on.registry
        self._resolved = resolved
        self._how = how
        self.run = os.urandom(4).hex()
        self.needs = bake_run.needs(resolved)
        self._needed = frozenset().union(*self.needs.values())
        self.scheduler = _scheduler(given, on, self.run)
        self.contexts: dict[str, str] = {}

    def tag(self, tag: str) -> str:
        """A name in the repository that all share."""
        return f"{self._repository}:{tag}"

    def check(self, name: str, target: Target) -> None:
        """RootlessError for what would stay where nobody finds it, or is not there for a job."""
        title = self.scheduler.title
        try:
            if "call" in target and target["call"] != "build":
                raise RootlessError("a check is no job", hint="leave out --on")
            if target.get("ssh"):
                raise RootlessError(f"a job of {title} cannot reach your ssh agent")
            kinds = {_kind(one) for one in target.get("output", ())} or {"image"}
            if "image" in kinds and name not in self._resolved.linked:
                raise RootlessError(
                    f"its image would stay where the job of {title} was",
                    hint="push it: --push, or output = ['type=registry']",
                )
            if not self.scheduler.shares_files:
                bake_files.check(target, title)
        except RootlessError as error:
            raise RootlessError(f"target {name}: {error.message}", hint=error.hint) from None

    def ask_registry(self) -> None:
        """RootlessError where it cannot be reached from here, or does not know us."""
        try:
            self._digest(self.tag("cache"))
        except NotFoundError:
            pass
        except RootlessError as error:
            raise RootlessError(
                f"the registry that all are to share: {error.message}", hint=error.hint
            ) from None

    def send_contexts(self, allowed: Allowed) -> None:
        """Bring what pods build from to the registry."""
        for name, target in self._resolved.targets.items():
            allowed.check(name, target)
            if bake_files.has_files(target):
                reference = self.tag(f"context-{name}")
                print(f"sending what {name} is made from to {reference}", file=sys.stderr)
                digest = bake_files.send(self._given, name, target, reference)
                self.contexts[name] = f"{self._repository}@{digest}"

    def image(self, name: str) -> str:
        """What has been built of a target that others are made from."""
        return f"{self._repository}@{self._digest(self.tag(f'target-{name}-{self.run}'))}"

    def job(self, name: str, images: Mapping[str, str], context: str) -> Job:
        """The target as a job; `images` are those it is made from."""
        target = dict(self._resolved.targets[name])
        cache = {"type": "registry", "ref": self.tag(f"cache-{name}")}
        target["cache-from"] = [*target.get("cache-from", ()), cache]
        target["cache-to"] = [*target.get("cache-to", ()), {**cache, "mode": "max"}]
        if name in self._resolved.linked:
            target |= {"output": [], "tags": []}
        if name in self._needed:
            passed = {"type": "registry", "name": self.tag(f"target-{name}-{self.run}")}
            target["output"] = [*target.get("output", ()), passed]
        if context:
            target = bake_files.moved(target)
        command = bake_words.command(name, target, images, linked=False)
        told = (f"--progress={self._how}", *command.words)
        return Job(name, told, command.stdin, context)

    def metadata(self, target: Target) -> dict[str, Any]:
        """What --metadata-file says: names and digest of what was pushed."""
        outputs = [one for one in target.get("output", ()) if _kind(one) == "registry"]
        listed = [one["name"] for one in outputs if "name" in one]
        names = ",".join(listed).split(",") if listed else target.get("tags", [])
        if not outputs or not names:
            return {}
        digest = self._digest(names[0])
        return {"containerimage.digest": digest, "image.name": ",".join(names)}

    def _digest(self, name: str) -> str:
        """Of what the registry has under a name; NotFoundError."""
        from rootless.registry.errors import RegistryError

        reference = Reference.parse(name)
        client = fetch.client(self._given, reference, tls_verify=True)
        try:
            return str(client.manifest(reference.repository, reference.tag or "latest")[2])
        except RegistryError as error:
            if error.status == 404:
                raise NotFoundError(error.message, hint=error.hint) from None
            raise
        finally:
            client.close()


def _kind(output: Mapping[str, Any]) -> str:
    """The type of an output; what is pushed is `registry`, what stays in a store `image`."""
    kind = output["type"]
    if kind == "registry" or output.get("push", "false") == "true":
        return "registry"
    return "image" if kind == "image" or (kind == "docker" and "dest" not in output) else str(kind)


def _scheduler(given: Settings, on: On, run: str) -> Scheduler:
    if on.scheduler == "kubernetes":
        from rootless.fleet.kubernetes import Kubernetes

        return Kubernetes(run, on.options)
    from rootless.fleet.slurm import Slurm

    options = dict(on.options)
    logs = options.pop("logs", "") or os.path.join(_state_home(given), "rootless", "jobs")
    return Slurm(run, _command(given), os.path.abspath(logs), options, given.environment)


def _state_home(given: Settings) -> str:
    home = given.environment.get("HOME", "")
    found = given.environment.get("XDG_STATE_HOME") or (home and f"{home}/.local/state")
    if not found:
        raise UsageError("there is no HOME for the logs of jobs", hint="name a folder: logs=DIR")
    return found


def _command(given: Settings) -> tuple[str, ...]:
    """What starts this program on a node; with --root where that was given here."""
    started = os.path.abspath(sys.argv[0])
    as_module = os.path.basename(started) == "__main__.py"
    program = (sys.executable, *(("-m", "rootless") if as_module else (started,)))
    if given.root == settings.read(given.environment).root:
        return program
    return (*program, "--root", given.root)
