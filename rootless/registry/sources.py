"""Where images come from: containers-registries.conf(5), version 2, as podman reads it.

A rule is for a registry, a namespace or a repository below it; the longest that fits counts. It
may name mirrors, another place, forbid the registry, or do without certificates. A name without a
registry is docker.io's, as docker has it: `unqualified-search-registries` are not searched, and
an alias counts where the user wrote it. The lists that distributions install are made for podman's
search; theirs would have `centos` mean what docker does not.
"""

from __future__ import annotations

import os
import stat

from rootless.errors import UsageError
from rootless.oci.reference import DOCKER_HUB, Reference, parse_registry
from rootless.record import Record
from rootless.registry.errors import RegistryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

MAX_FILE = 4 << 20
_SYSTEM = "/etc/"
_ASKED = {"all": (True, True), "digest-only": (False, True), "tag-only": (True, False)}


class Place(Record):
    """A registry to ask for what is called `prefix` and goes on; there it is called `location`.

    `tags` and `digests`: whether it is asked for one and the other.
    """

    prefix: str
    location: str
    insecure: bool = False
    tags: bool = True
    digests: bool = True

    @property
    def registry(self) -> str:
        """The host, and perhaps a port, as in Reference.registry."""
        return self.location.partition("/")[0]

    def repository(self, name: str) -> str:
        """What the repository is called there that we call `name`, with its registry."""
        path = (self.location + name.removeprefix(self.prefix)).partition("/")[2]
        return f"library/{path}" if self.registry == DOCKER_HUB and "/" not in path else path


class Rule(Record):
    """What `path` says of names that begin with `prefix`, which may be `*.DOMAIN`."""

    path: str
    prefix: str
    location: str
    insecure: bool
    blocked: bool
    mirrors: tuple[Place, ...]  # their prefix is not known before there is a name


class Sources(Record):
    """All rules by their prefix, and what single repositories are called elsewhere."""

    rules: Mapping[str, Rule] = {}
    aliases: Mapping[str, str] = {}

    def places(self, reference: Reference) -> tuple[Place, ...]:
        """Where to ask for an image, in this order: mirrors, then the place itself.

        RegistryError where the user or the machine forbids it.
        """
        name = _name(reference)
        known_as = self.aliases.get(name, name)
        rule, prefix = self._rule(known_as)
        if rule is None:
            return (Place(name, known_as),)
        rest = known_as.removeprefix(prefix)
        own = Place(name, (rule.location or prefix) + rest, rule.insecure)
        mirrors = (one.replace(prefix=name, location=one.location + rest) for one in rule.mirrors)
        places = (*mirrors, own)
        for place in places:
            if "/" not in place.location:
                raise _damaged(rule.path, f"{place.location} says not what {name} is called there")
        return places

    def destination(self, reference: Reference) -> Place:
        """Where an image is sent to: the registry of its name, never a mirror or another place."""
        name = _name(reference)
        rule, _ = self._rule(name)
        return Place(name, name, rule is not None and rule.insecure)

    def is_insecure(self, registry: str) -> bool:
        """Whether certificates of the registry need no check; RegistryError if it is blocked."""
        rule, _ = self._rule(registry)
        return rule is not None and rule.insecure

    def _rule(self, name: str) -> tuple[Rule | None, str]:
        """The rule for `name`, and how much of that it is about."""
        fits = [(fit, rule) for rule in self.rules.values() if (fit := _fit(rule.prefix, name))]
        if not fits:
            return None, ""
        prefix, rule = max(fits, key=lambda one: (one[1].prefix[:2] != "*.", len(one[1].prefix)))
        if rule.blocked:
            raise RegistryError(
                f"{prefix} is blocked in {rule.path}", hint="whoever wrote that file wanted it so"
            )
        return rule, prefix


def load(files: Iterable[str], folders: Iterable[str]) -> Sources:
    """What the first of `files` that exists says, and what the *.conf in `folders` say after it."""
    rules: dict[str, Rule] = {}
    aliases: dict[str, str] = {}
    for path, config in _configs(files, folders):
        rules.update((rule.prefix, rule) for rule in _rules(path, config))
        if not path.startswith(_SYSTEM):
            aliases.update(_aliases(path, config))
    return Sources(rules, {name: target for name, target in aliases.items() if target})


