"""Stages that several targets of one Dockerfile need, found before anything is built.

Targets that differ in their stage only would carry out at the same time what they have in common.
So that is built first, once, and they find it in the cache. What cannot be known here (a context
that lies elsewhere, a Dockerfile with a mistake) is left to the builds.
"""

from __future__ import annotations

from rootless import dockerfile
from rootless.build.plan import stages
from rootless.cli import dockerfiles, fetch
from rootless.cli.bake_words import dockerfile_of, is_local
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.bake.attributes import Target
    from rootless.bake.definition import Resolved
    from rootless.build.plan.stages import Stage

_OWN = ("target", "tags", "labels", "annotations", "output", "description", "attest", "cache-to")


class Shared(Record):
    """What is to be built first, and who waits for it: a target of its own, or, where `target` is
    None, the one called `name`.
    """

    name: str
    target: Target | None
    waiting: frozenset[str]


def find(resolved: Resolved) -> list[Shared]:
    """Stages that two targets or more need."""
    found: list[Shared] = []
    for names in _alike(resolved).values():
        if len(names) > 1:
            try:
                found += _of_one_dockerfile(resolved, names)
            except RootlessError:  # the build of a target will say it better
                continue
    return found


def _alike(resolved: Resolved) -> dict[str, list[str]]:
    """Targets by all that decides what the stages of their Dockerfile are."""
    found: dict[str, list[str]] = {}
    for name, target in sorted(resolved.targets.items()):
        if not target.get("no-cache") and "call" not in target and is_local(target["context"]):
            same = sorted((key, repr(one)) for key, one in target.items() if key not in _OWN)
            found.setdefault(repr(same), []).append(name)
    return found


def _of_one_dockerfile(resolved: Resolved, names: list[str]) -> Iterator[Shared]:
    needed = {name: _needed(resolved.targets[name]) for name in names}
    wanted = {stage.number for found in needed.values() for stage in found.values()}
    ends = {max(found): name for name, found in needed.items()}
    common = {number: [one for one in names if number in needed[one]] for number in wanted}
    for number in sorted(wanted):
        users = common[number]
        stage = needed[users[0]][number]
        if len(users) < 2 or _is_below(number, common, needed[users[0]]):
            continue
        if owner := ends.get(number):
            yield Shared(owner, None, frozenset(users) - {owner})
        else:
            target = {key: one for key, one in resolved.targets[users[0]].items() if key != "tags"}
            target |= {"target": stage.name or str(number), "output": [{"type": "cacheonly"}]}
            yield Shared(f"stage {stage.title}", target, frozenset(users))


def _is_below(number: int, common: Mapping[int, list[str]], found: Mapping[int, Stage]) -> bool:
    """Whether another stage that as many need is built on this one, and brings it along."""
    users = len(common[number])
    above = [one for one in found.values() if one.base == number]
    return any(len(common[one.number]) >= users for one in above)


def _needed(target: Target) -> dict[int, Stage]:
    """The stages of a target by number; BuildKit's own order makes its own the last of them."""
    inline = target.get("dockerfile-inline")
    if inline:
        text, name = inline.encode(), "Dockerfile"
    else:
        written = dockerfiles.find(target["context"], target["context"], dockerfile_of(target))
        text, name = written.content, written.name
    platform = fetch.platform(target["platforms"][0] if target.get("platforms") else None)
    parsed = dockerfile.parse(text, name)
    planned = stages.plan(parsed, target.get("args", {}), platform, target.get("target", ""))
    return {stage.number: stage for stage in planned.needed()}
