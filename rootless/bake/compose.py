"""The build sections of compose files → Definition. Pure; `extends: file:` reads by a callable.

compose-spec, build.md, and docker's extension `x-bake`. What does not say how an image is built
(ports, volumes, networks, …) is passed over.
"""

from __future__ import annotations

from rootless import nearest
from rootless.bake import attributes, entries, yaml
from rootless.bake.definition import Definition, Group, cleaned
from rootless.bake.errors import BakeError
from rootless.bake.evaluation import is_name
from rootless.bake.hcl import values
from rootless.bake.interpolation import interpolate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from rootless.bake.attributes import Target

    Read = Callable[[str], str]
    Node = Any  # what YAML gives

# A key of `build` → the attribute of a target, when it is taken as it is.
_TEXTS = {
    "context": "context",
    "dockerfile": "dockerfile",
    "dockerfile_inline": "dockerfile-inline",
    "target": "target",
    "network": "network",
}
_BUILD = (
    *_TEXTS,
    *(
        "additional_contexts",
        "args",
        "labels",
        "tags",
        "cache_from",
        "cache_to",
        "platforms",
        "ssh",
    ),
    *("secrets", "shm_size", "ulimits", "extra_hosts", "no_cache", "pull", "sbom", "provenance"),
    *("isolation", "privileged", "entitlements"),
)
_MAPS = ("args", "labels", "extra_hosts", "additional_contexts", "environment")
_BAKE_LISTS = ("tags", "platforms", "no-cache-filter")
_BAKE_ENTRIES = ("cache-from", "cache-to", "secret", "ssh", "output")
_MOST_EXTENDED = 20
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def parse(
    texts: Sequence[tuple[str, str]], environment: Mapping[str, str], read: Read
) -> Definition:
    """The targets of compose files, given as (name, text), the later ones over the earlier."""
    project: dict[str, Node] = {}
    for name, text in texts:
        document = _loaded(name, text, environment)
        services = document["services"]
        for key in services:
            services[key] = _extended(services[key], dict(services), environment, read)
        project = _merged(project, document)
    services = project.get("services", {})
    targets: dict[str, Target] = {}
    for name in sorted(services):
        service = services[name]
        if service.get("build") is not None:
            called = name.replace(".", "_")
            if not is_name(called):
                raise BakeError(f"{name!r} is no name of a target: letters, digits, _ and -")
            try:
                targets[called] = _target(service, project.get("secrets") or {}, environment)
            except BakeError as error:
                raise BakeError(f"service {name}: {error.plain}", hint=error.hint) from None
    groups = {"default": Group(tuple(targets))} if services else {}
    return Definition(groups, targets)


def is_compose(name: str) -> bool:
    """Whether a file is one by its name."""
    return name.lower().endswith((".yml", ".yaml"))


def _loaded(name: str, text: str, environment: Mapping[str, str]) -> dict[str, Node]:
    document = yaml.load(text, name)
    if not isinstance(document, dict):
        raise BakeError(f"{name} is no compose file: it is not a map")
    if "include" in document:
        raise BakeError(f"{name}: include is not supported", hint="name the file with -f too")
    found: dict[str, Node] = {"secrets": _map(document.get("secrets"), "secrets")}
    services = _map(document.get("services"), f"{name}: services")
    found["services"] = {key: _service(key, one) for key, one in services.items()}
    if not services and "secrets" not in document:
        raise BakeError(f"{name} is an empty compose file")
    try:
        return dict(_interpolated(found, environment))
    except BakeError as error:
        raise BakeError(f"{name}: {error.plain}") from None


def _map(value: Node, what: str) -> dict[str, Node]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BakeError(f"{what} must be a map")
    return value


def _service(name: str, service: Node) -> dict[str, Node]:
    """What matters of a service, with its maps as maps."""
    given = _map(service, f"service {name}")
    kept = ("image", "build", "environment", "extends")
    found = {key: given[key] for key in kept if key in given}
    if isinstance(found.get("build"), str):
        found["build"] = {"context": found["build"]}
    build = found.get("build")
    if build is not None:
        found["build"] = build = dict(_map(build, f"service {name}: build"))
        for key in build:
            if key not in _BUILD and not key.startswith("x-"):
                hint = nearest.hint(key, _BUILD)
                raise BakeError(f"service {name}: build has no {key!r}", hint=hint)
    for holder in (found, build or {}):
        for key in _MAPS:
            if key in holder:
                holder[key] = _as_map(
                    holder[key], f"service {name}: {key}", colon=key == "extra_hosts"
                )
    return found