def _configs(files: Iterable[str], folders: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    first = next(filter(os.path.exists, files), None)
    if first:
        yield first, _read(first)
    for folder in folders:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                path = os.path.join(folder, name)
                yield path, _read(path)


def _read(path: str) -> dict[str, Any]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise _damaged(path, "it is not a regular file")
            config = _parse(path, file.read(MAX_FILE).decode())
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    except (ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if "registries" in config:
        raise _damaged(path, "it is of version 1, which podman does not read any more either")
    return config


def _parse(path: str, text: str) -> dict[str, Any]:
    """The tables of a file; of one that says nothing to us, as most machines have them, none."""
    lines = filter(None, (line.strip() for line in text.splitlines()))
    said = [line for line in lines if not line.startswith("#")]
    if path.startswith(_SYSTEM):
        said = [line for line in said if line != "[aliases]" and not _is_alias(line)]
    if not said:
        return {}
    import tomllib  # 5 ms

    return tomllib.loads(text)


def _is_alias(line: str) -> bool:
    """Whether a line says `"…" = "…"`."""
    value = line.partition("=")[2].strip()
    return line[:1] in ("'", '"') and value[:1] in ("'", '"')


def _rules(path: str, config: Mapping[str, Any]) -> Iterator[Rule]:
    for entry in _tables(path, config, "registry"):
        location = _location(path, entry, "location")
        prefix = _location(path, entry, "prefix") or location
        if not prefix:
            raise _damaged(path, "a registry has neither a prefix nor a location")
        if not location and not prefix.startswith("*."):
            location = prefix
        only_digests = _switch(path, entry, "mirror-by-digest-only")
        yield Rule(
            path,
            prefix,
            location,
            _switch(path, entry, "insecure"),
            _switch(path, entry, "blocked"),
            tuple(_mirrors(path, entry, only_digests=only_digests)),
        )


def _mirrors(path: str, entry: Mapping[str, Any], *, only_digests: bool) -> Iterator[Place]:
    for mirror in _tables(path, entry, "mirror"):
        location = _location(path, mirror, "location")
        asked = mirror.get("pull-from-mirror") or ("digest-only" if only_digests else "all")
        if not location:
            raise _damaged(path, "a mirror has no location")
        if asked not in _ASKED:
            raise _damaged(path, f"pull-from-mirror is {asked!r}: all, digest-only or tag-only")
        yield Place("", location, _switch(path, mirror, "insecure"), *_ASKED[asked])


def _aliases(path: str, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    table = config.get("aliases", {})
    if not isinstance(table, dict):
        raise _damaged(path, "aliases is not a table")
    for short, target in table.items():
        if not isinstance(target, str):
            raise _damaged(path, f"the alias {short} is not a name")
        try:
            yield _name(Reference.parse(short)), target and _name(Reference.parse(target))
        except UsageError as error:
            raise _damaged(path, error.message) from None


def _tables(path: str, table: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _damaged(path, f"{key} is not a list of tables: write [[{key}]]")
    return value


def _switch(path: str, table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _damaged(path, f"{key} is neither true nor false")
    return value


def _location(path: str, table: Mapping[str, Any], key: str) -> str:
    """A host, perhaps with a port and with names below it; "" when there is none."""
    value = table.get(key, "")
    if not isinstance(value, str):
        raise _damaged(path, f"{key} is not a text")
    host, slash, rest = value.rstrip("/").partition("/")
    if not host:
        return ""
    wild = "*." if key == "prefix" and host.startswith("*.") else ""
    try:
        registry = parse_registry(host.removeprefix(wild))
        if rest:
            Reference.parse(f"localhost/{rest}")
    except UsageError:
        what = "a registry or a name below one"
        raise _damaged(path, f"{key} {value[:200]!r} is not {what}") from None
    return f"{wild}{registry}{slash}{rest}"


def _fit(prefix: str, name: str) -> str:
    """How much of `name` the prefix is about; "" for nothing."""
    if prefix.startswith("*."):
        host = name.partition("/")[0]
        return host if host.endswith(prefix[1:]) and len(host) > len(prefix) - 1 else ""
    return prefix if name == prefix or name.startswith(f"{prefix}/") else ""


def _name(reference: Reference) -> str:
    return f"{reference.registry}/{reference.repository}"


def _damaged(path: str, why: str) -> RegistryError:
    return RegistryError(
        f"{path} cannot be used: {why}", hint="man 5 containers-registries.conf says how it is"
    )
