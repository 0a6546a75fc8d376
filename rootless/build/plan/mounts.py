"""What `RUN --mount` asks for, understood: one type each for bind, cache, tmpfs, secret and ssh.

Pure. Docker reads a mount when the build knows its variables, so even its type may be one; only
`from` cannot. Keys and defaults are BuildKit's; beside them stand podman's spellings of the same.
"""

from __future__ import annotations

import os

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.flags import fields
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.dockerfile import instructions
    from rootless.oci.reference import Reference

    Origin = int | Reference | str | None
    FindOrigin = Callable[[str], Origin]

SECRETS = "/run/secrets"
_UNITS = "kmgtp"
_MAX_ID = 0xFFFFFFFE
_MAX_SIZE = 1 << 62
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_NAMES = {
    "dst": "target", "destination": "target", "src": "source", "ro": "readonly",
    "readwrite": "rw", "tmpfs-size": "size",
}  # fmt: skip
_BARE = ("readonly", "rw", "required", "z")  # these may stand without a value
_EVERYWHERE = frozenset(
    {"type", "from", "id", "env"}
)  # what docker lets pass where it means nothing
_OWNED = frozenset({"mode", "uid", "gid"})
_KEYS = {
    "bind": _EVERYWHERE
    | {"target", "source", "readonly", "rw", "z", "relabel", "bind-propagation"},
    "cache": _EVERYWHERE
    | _OWNED
    | {"target", "source", "readonly", "rw", "sharing", "z", "relabel"},
    "tmpfs": _EVERYWHERE | {"target", "readonly", "rw", "size", "tmpfs-mode"},
    "secret": _EVERYWHERE | _OWNED | {"target", "source", "required", "readonly", "rw"},
    "ssh": _EVERYWHERE | _OWNED | {"target", "source", "required", "readonly", "rw"},
}
_ALL_KEYS = frozenset(_NAMES).union(*_KEYS.values())
_PROPAGATION = ("private", "rprivate")
_RELABELS = ("shared", "private")
SHARING = ("shared", "private", "locked")


class Bind(Record):
    """Files of the context (`origin` None), of a stage, an image or nothing (""), at `target`.

    What is written where it is `writable` is thrown away.
    """

    target: str
    origin: Origin
    source: str
    writable: bool


class Cache(Record):
    """A directory that is kept from build to build. A new one holds the `source` of `origin`, if
    there is one, else nothing, with these owners and this mode.
    """

    target: str
    id: str
    sharing: str
    writable: bool
    mode: int
    uid: int
    gid: int
    origin: Origin
    source: str


class Tmpfs(Record):
    """Memory of at most `size` bytes (0: no limit); a `mode` of None is that of what it covers."""

    target: str
    size: int
    writable: bool
    mode: int | None


class Secret(Record):
    """A secret as a file, as a variable, or both; "" for neither place."""

    id: str
    target: str
    env: str
    mode: int
    uid: int
    gid: int
    required: bool


class Ssh(Record):
    """The socket of an agent; a `target` of "" is the usual place."""

    id: str
    target: str
    mode: int
    uid: int
    gid: int
    required: bool


if TYPE_CHECKING:
    Mount = Bind | Cache | Tmpfs | Secret | Ssh


def canonical(mount: Mount) -> tuple[object, ...]:
    """What counts of a mount for a cache key, beside the contents that a bind shows.

    As in docker: of a cache its place only; of secrets and agents nothing of what they hold.
    """
    match mount:
        case Bind():
            return ("bind", mount.target, mount.writable)
        case Cache():
            return ("cache", mount.target, mount.writable)
        case Tmpfs():
            return ("tmpfs", mount.target, mount.size, mount.writable, mount.mode)
        case Secret():
            place = (mount.target, mount.env, mount.required)
            return ("secret", mount.id, place, mount.mode, mount.uid, mount.gid)
        case Ssh():
            return ("ssh", mount.id, mount.target, mount.required, mount.mode, mount.uid, mount.gid)


