"""`--set target.key=value`: changes to targets that the command line asks for. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase

from rootless import nearest
from rootless.bake import entries
from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.bake.attributes import Target

_TEXTS = ("context", "dockerfile", "target", "call", "shm-size", "network")
_BOOLS = ("no-cache", "pull")
_MAPS = ("args", "contexts", "labels", "extra-hosts")
_LISTS = {
    "tags": "tags",
    "platform": "platforms",
    "no-cache-filter": "no-cache-filter",
    "ulimits": "ulimits",
    "entitlements": "entitlements",
    "annotations": "annotations",
}
_ENTRIES = {
    "output": ("output", "output"),
    "cache-from": ("cache-from", "cache"),
    "cache-to": ("cache-to", "cache"),
    "secrets": ("secret", "secret"),
    "ssh": ("ssh", "ssh"),
    "attest": ("attest", "attest"),
}
_ALWAYS_ADDED = ("entitlements", "annotations", "attest")
KEYS = (*_TEXTS, *_BOOLS, *_MAPS, *_LISTS, *_ENTRIES, "push", "load")


class Override(Record):
    """`pattern.key[.part]=values`; several values of one key come together."""

    pattern: str
    key: str
    part: str
    values: tuple[str, ...]
    adds: bool = False

    def is_for(self, name: str) -> bool:
        """Whether the target of this name is meant."""
        return name == self.pattern or fnmatchcase(name, self.pattern)

    def apply(self, target: Target) -> None:
        """Change the target."""
        last = self.values[-1]
        what = f"--set {self.pattern}.{self.key}"
        if self.key in _TEXTS:
            target[self.key] = last
        elif self.key in _BOOLS:
            target[self.key] = entries.boolean(last, what)
        elif self.key in _MAPS:
            target[self.key] = {**target.get(self.key, {}), self.part: last}
        elif self.key in ("push", "load"):
            work = _pushed if self.key == "push" else _loaded
            target["output"] = work(
                list(target.get("output", ())), wanted=entries.boolean(last, what)
            )
        else:
            self._list(target)

    def _list(self, target: Target) -> None:
        given: list[object]
        if self.key in _LISTS:
            name, given = _LISTS[self.key], list(self.values)
        elif self.key.startswith("cache"):
            name, given = self.key, list(entries.caches(self.values))
        else:
            name, kind = _ENTRIES[self.key]
            given = [entries.parse(kind, value) for value in self.values if value]
        adds = self.adds or self.key in _ALWAYS_ADDED
        target[name] = [*target.get(name, ()), *given] if adds else given


def _pushed(outputs: list[entries.Entry], *, wanted: bool) -> list[entries.Entry]:
    """Outputs that push, or none that does: an output to a file stays as it is."""
    if not wanted:
        kept = [one for one in outputs if one["type"] != "registry"]
        return [{**one, "push": "false"} if one["type"] == "image" else one for one in kept]
    found = [{**one, "push": "true"} if one["type"] == "image" else one for one in outputs]
    if all(one["type"] == "docker" for one in outputs):
        found.append({"type": "image", "push": "true"})
    return found


def _loaded(outputs: list[entries.Entry], *, wanted: bool) -> list[entries.Entry]:
    """Outputs of which one is this machine's store, unless they are files."""
    to_store = [one for one in outputs if one["type"] == "docker" and not one.get("dest")]
    images = all(one["type"] in ("docker", "image", "registry", "oci") for one in outputs)
    if not wanted or to_store or not images:
        return outputs
    return [*outputs, {"type": "docker"}]


def parse(words: Iterable[str], environment: Mapping[str, str]) -> list[Override]:
    """The overrides of all --set flags; those of one pattern and key together, in their order."""
    found: dict[tuple[str, str, str], Override] = {}
    for word in words:
        one = _parsed(word, environment)
        if one is None:
            continue
        at = (one.pattern, one.key, one.part)
        if at in found:
            one = one.replace(values=(*found[at].values, *one.values))
        found[at] = one
    return list(found.values())


def _parsed(word: str, environment: Mapping[str, str]) -> Override | None:
    path, equals, value = word.partition("=")
    adds = path.endswith("+")
    pattern, dot, rest = path.removesuffix("+").partition(".")
    key, _, part = rest.partition(".")
    if not dot or not pattern:
        raise UsageError(f"--set {word!r} names no target", hint="write --set TARGET.KEY=VALUE")
    if key not in KEYS:
        raise UsageError(f"--set {word!r}: there is no key {key!r}", hint=nearest.hint(key, KEYS))
    if key in _MAPS and not part:
        raise UsageError(f"--set {word!r}: name what to set: {pattern}.{key}.NAME=VALUE")
    if not equals:
        if key != "args":
            raise UsageError(f"--set {word!r} has no value", hint="write --set TARGET.KEY=VALUE")
        if part not in environment:
            return None
        value = environment[part]
    return Override(pattern, key, part, (value,), adds)
