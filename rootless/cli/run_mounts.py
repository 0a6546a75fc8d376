"""`-v`, `--mount`, `--tmpfs`, `--volumes-from` understood, in docker's spellings and podman's.

Pure; complaints are docker's.
"""

from __future__ import annotations

import os

from rootless.container.mounts import in_order
from rootless.container.spec import Mount
from rootless.errors import RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_CLASSES = (
    ("ro", "rw"),
    ("z", "Z"),
    PROPAGATIONS,
    ("nocopy", "copy"),
    ("consistent", "cached", "delegated", "default"),
    ("U",),
    ("O",),
    ("exec", "noexec"),
    ("dev", "nodev"),
    ("suid", "nosuid"),
    ("bind", "rbind"),
)
"""Words of -v: of each line one may be given."""
_OF_BINDS = frozenset((*PROPAGATIONS, "bind", "rbind"))
_SILENT = frozenset(("ro", "rw", "consistent", "cached", "delegated", "default", "rbind", "copy"))
_TMPFS_FLAGS = frozenset(
    (
        *("ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async"),
        *("atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime"),
        *("nostrictatime", "remount", "dirsync", "mand", "nomand", "bind", "rbind", "unbindable"),
        *("runbindable", "defaults", "tmpcopyup", "notmpcopyup", *PROPAGATIONS),
    )
)
_TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")
_DIGITS = {"uid": "0123456789", "gid": "0123456789", "mode": "01234567"}
_VOLUME_HINT = "write -v SOURCE:/PATH/IN/CONTAINER[:ro], or -v /PATH/IN/CONTAINER"
_MOUNT_HINT = (
    "write --mount type=bind,src=DIR,dst=/PATH, type=volume,src=NAME,dst=/PATH, "
    "type=image,src=IMAGE,dst=/PATH, or type=tmpfs,dst=/PATH"
)
_LONELY = frozenset(
    ("readonly", "ro", "rw", "volume-nocopy", "bind-nonrecursive", "bind-create-src", "U", "chown")
)
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True", ""), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def fill(
    _given: Settings, arguments: Arguments, spec: dict[str, Any], changes: dict[str, Any]
) -> None:
    """As `run_flags` has it."""
    spec["mounts"] = read(arguments)
    spec["volumes_from"] = containers(arguments)
    changes["volumes"] = anonymous(arguments)


def read(arguments: Arguments) -> tuple[Mount, ...]:
    """What the flags mount, outer ones before those inside them.

    As docker does, the same -v twice counts once, and of two tmpfs on one target the last.
    """
    if arguments.volume_driver:
        _check_driver(arguments.volume_driver)
    targets: dict[str, Mount] = {}
    tmpfs = {one.target: one for one in map(memory, arguments.tmpfs)}
    for one in (
        *dict.fromkeys(map(volume, arguments.volume)),
        *map(mount, arguments.mount),
        *tmpfs.values(),
    ):
        if one.target in targets:
            raise RootlessError(
                f"Duplicate mount point: {one.target}", hint="mount one thing on one place"
            )
        targets[one.target] = one
    return in_order(tuple(targets.values()))


def containers(arguments: Arguments) -> tuple[str, ...]:
    """Those of --volumes-from, as they are typed."""
    for text in arguments.volumes_from:
        check_container(text)
    return tuple(arguments.volumes_from)


def anonymous(arguments: Arguments) -> tuple[str, ...]:
    """The targets of -v that are a volume of the container's own."""
    every = (volume(text) for text in arguments.volume if ":" not in text)
    return tuple(dict.fromkeys(one.target for one in every))