def read(
    mount: instructions.Mount,
    expand: Callable[[str], str],
    working_dir: str,
    origin: FindOrigin,
) -> Mount:
    """`mount` with its variables replaced. DockerfileError says what is wrong, in docker's words.

    `origin` is asked what `from` names; it is "" where there is none.
    """
    given = _Given(mount, expand)
    place = _Place(given, working_dir, origin(mount.from_) if mount.from_ else "")
    return _READERS[given.type](given, place)


def read_all(
    mounts: tuple[instructions.Mount, ...],
    expand: Callable[[str], str],
    working_dir: str,
    origin: FindOrigin,
    namespace: str = "",
) -> tuple[Mount, ...]:
    """All mounts of a command, outer ones first; of two at one place the last counts.

    `namespace` (BUILDKIT_CACHE_MOUNT_NS) keeps its caches apart from others of the same id.
    """
    found = {}
    for number, one in enumerate(mounts):
        understood = read(one, expand, working_dir, origin)
        if isinstance(understood, Cache) and namespace:
            understood = understood.replace(id=f"{namespace}/{understood.id}")
        found[understood.target or f"{number}"] = understood
    return tuple(sorted(found.values(), key=lambda one: one.target.count("/")))


class _Given:
    """The keys of one mount and their values, checked against its type."""

    def __init__(self, mount: instructions.Mount, expand: Callable[[str], str]) -> None:
        self.text = mount.text
        self._values: dict[str, str] = {}
        written: dict[str, str] = {}
        for field in fields(mount.text):
            key, equals, value = field.partition("=")
            name = _NAMES.get(key.lower(), key.lower())
            if not equals and name not in _BARE:
                raise DockerfileError(
                    f"invalid field '{field}' must be a key=value pair", near=field
                )
            self._values[name] = expand(value) if equals and name != "from" else value
            if not equals:
                self._values[name] = "true"
            if name in ("readonly", "rw"):
                on = self.truth(name)
                self._values["writable"] = str(on == (name == "rw")).lower()
            written[name] = field
        self.type = self._values.get("type", "bind").lower()
        self._check(written)

    def _check(self, written: dict[str, str]) -> None:
        if self.type not in _KEYS:
            raise DockerfileError(
                f'unsupported mount type "{self.type}"',
                near=written.get("type", self.text),
                hint=_meant(self.type, _KEYS),
            )
        for name, field in written.items():
            if name in _KEYS[self.type]:
                continue
            key = field.partition("=")[0].lower()
            if name in _ALL_KEYS:
                raise DockerfileError(f"{key} not allowed for {self.type} mounts", near=field)
            raise DockerfileError(
                f"unexpected key '{key}' in '{field}'", near=field, hint=_meant(key, _ALL_KEYS)
            )

    def text_of(self, name: str) -> str:
        return self._values.get(name, "")

    def truth(self, name: str, default: bool = False) -> bool:  # noqa: FBT001, FBT002
        value = self._values.get(name)
        if value is None:
            return default
        if value not in _BOOLEANS:
            raise self.wrong(name, value)
        return _BOOLEANS[value]

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self._values.get(name, allowed[0]).lower()
        if value not in allowed:
            raise DockerfileError(
                f'unsupported {name} value "{value}"',
                near=self.text,
                hint=f"it is one of {', '.join(allowed)}",
            )
        return value

    def number(self, name: str, default: int, *, octal: bool = False) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        digits = "01234567" if octal else "0123456789"
        if not 0 < len(value) < 12 or not set(value) <= set(digits):
            raise self.wrong(name, value)
        found = int(value, len(digits))
        if found > (0o7777 if octal else _MAX_ID):
            raise self.wrong(name, value)
        return found

    def size(self, name: str) -> int:
        value = self._values.get(name, "0")
        found = size_of(value)
        if found is None:
            raise self.wrong(name, value)
        return found

    def wrong(self, name: str, value: str) -> DockerfileError:
        return DockerfileError(f"invalid value {value!r} for {name}", near=self.text)


