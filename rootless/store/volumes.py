"""volumes/<name>/: data that outlives the containers that use it.

    volume.json   name, created, labels, options; written once
    data/         what containers see; it belongs to ids of the namespace
    seed/         files of an image on their way into data/, where it was empty: see `seeded`

A volume appears by one rename from tmp/ and leaves by one. Who uses it containers' records say, so
one is taken away behind the container room's door. Who fills one holds the lock of its directory.
Making, listing and reading need no namespace; removing does, for the files are of mapped ids. A
crash leaves an owned directory in tmp/, and seed/ to the next one who starts with the volume.
"""

from __future__ import annotations

import fcntl
import os
import stat

from rootless import deletion, leanjson, owners
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.record import Record
from rootless.store import events, staging, sync_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from rootless.store import Store

DRIVER = "local"
ANONYMOUS = "com.docker.volume.anonymous"
"""The label, without a value, of what nobody has given a name."""
DATA = "data"
SEED = "seed"
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MOST_LETTERS = 255
_OPTIONS = ("type", "device", "o")
_MAX_BYTES = 1 << 20
_LATEST = 253_402_300_800.0  # the end of the year 9999: later times cannot be shown


class Volume(Record):
    """A volume: when it was made, in seconds, and with which labels and options of its driver."""

    name: str
    path: str
    created: float
    labels: Mapping[str, str] = {}
    options: Mapping[str, str] = {}

    @property
    def data(self) -> str:
        """The directory that containers see."""
        return f"{self.path}/{DATA}"

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody has given it a name: it goes with its container."""
        return ANONYMOUS in self.labels


def new_name() -> str:
    """64 random hex digits: the name of a volume that nobody gives one."""
    return os.urandom(32).hex()


def check_name(name: str) -> None:
    """RootlessError, in docker's words, for what cannot be a volume's name."""
    if len(name) < 2:
        raise RootlessError(
            f"create {name}: volume name is too short, names should be at least two "
            "alphanumeric characters"
        )
    if not _NAME.issuperset(name) or not name[0].isalnum() or len(name) > _MOST_LETTERS:
        raise RootlessError(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def check_driver(name: str, driver: str) -> None:
    """RootlessError, in docker's words, for a driver that is not there."""
    if driver not in ("", DRIVER):
        raise RootlessError(
            f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found',
            hint="there are no plugins here: leave out the driver",
        )


def check_options(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """What the local driver is asked to mount; RootlessError for what a user cannot mount."""
    for key in options:
        if key not in _OPTIONS:
            raise RootlessError(
                f'create {name}: invalid option: "{key}"', hint="options are type, device and o"
            )
    if not options:
        return {}
    kind = options.get("type", "")
    is_bind = "bind" in options.get("o", "").split(",")
    for key in ("device", "type"):
        if not options.get(key):
            raise RootlessError(f'create {name}: missing required option: "{key}"')
    if kind == "tmpfs" or (is_bind and kind in ("none", "bind")):
        return dict(options)
    raise RootlessError(
        f"create {name}: a file system of type {kind} cannot be mounted by an ordinary user",
        hint="there are type=tmpfs, and type=none with device=DIR and o=bind",
    )


def create(
    store: Store,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    now: float | None = None,
) -> Volume:
    """The volume of this name, as it is if it is there already: then nothing of it changes."""
    from time import time

    check_name(name)
    found = search(store, name)
    if found:
        return found
    created = time() if now is None else now
    volume = Volume(name, _path(store, name), created, labels or {}, options or {})
    with staging.Staging(store, (DATA,)) as made, store.writing():
        _write(f"{made.path}/volume.json", volume)
        folder = _folder(store)
        try:
            made.publish(volume.path)
        except FileExistsError:
            pass
        except OSError as error:
            from errno import ENOTEMPTY

            if error.errno != ENOTEMPTY:
                raise
        else:
            sync_directory(folder)
            events.tell(store, "volume", "create", name, {"driver": "local"})
            return volume
    return find(store, name)  # somebody else was faster


def search(store: Store, name: str) -> Volume | None:
    """The volume of this name; None when there is none. IntegrityError when it is damaged."""
    if not _is_name(name):
        return None
    path = _path(store, name)
    try:
        return _read(path, name)
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.isdir(path):
            return None
    try:
        return _read(path, name)  # which may have come between the two looks
    except FileNotFoundError:
        raise _damaged(name, "volume.json is missing") from None


def find(store: Store, wanted: str) -> Volume:
    """The volume of this name; NotFoundError says that there is none."""
    found = search(store, wanted)
    if found is None:
        from rootless import nearest

        raise NotFoundError(
            f"get {wanted}: no such volume",
            hint=nearest.hint(wanted, _names(store)) or "list them with: rootless volume ls",
        )
    return found


def listing(
    store: Store, left_out: Callable[[str, IntegrityError], object] | None = None
) -> tuple[Volume, ...]:
    """All volumes, as docker sorts them; `left_out` is called with what is damaged."""
    found = []
    for name in sorted(_names(store), key=natural):
        try:
            volume = search(store, name)
        except IntegrityError as error:
            if left_out:
                left_out(name, error)
            continue
        if volume:
            found.append(volume)
    return tuple(found)


def natural(name: str) -> list[tuple[int, int, str]]:
    """What to sort by so that v9 comes before v10."""
    import re

    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(one), one) if one.isdecimal() else (1, 0, one) for one in parts]