def volume(text: str) -> Mount:
    """`[SOURCE:]TARGET[:OPTIONS]`: a SOURCE with a slash, a dot or a tilde first is a path."""
    if not text:
        raise UsageError("invalid empty volume spec", hint=_VOLUME_HINT)
    parts = text.split(":")
    if "" in parts:
        raise UsageError(f"invalid spec: {text}: empty section between colons", hint=_VOLUME_HINT)
    if len(parts) == 1:
        return Mount("volume", _target(text, f"invalid volume specification: '{text}'"))
    source, target, *options = parts
    if len(options) > 1 or (not options and _is_mode(target)):
        raise UsageError(f"invalid volume specification: '{text}'", hint=_VOLUME_HINT)
    words = _words(options[0]) if options else ()
    is_bind = source.startswith(("/", ".", "~"))
    kind = "bind" if is_bind else "volume"
    wrong = f"invalid volume specification: '{text}': invalid mount config for type \"{kind}\""
    path = _target(target, wrong)
    kept = tuple(one for one in words if one not in _SILENT)
    if is_bind:
        if "nocopy" in words:
            raise UsageError(f"{wrong}: field VolumeOptions must not be specified")
        source = os.path.abspath(os.path.expanduser(source))
        return Mount("bind", path, source, "", "ro" in words, (*kept, "create"), "-v")
    if not _OF_BINDS.isdisjoint(words):
        raise UsageError(f"{wrong}: field BindOptions must not be specified")
    _check_name(source)
    return Mount("volume", path, "", source, "ro" in words, kept, "-v")


def _check_driver(driver: str) -> None:
    from rootless.store import volumes

    volumes.check_driver("volume", driver)


def _check_name(name: str) -> None:
    from rootless.store import volumes

    volumes.check_name(name)


def _target(path: str, wrong: str) -> str:
    """A clean absolute path in the container; UsageError begins with `wrong`."""
    if not path.startswith("/"):
        raise UsageError(
            f"{wrong}: invalid mount path: '{path}' mount path must be absolute",
            hint="it is a path in the container: begin it with /",
        )
    clean = os.path.normpath(f"/{path.lstrip('/')}")
    if clean == "/":
        raise UsageError(
            f"{wrong}: invalid specification: destination can't be '/'",
            hint="nothing can be mounted on the container's root itself: name a directory in it",
        )
    return clean


def _is_mode(text: str) -> bool:
    try:
        return bool(_words(text))
    except UsageError:
        return False


def _words(text: str) -> tuple[str, ...]:
    """Options of -v; UsageError for one that is none, or two that cannot both be meant."""
    words = tuple(text.split(","))
    seen: set[int] = set()
    for word in words:
        place = next((n for n, known in enumerate(_CLASSES) if word in known), -1)
        if place < 0 or place in seen:
            raise UsageError(
                f"invalid mode: {text}",
                hint=_VOLUME_HINT
                + "; options are "
                + ", ".join(one for known in _CLASSES for one in known),
            )
        seen.add(place)
    return words


def memory(text: str) -> Mount:
    """`PATH[:OPTIONS]` of --tmpfs."""
    path, _, options = text.partition(":")
    words = tuple(filter(None, options.split(",")))
    for word in words:
        key, equals, value = word.partition("=")
        digits = _DIGITS.get(key, value)
        if (
            not (key in _TMPFS_VALUES if equals else key in _TMPFS_FLAGS)
            or value.strip(digits)
            or bool(equals) != bool(value)
        ):
            raise UsageError(
                f'invalid tmpfs option "{word}"',
                hint="write --tmpfs /PATH[:size=64m,mode=700,uid=1000,gid=1000]",
            )
    access = [word for word in words if word in ("ro", "rw")]
    kept = tuple(word for word in words if word not in (*PROPAGATIONS, "ro", "rw"))
    target = _target(path, f"invalid --tmpfs {text!r}")
    return Mount("tmpfs", target, "", "", access[-1:] == ["ro"], kept, "--tmpfs")


def check_container(text: str) -> None:
    """UsageError for what is no CONTAINER[:ro|rw] of --volumes-from."""
    if not text:
        raise UsageError("volumes-from specification cannot be an empty string")
    name, colon, mode = text.partition(":")
    if not name:
        raise UsageError('invalid name or ID supplied: ""', hint="write --volumes-from NAME[:ro]")
    words = _words(mode) if colon else ()
    if not {"ro", "rw", "z", "Z"}.issuperset(words):
        raise UsageError(f"invalid mode: {mode}", hint="write --volumes-from NAME[:ro]")


def mount(text: str) -> Mount:
    """`type=TYPE,KEY=VALUE,…` of --mount."""
    return _Reader(text).read()