def _as_map(value: Node, what: str, *, colon: bool = False) -> dict[str, Node]:
    """A map, or a list of KEY=VALUE; a KEY alone has no value."""
    if not isinstance(value, list):
        return _map(value, what)
    found: dict[str, Node] = {}
    for one in value:
        word = _text(one, what)
        key, equals, rest = word.partition("=")
        if not equals and colon:
            key, equals, rest = word.partition(":")
        found[key] = rest if equals else None
    return found


def _interpolated(value: Node, environment: Mapping[str, str]) -> Node:
    if isinstance(value, str):
        return interpolate(value, environment) if "$" in value else value
    if isinstance(value, dict):
        return {key: _interpolated(one, environment) for key, one in value.items()}
    if isinstance(value, list):
        return [_interpolated(one, environment) for one in value]
    return value


def _merged(one: Node, other: Node) -> Node:
    """The second over the first: maps key by key, lists one after the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            **one,
            **{
                key: _merged(one[key], value) if key in one else value
                for key, value in other.items()
            },
        }
    if isinstance(one, list) and isinstance(other, list):
        return [*one, *[value for value in other if value not in one]]
    return one if other is None else other


def _extended(
    service: Node,
    services: dict[str, Node],
    environment: Mapping[str, str],
    read: Read,
    depth: int = 0,
) -> dict[str, Node]:
    """A service on top of the one that it extends."""
    found: dict[str, Node] = dict(service)
    extends = found.pop("extends", None)
    if extends is None:
        return found
    if depth > _MOST_EXTENDED:
        raise BakeError("services extend each other in a circle")
    extends = {"service": extends} if isinstance(extends, str) else _map(extends, "extends")
    if "file" in extends:
        name = _text(extends["file"], "extends: file")
        services = _loaded(name, read(name), environment)["services"]
    wanted = extends.get("service")
    if wanted not in services:
        hint = nearest.hint(str(wanted), services)
        raise BakeError(f"there is no service {wanted!r} to extend", hint=hint)
    below = _extended(services[wanted], services, environment, read, depth + 1)
    return dict(_merged(below, found))


def _text(value: Node, what: str) -> str:
    if value is None or isinstance(value, dict | list):
        raise BakeError(f"{what}: a string is needed")
    return values.text(value)


def _texts(value: Node, what: str) -> list[str]:
    if not isinstance(value, list):
        raise BakeError(f"{what}: a list is needed")
    return [_text(one, what) for one in value]


def _target(
    service: dict[str, Node], secrets: Mapping[str, Node], environment: Mapping[str, str]
) -> Target:
    build = service["build"]
    found: Target = {
        attribute: _text(build[key], key) for key, attribute in _TEXTS.items() if build.get(key)
    }
    for key in ("tags", "platforms"):
        if build.get(key):
            found[key] = _texts(build[key], key)
    for key in ("cache_from", "cache_to"):
        if build.get(key):
            found[key.replace("_", "-")] = entries.caches(_texts(build[key], key))
    for key, attribute in (("no_cache", "no-cache"), ("pull", "pull")):
        if build.get(key) and values.boolean(build[key]):
            found[attribute] = True
    if build.get("labels"):
        found["labels"] = {key: _or_empty(one) for key, one in build["labels"].items()}
    found.update(_machine(build))
    found.update(_maps(build, service, environment))
    found.update(_taken(build, secrets))
    _add_bake(found, build.get("x-bake"))
    if not found.get("tags") and service.get("image"):
        found["tags"] = [_text(service["image"], "image")]
    return found


def _or_empty(value: Node) -> str:
    return "" if value is None else _text(value, "a label")


def _maps(
    build: dict[str, Node], service: dict[str, Node], environment: Mapping[str, str]
) -> Target:
    found: Target = {}
    own = service.get("environment") or {}
    args: dict[str, str] = {}
    for name, given in (build.get("args") or {}).items():
        around = (given, own.get(name), environment.get(name))
        value = next((one for one in around if one is not None), None)
        if value is not None:
            args[name] = _text(value, f"args: {name}")
    if args:
        found["args"] = args
    contexts = build.get("additional_contexts") or {}
    if contexts:
        found["contexts"] = {name: _context(_text(one, name)) for name, one in contexts.items()}
    hosts = build.get("extra_hosts") or {}
    if hosts:
        found["extra-hosts"] = {
            name: ",".join(_texts(one, name)) if isinstance(one, list) else _text(one, name)
            for name, one in hosts.items()
        }
    return found


def _context(text: str) -> str:
    for prefix in ("service:", "target:"):
        if text.startswith(prefix):
            return "target:" + text.removeprefix(prefix).replace(".", "_")
    return text if "://" in text or text.startswith("/") else cleaned(text)


def _machine(build: dict[str, Node]) -> Target:
    found: Target = {}
    if build.get("shm_size"):
        found["shm-size"] = size_text(size(_text(build["shm_size"], "shm_size")))
    if build.get("ulimits"):
        limits = []
        for name, limit in sorted(_map(build["ulimits"], "ulimits").items()):
            both = limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
            limits.append(f"{name}={both.get('soft', 0)}:{both.get('hard', 0)}")
        found["ulimits"] = limits
    attests = []
    for kind in ("sbom", "provenance"):
        if build.get(kind) is not None:
            attests.append(
                entries.parse("attest", entries.attest_of(kind, _text(build[kind], kind)))
            )
    if attests:
        found["attest"] = attests
    return found


def size(text: str) -> int:
    """Bytes of `64m`, `1gb`, `1.5 GiB`; BakeError for what is no size."""
    word = text.strip().lower().removesuffix("ib").removesuffix("b").strip()
    digits = word.rstrip("kmgt").strip()
    unit = _UNITS.get(word[len(word.rstrip("kmgt")) :])
    try:
        number = float(digits)
    except ValueError:
        number = -1
    if unit is None or not 0 <= number < 1 << 60:
        raise BakeError(f"{text!r} is no size", hint="write a number with k, m or g")
    return int(number * unit)


def size_text(number: float) -> str:
    """A size as docker writes it: 64MiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.4g}{unit}"
        number /= 1024
    raise AssertionError


