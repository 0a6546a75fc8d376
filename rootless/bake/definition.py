"""Groups and targets of all files together, and what of them is asked for. Pure.

Names are found, groups opened, targets inherit, --set changes them, targets that others take as
`target:NAME` come along: Definition → Resolved.
"""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase

from rootless import nearest
from rootless.bake import attributes
from rootless.bake.errors import BakeError
from rootless.bake.overrides import Override
from rootless.errors import NotFoundError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rootless.bake.attributes import Target

_PATTERN = set("*?[]")


class Group(Record):
    """Targets, or other groups, under one name."""

    targets: tuple[str, ...]
    description: str = ""


class Variable(Record):
    """A variable as --list shows it: the name of its type, its value as text."""

    name: str
    type: str = ""
    value: str | None = None
    description: str = ""


class Resolved(Record):
    """What is asked for: groups and targets by name, complete.

    `linked` are those that only other targets take as a context; nothing is made of them.
    """

    groups: dict[str, Group]
    targets: dict[str, Target]
    linked: frozenset[str]


class Definition(Record):
    """All that the files define, in their order."""

    groups: dict[str, Group]
    targets: dict[str, Target]
    variables: tuple[Variable, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every group and target, each once."""
        return list(dict.fromkeys([*self.groups, *self.targets]))

    def resolve(self, asked: Sequence[str], overrides: Sequence[Override] = ()) -> Resolved:
        """The targets that these names and patterns mean, as they are to be built."""
        try:
            return self._resolve(asked, overrides)
        except RecursionError:
            raise BakeError("groups or targets are made of others, too deeply") from None

    def _resolve(self, asked: Sequence[str], overrides: Sequence[Override]) -> Resolved:
        wanted = self._wanted(asked)
        builder = _Resolver(self, overrides)
        groups: dict[str, Group] = {}
        for name in wanted:
            targets, opened = self._opened(name)
            for target in targets:
                builder.take(target)
            groups.update((group, self.groups[group]) for group in opened)
        _add_default(groups, wanted)
        builder.link()
        return Resolved(groups, builder.taken, frozenset(builder.linked))

    def _wanted(self, asked: Sequence[str]) -> list[str]:
        found: list[str] = []
        for name in asked or ("default",):
            name = name.replace(".", "_")  # noqa: PLW2901 - as a compose service is called
            if not _PATTERN & set(name):
                found.append(name)
                continue
            matching = [one for one in [*self.groups, *self.targets] if fnmatchcase(one, name)]
            if not matching:
                raise NotFoundError(f"no target matches {name!r}", hint=_known(self))
            found += matching
        return list(dict.fromkeys(found))

    def _opened(self, name: str) -> tuple[list[str], list[str]]:
        """The targets in a group, at any depth, and the groups on the way."""
        targets: dict[str, None] = {}
        groups: dict[str, None] = {}

        def walk(one: str) -> None:
            if one not in self.groups:
                targets[one] = None
            elif one not in groups:
                groups[one] = None
                for inner in self.groups[one].targets:
                    if inner == one:  # a group with a target of its own name
                        targets[one] = None
                    walk(inner)

        walk(name)
        return list(targets), list(groups)


def _known(definition: Definition) -> str:
    names = sorted(definition.names)
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"there are: {shown}" if names else "the files define no targets"


def _add_default(groups: dict[str, Group], wanted: Sequence[str]) -> None:
    """Put what is asked for into the group `default`, as docker prints it."""
    default = groups.get("default")
    listed = list(default.targets) if default else []
    for name in wanted:
        if not (default and name == "default"):
            listed.append(name)
    description = default.description if default else ""
    groups["default"] = Group(tuple(sorted(set(listed))), description)


class _Resolver:
    """Targets as they become complete."""

    def __init__(self, definition: Definition, overrides: Sequence[Override]) -> None:
        self._definition = definition
        self._overrides = overrides
        self._inherited: dict[str, Target | None] = {}
        self.taken: dict[str, Target] = {}
        self.linked: set[str] = set()
        for override in overrides:
            self._check(override)

    def _check(self, override: Override) -> None:
        if not any(map(override.is_for, self._definition.targets)):
            raise NotFoundError(
                f"--set {override.pattern}…: no target matches {override.pattern!r}",
                hint=_known(self._definition),
            )

    def take(self, name: str) -> Target:
        """A target that is to be built."""
        if name not in self.taken:
            found = dict(self._whole(name) or {})
            found.pop("inherits", None)
            found["context"] = cleaned(found.get("context", "."))
            if found["context"] == "-":
                raise BakeError(f"target {name}: a context from standard input is only for build")
            found["dockerfile"] = found.get("dockerfile") or "Dockerfile"
            self.taken[name] = found
        return self.taken[name]

    def _whole(self, name: str) -> Target | None:
        """A target with what it inherits; None within itself."""
        if name in self._inherited:
            return self._inherited[name]
        if name not in self._definition.targets:
            hint = nearest.hint(name, self._definition.names) or _known(self._definition)
            raise NotFoundError(f"there is no target {name!r}", hint=hint)
        self._inherited[name] = None
        own = self._definition.targets[name]
        found: Target = {}
        for parent in own.get("inherits", ()):
            attributes.merge(found, self._whole(parent) or {})
        attributes.merge(found, own)
        for override in self._overrides:
            if override.is_for(name):
                override.apply(found)
        attributes.normalize(found)
        self._inherited[name] = found
        return found

    def link(self) -> None:
        """Bring along the targets that contexts name."""
        for name in list(self.taken):
            self._link(name, ())

    def _link(self, name: str, visited: tuple[str, ...]) -> None:
        target = self.taken[name]
        for other in linked_names(target):
            if other == name or other in visited:
                what = "itself" if other == name else f"{other}, which is made from it"
                raise BakeError(f"target {name} cannot be made from {what}")
            if other not in self.taken:
                self.take(other)["output"] = [{"type": "cacheonly"}]
                self.linked.add(other)
            self._link(other, (*visited, name))
            _inherit_entitlements(target, self.taken[other])
            _check_platforms(name, target, other, self.taken[other])


def cleaned(context: str) -> str:
    """A path as docker prints it; a URL stays as it is."""
    if "://" in context or context.startswith("git@"):
        return context.removeprefix("cwd://") or "."
    return posixpath.normpath(context or ".").replace("//", "/")


def linked_names(target: Mapping[str, object]) -> list[str]:
    """The targets that a target's contexts are made from."""
    contexts = target.get("contexts") or {}
    assert isinstance(contexts, dict)
    return [one.removeprefix("target:") for one in contexts.values() if one.startswith("target:")]


def _inherit_entitlements(target: Target, other: Target) -> None:
    if other.get("entitlements"):
        both = [*target.get("entitlements", ()), *other["entitlements"]]
        target["entitlements"] = list(dict.fromkeys(both))


def _check_platforms(name: str, target: Target, other: str, base: Target) -> None:
    wanted, there = target.get("platforms", ()), base.get("platforms", ())
    if len(wanted) > 1 and len(there) > 1 and not set(wanted) <= set(there):
        raise BakeError(
            f"target {name} is for {', '.join(wanted)}, but {other}, which it is made from, "
            f"only for {', '.join(there)}"
        )