class _Reader:
    """One --mount: what each key says, and then what all of it comes to."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._kind = "volume"
        self._source = ""
        self._target = ""
        self._read_only = False
        self._writable = False
        self._options: list[str] = []
        self._recursive = ""
        self._prefixes: set[str] = set()

    def read(self) -> Mount:
        from rootless.cli import words

        if not self._text:
            raise self._wrong("EOF")
        for field in words.fields(self._text, "--mount"):
            self._take(field.strip())
        if not self._target:
            raise self._wrong("target is required")
        self._check_kind()
        self._check_recursion()
        target = _target(self._target, self._config())
        check = {
            "bind": self._bind,
            "tmpfs": self._memory,
            "volume": self._volume,
            "image": self._image,
        }
        source, name = check[self._kind]()
        options = tuple(self._options)
        return Mount(self._kind, target, source, name, self._read_only, options, "--mount")

    def _take(self, field: str) -> None:
        key, equals, value = field.partition("=")
        known = key.lower() if key not in ("U", "Z") else key
        if not equals and known not in _LONELY:
            raise self._wrong(f"invalid field '{field}' must be a key=value pair")
        act = _KEYS.get(known)
        if act is None:
            raise self._wrong(f"unexpected key '{key}' in '{field}'", key)
        prefix = known.partition("-")[0]
        if prefix in ("bind", "volume", "tmpfs", "image") and "-" in known:
            self._prefixes.add(prefix)
        act(self, known, value)

    def kind(self, _key: str, value: str) -> None:
        self._kind = value.lower()

    def source(self, _key: str, value: str) -> None:
        self._source = value

    def target(self, _key: str, value: str) -> None:
        self._target = value

    def read_only(self, key: str, value: str) -> None:
        self._read_only = self._boolean(key, value) != (key == "rw")
        self._writable = key == "rw" and not self._read_only

    def word(self, key: str, value: str) -> None:
        """A key that is a word of its own."""
        if self._boolean(key, value):
            self._options.append(_WORDS[key])

    def recursion(self, key: str, value: str) -> None:
        if key == "bind-nonrecursive":
            self._recursive = "disabled" if self._boolean(key, value) else self._recursive
            return
        known = ("enabled", "disabled", "writable", "readonly")
        if value not in known:
            raise self._wrong(
                f"invalid value for {key}: {value} "
                '(must be "enabled", "disabled", "writable", or "readonly")'
            )
        self._recursive = value

    def propagation(self, _key: str, value: str) -> None:
        if value not in PROPAGATIONS:
            raise UsageError(
                f"{self._config()}: invalid propagation mode: {value}",
                hint=f"there are {', '.join(PROPAGATIONS)}",
            )
        self._options.append(value)

    def relabel(self, key: str, value: str) -> None:
        if value not in ("shared", "private"):
            raise self._wrong(f"invalid value for {key}: {value}")
        self._options.append("z" if value == "shared" else "Z")

    def keep(self, key: str, value: str) -> None:
        """A key with a value for who carries it out."""
        if not value:
            raise self._wrong(f"invalid value for {key}: {value}")
        self._options.append(f"{_NAMES.get(key, key)}={value}")

    def subpath(self, key: str, value: str) -> None:
        if value.startswith("/") or ".." in value.split("/"):
            raise UsageError(f"{self._config()}: subpath must be a relative path within the volume")
        self.keep(key, value)

    def size(self, key: str, value: str) -> None:
        from rootless.build.plan.mounts import size_of

        size = size_of(value)
        if size is None:
            raise self._wrong(f"invalid value for {key}: {value}")
        self._options.append(f"size={size}")

    def mode(self, key: str, value: str) -> None:
        if not value or not set(value) <= set("01234567") or len(value) > 5:
            raise self._wrong(f"invalid value for {key}: {value}")
        self._options.append(f"mode={value}")

    def nothing(self, _key: str, _value: str) -> None:
        """What only other systems heed."""

    def _boolean(self, key: str, value: str) -> bool:
        found = _BOOLEANS.get(value)
        if found is None:
            raise self._wrong(f"invalid value for {key}: {value}")
        return found

    def _check_kind(self) -> None:
        if self._kind not in ("bind", "volume", "tmpfs", "image"):
            raise UsageError(f"{self._config()}: mount type unknown", hint=_MOUNT_HINT)
        for prefix in sorted(self._prefixes - {self._kind}):
            raise self._wrong(f"cannot mix '{prefix}-*' options with mount type '{self._kind}'")

    def _check_recursion(self) -> None:
        if self._recursive == "readonly" and not self._read_only:
            raise self._wrong(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in "
                "conjunction"
            )
        if self._recursive == "disabled":
            self._options.append("bind")
        elif self._recursive == "writable":
            self._options.append("writable-submounts")

    def _bind(self) -> tuple[str, str]:
        """A bind's source, and no name."""
        if not self._source:
            raise self._no_source("DIR")
        source = self._source
        if source.startswith("."):
            source = os.path.abspath(source)
        if not source.startswith("/"):
            raise UsageError(
                f"{self._config()}: invalid mount path: '{source}' mount path must be absolute",
                hint="begin it with / or ./",
            )
        return os.path.normpath(source), ""

    def _memory(self) -> tuple[str, str]:
        if self._source:
            raise UsageError(f"{self._config()}: field Source must not be specified")
        return "", ""

    def _image(self) -> tuple[str, str]:
        """What the image is called. It is read-only, as docker's, but for podman's `rw`."""
        if not self._source:
            raise self._no_source("IMAGE")
        self._read_only = not self._writable
        return self._source, ""

    def _volume(self) -> tuple[str, str]:
        """No source, and a volume's name, "" for an anonymous one."""
        if self._source:
            _check_name(self._source)
        elif self._read_only:
            raise UsageError(
                f"{self._config()}: must not set ReadOnly mode when using anonymous volumes"
            )
        return "", self._source

    def _no_source(self, what: str) -> UsageError:
        return UsageError(
            f"{self._config()}: field Source must not be empty",
            hint=f"write --mount type={self._kind},src={what},dst={self._target}",
        )

    def _config(self) -> str:
        return f'invalid mount config for type "{self._kind}"'

    def _wrong(self, what: str, key: str = "") -> UsageError:
        from rootless import nearest

        meant = nearest.hint(key, sorted(_KEYS)) if key else None
        if key in ("uid", "gid"):
            meant = f"whose a tmpfs is says --tmpfs /PATH:{key}=NUMBER"
        return UsageError(
            f'invalid argument "{self._text}" for "--mount" flag: {what}', hint=meant or _MOUNT_HINT
        )