def _taken(build: dict[str, Node], secrets: Mapping[str, Node]) -> Target:
    found: Target = {}
    if build.get("secrets"):
        found["secret"] = [_secret(one, secrets) for one in build["secrets"]]
    if build.get("ssh"):
        keys = _as_map(build["ssh"], "ssh").items()
        found["ssh"] = [
            {"id": key, "paths": [_text(path, "ssh")]} if path else {"id": key}
            for key, path in sorted(keys)
        ]
    return found


def _secret(given: Node, secrets: Mapping[str, Node]) -> entries.Entry:
    source = given.get("source") if isinstance(given, dict) else given
    name = _text(source, "secrets")
    if name not in secrets:
        hint = nearest.hint(name, secrets) or "declare it under secrets:"
        raise BakeError(f"there is no secret {name!r}", hint=hint)
    secret = _map(secrets[name], f"secret {name}")
    if secret.get("external"):
        raise BakeError(f"the secret {name!r} is external: only a cluster has it")
    found = {"id": name}
    if secret.get("file"):
        found["src"] = cleaned(_text(secret["file"], f"secret {name}"))
    if secret.get("environment"):
        found["env"] = _text(secret["environment"], f"secret {name}")
    return found


def _add_bake(target: Target, extension: Node) -> None:
    """What `x-bake` says beyond the compose specification; docker passes over unknown keys."""
    for key, value in _map(extension, "x-bake").items():
        if value is None:
            continue
        if key in ("pull", "no-cache"):
            target[key] = values.boolean(value)
        elif key == "contexts":
            given = {name: _context(_text(one, name)) for name, one in _map(value, key).items()}
            target[key] = {**given, **target.get(key, {})}
        elif key in _BAKE_LISTS:
            target[key] = list(dict.fromkeys([*target.get(key, ()), *_words(value, key)]))
        elif key in _BAKE_ENTRIES:
            kind = attributes.ATTRIBUTES[key].kind
            words = _words(value, key)
            added = (
                entries.caches(words)
                if kind == "cache"
                else [entries.parse(kind, word) for word in words]
            )
            target[key] = entries.without_twins([*target.get(key, ()), *added], kind)


def _words(value: Node, what: str) -> list[str]:
    return value.split() if isinstance(value, str) else _texts(value, what)