def bury(store: Store, name: str) -> str | None:
    """Take a volume out of sight, for `delete`; None when it is gone."""
    grave = staging.bury(store, _path(store, name)) if _is_name(name) else None
    if grave:
        events.tell(store, "volume", "destroy", name, {"driver": "local"})
    return grave


def delete(graves: Iterable[str | None]) -> None:
    """Delete what was buried; what cannot be deleted now is left to a later sweep."""
    for grave in graves:
        if grave:
            staging.delete(grave)


def seeded(volume: Volume, fill: Callable[[str], bool] | None) -> bool:
    """See that the volume has what it begins with; whether it was filled now.

    `fill` puts files into a new directory, and gives that its owner and mode, or says False; it is
    called when the volume is empty. Its entries then move to data/ one by one: an empty data/ may
    be in use. A volume that was being filled when its filler was killed is filled to the end.
    """
    fd = os.open(volume.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        seed = f"{volume.path}/{SEED}"
        is_due = fill is not None and not os.listdir(volume.data)
        if not os.path.isdir(seed) and not (fill and is_due and _fill(seed, fill)):
            return False
        _move(seed, volume.data)
        return True
    finally:
        os.close(fd)


def _fill(seed: str, fill: Callable[[str], bool]) -> bool:
    unfinished = f"{seed}.new"
    deletion.remove(unfinished)
    os.mkdir(unfinished, 0o755)
    filled = False
    try:
        filled = fill(unfinished)
    finally:
        if not filled:
            deletion.remove(unfinished)
    if filled:
        os.rename(unfinished, seed)
    return filled


def _move(seed: str, data: str) -> None:
    found = os.stat(seed)
    for name in os.listdir(seed):
        target = f"{data}/{name}"
        if not os.path.lexists(target):  # else a container has been faster, and it is its own
            os.rename(f"{seed}/{name}", target)
    owners.give(data, *owners.of_name(seed, found, None))
    os.chmod(data, stat.S_IMODE(found.st_mode))
    os.utime(data, ns=(found.st_atime_ns, found.st_mtime_ns))
    deletion.remove(seed)


def _folder(store: Store) -> str:
    """volumes/, made if it is missing."""
    folder = store.path("volumes")
    if not os.path.isdir(folder):
        store.create()
        with store.writing():
            os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def _path(store: Store, name: str) -> str:
    return store.path("volumes", name)


def _is_name(name: str) -> bool:
    return 1 < len(name) <= _MOST_LETTERS and _NAME.issuperset(name) and name[0].isalnum()


def _names(store: Store) -> list[str]:
    """What is in volumes/ and may be one."""
    try:
        return [name for name in os.listdir(store.path("volumes")) if _is_name(name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RootlessError(f"{error.filename}: {error.strerror}") from None


def _write(path: str, volume: Volume) -> None:
    value = {
        "name": volume.name,
        "created": volume.created,
        "labels": {**volume.labels},
        "options": {**volume.options},
    }
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(fd, "wb", buffering=0) as file:
        file.write(leanjson.dumps(value) + b"\n")
        os.fsync(fd)


def _read(path: str, name: str) -> Volume:
    fd = os.open(f"{path}/volume.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _damaged(name, "volume.json is not a file")
        try:
            value = leanjson.loads(file.read(_MAX_BYTES), "volume.json")
        except IntegrityError as error:
            raise _damaged(name, error.message) from None
    if not isinstance(value, dict) or value.get("name") != name:
        raise _damaged(name, "volume.json is about something else")
    return Volume(
        name,
        path,
        _moment(value.get("created"), name),
        _texts(value.get("labels"), name),
        _texts(value.get("options"), name),
    )


def _moment(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise _damaged(name, "created is not a time")
    return float(value)


def _texts(value: Any, name: str) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else ((None, None),)
    if not all(isinstance(one, str) for pair in pairs for one in pair):
        raise _damaged(name, "its labels or options are not texts")
    return dict(value)


def _damaged(name: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"volume {name} is damaged: {why}", hint=f"remove it with: rootless volume rm -f {name}"
    )
