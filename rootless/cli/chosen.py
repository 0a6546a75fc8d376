"""`ps --filter KEY=VALUE`: which containers are meant, by docker's rules.

Values of one key are alternatives, but all labels must be there; names and ids are regular
expressions. A key that asks for what no container here can have finds none.
"""

from __future__ import annotations

from rootless.cli import filters
from rootless.container import records
from rootless.container.spec import Container
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.store import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.store import Store

    Test = Callable[[Container], bool]

KEYS = (
    *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name"),
    *("network", "publish", "since", "status", "volume"),
)
_STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
_HEALTH = ("starting", "healthy", "unhealthy", "none")


class Chosen:
    """The containers that filters mean; `all_states` says that they name states themselves."""

    def __init__(self, store: Store, texts: Sequence[str]) -> None:
        """UsageError for a filter that is none, NotFoundError for a container that is not there."""
        self._asked = filters.parse(texts, KEYS)
        self._store = store
        self._tests = [
            self._test(key) for key in dict.fromkeys(key for key, _ in self._asked.pairs)
        ]

    @property
    def all_states(self) -> bool:
        """Whether those that have ended are among what is looked through, as with --all."""
        return bool(self._asked.values("status"))

    def has(self, container: Container) -> bool:
        """Whether it is meant."""
        return all(test(container) for test in self._tests)

    def _test(self, key: str) -> Test:
        values = self._asked.values(key)
        if key == "label":
            return lambda one: self._asked.has_labels(one.labels)
        if key in ("id", "name"):
            return _matching(key, values)
        if key in ("before", "since"):
            return self._beside(key, values)
        if key == "ancestor":
            return self._ancestor(values)
        return _SIMPLE[key](values)

    def _beside(self, key: str, values: Sequence[str]) -> Test:
        """Created before or since another."""
        if len(values) > 1:
            raise UsageError(f"invalid filter '{key}': one container is enough")
        found = records.find(self._store, values[0])
        moment = found.created if isinstance(found, Container) else 0.0
        if key == "before":
            return lambda one: one.created < moment
        return lambda one: one.created > moment

    def _ancestor(self, values: Sequence[str]) -> Test:
        """Made of an image, or of one that was made of it."""
        wanted = []
        for text in values:
            try:
                wanted.append(images.resolve(self._store, text))
            except RootlessError:  # docker finds no container then
                continue
        known = {image.id: True for image in wanted}
        bottoms = [image.config.diff_ids for image in wanted]

        def descends(container: Container) -> bool:
            if container.image_id not in known:
                layers = _layers(self._store, container)
                known[container.image_id] = any(
                    bottom and bottom == layers[: len(bottom)] != layers for bottom in bottoms
                )
            return known[container.image_id]

        return descends


def _layers(store: Store, container: Container) -> tuple[object, ...]:
    try:
        return images.resolve(store, str(container.image_id)).config.diff_ids
    except (NotFoundError, IntegrityError):
        return ()


def _matching(key: str, values: Sequence[str]) -> Test:
    import re

    try:
        patterns = [re.compile(value) for value in values]
    except re.error as error:
        raise UsageError(f"invalid filter '{key}': {error}") from None

    def matches(container: Container) -> bool:
        names = (container.id,) if key == "id" else (container.name, f"/{container.name}")
        return any(pattern.search(name) for pattern in patterns for name in names)

    return matches


def _status(values: Sequence[str]) -> Test:
    _check("status", values, _STATES)
    return lambda one: one.state.status in values


def _health(values: Sequence[str]) -> Test:
    _check("health", values, _HEALTH)
    return lambda one: (one.state.health.status if one.state.health else "none") in values


def _task(values: Sequence[str]) -> Test:
    wanted = filters.Filters(tuple(("is-task", value) for value in values)).flag("is-task")
    return lambda _: not wanted


def _exited(values: Sequence[str]) -> Test:
    for value in values:
        if not value.removeprefix("-").isdecimal():
            raise UsageError(f"invalid filter 'exited={value}'", hint="write exited=CODE")
    return lambda one: one.state.status == "exited" and str(one.state.exit_code) in values


def _network(values: Sequence[str]) -> Test:
    return lambda one: any(name in values for name in one.spec.networks)


def _volume(values: Sequence[str]) -> Test:
    def has(container: Container) -> bool:
        every = ((one.name, one.source, one.target) for one in container.spec.mounts)
        places = {place for three in every for place in three if place}
        return not places.isdisjoint(values)

    return has


def _ports(key: str, values: Sequence[str]) -> Test:
    wanted = {port for value in values for port in _range(key, value)}

    def has(container: Container) -> bool:
        there: Iterable[str] = container.spec.run.exposed_ports
        if key == "publish":
            there = (f"{one.container_port}/{one.protocol}" for one in container.spec.ports)
        return not wanted.isdisjoint(one if "/" in one else f"{one}/tcp" for one in there)

    return has


def _range(key: str, text: str) -> Iterable[str]:
    """`80`, `80/udp` or `8000-8010/tcp`."""
    numbers, _, protocol = text.partition("/")
    first, dash, last = numbers.partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal() and int(first[:6]) <= int(last[:6]) <= 0xFFFF):
        hint = f"write {key}=PORT[-PORT][/PROTOCOL]"
        raise UsageError(f"invalid filter '{key}={text}'", hint=hint)
    return (f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last) + 1))


def _check(key: str, values: Sequence[str], known: Sequence[str]) -> None:
    for value in values:
        if value not in known:
            hint = f"it may be {', '.join(known)}"
            raise UsageError(f"invalid filter '{key}={value}'", hint=hint)


_SIMPLE: dict[str, Callable[[Sequence[str]], Test]] = {
    "status": _status,
    "health": _health,
    "is-task": _task,
    "exited": _exited,
    "network": _network,
    "volume": _volume,
    "publish": lambda values: _ports("publish", values),
    "expose": lambda values: _ports("expose", values),
}