_WORDS = {
    "volume-nocopy": "nocopy",
    "bind-create-src": "create",
    "create-host-path": "create",
    "chown": "U",
    "U": "U",
    "z": "z",
    "Z": "Z",
    **{word: word for word in ("exec", "noexec", "dev", "nodev", "suid", "nosuid")},
}
"""Key → the word of -v that says the same."""
_NAMES = {
    **dict.fromkeys(("volume-subpath", "image-subpath"), "subpath"),
    "volume-opt": "opt",
    "volume-label": "label",
}
_KEYS: dict[str, Callable[[_Reader, str, str], None]] = {
    "type": _Reader.kind,
    **dict.fromkeys(("source", "src"), _Reader.source),
    **dict.fromkeys(("target", "destination", "dst"), _Reader.target),
    **dict.fromkeys(("readonly", "ro", "rw"), _Reader.read_only),
    **dict.fromkeys(_WORDS, _Reader.word),
    **dict.fromkeys(("bind-recursive", "bind-nonrecursive"), _Reader.recursion),
    "bind-propagation": _Reader.propagation,
    "relabel": _Reader.relabel,
    **dict.fromkeys(("volume-subpath", "image-subpath"), _Reader.subpath),
    **dict.fromkeys(("volume-opt", "volume-label"), _Reader.keep),
    "volume-driver": _Reader.keep,
    "tmpfs-size": _Reader.size,
    "tmpfs-mode": _Reader.mode,
    "consistency": _Reader.nothing,
}