class _Place:
    """Where a mount goes, and what its files come from."""

    def __init__(self, given: _Given, working_dir: str, origin: Origin) -> None:
        self.origin = origin
        self._given = given
        self._working_dir = working_dir

    def target(self, default: str = "") -> str:
        """Absolute and tidy; DockerfileError where nothing can be mounted."""
        text = self._given.text_of("target") or default
        path = os.path.normpath(os.path.join("/", self._working_dir, text)) if text else "/"
        path = "/" + path.lstrip("/")
        if path == "/" or f"{path}/".startswith("/proc/"):
            raise DockerfileError(f'invalid mount target "{path}"', near=self._given.text)
        return path

    @property
    def source(self) -> str:
        """Absolute in its origin, `..` held at the top."""
        return "/" + os.path.normpath("/" + self._given.text_of("source")).lstrip("/")


def _bind(given: _Given, place: _Place) -> Bind:
    given.choice("bind-propagation", _PROPAGATION)
    given.choice("relabel", _RELABELS)
    # "" says that there is no `from`: then it is the context
    origin = None if not given.text_of("from") else place.origin
    return Bind(place.target(), origin, place.source, given.truth("writable"))


def _cache(given: _Given, place: _Place) -> Cache:
    given.choice("relabel", _RELABELS)
    target = place.target()
    if given.text_of("source") and not given.text_of("from"):
        raise DockerfileError(
            "a cache mount takes its source from an image or a stage",
            near=given.text,
            hint="say which: from=STAGE",
        )
    return Cache(
        target,
        given.text_of("id") or target,
        given.choice("sharing", SHARING),
        given.truth("writable", default=True),
        given.number("mode", 0o755, octal=True),
        given.number("uid", 0),
        given.number("gid", 0),
        place.origin,
        place.source,
    )


def _tmpfs(given: _Given, place: _Place) -> Tmpfs:
    mode = given.number("tmpfs-mode", -1, octal=True)
    writable = given.truth("writable", default=True)
    return Tmpfs(place.target(), given.size("size"), writable, mode if mode >= 0 else None)


def _secret(given: _Given, place: _Place) -> Secret:
    if given.text_of("from"):
        raise DockerfileError("secret mount should not have a from", near=given.text)
    target, env = given.text_of("target"), given.text_of("env")
    name = given.text_of("id") or given.text_of("source") or os.path.basename(target)
    if not name:
        raise DockerfileError(
            "a secret mount needs an id", near=given.text, hint="write type=secret,id=NAME"
        )
    file = place.target(f"{SECRETS}/{os.path.basename(name)}") if target or not env else ""
    return Secret(
        name,
        file,
        _variable(env, given),
        given.number("mode", 0o400, octal=True) & 0o777,
        given.number("uid", 0),
        given.number("gid", 0),
        given.truth("required"),
    )


def _ssh(given: _Given, place: _Place) -> Ssh:
    return Ssh(
        given.text_of("id") or given.text_of("source") or "default",
        place.target() if given.text_of("target") else "",
        given.number("mode", 0o600, octal=True) & 0o777,
        given.number("uid", 0),
        given.number("gid", 0),
        given.truth("required"),
    )


_READERS: dict[str, Callable[[_Given, _Place], Mount]] = {
    "bind": _bind,
    "cache": _cache,
    "tmpfs": _tmpfs,
    "secret": _secret,
    "ssh": _ssh,
}


def _variable(name: str, given: _Given) -> str:
    if "=" in name or "\0" in name:
        raise DockerfileError(f"{name!r} is not a variable's name", near=given.text)
    return name


def size_of(text: str) -> int | None:
    """Bytes, of a size as docker writes it: `64m`, `1.5GiB`, `1048576`; None when it is none."""
    number = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    digits = number.removesuffix(unit).strip()
    if not 0 < len(digits) < 20 or not digits.replace(".", "", 1).isdecimal():
        return None
    if not digits.isascii():
        return None
    size = int(float(digits) * (1024 ** (1 + _UNITS.index(unit)) if unit else 1))
    return size if size < _MAX_SIZE else None


def _meant(text: str, known: Iterable[str]) -> str | None:
    from rootless import nearest

    return nearest.hint(text, sorted(known))
