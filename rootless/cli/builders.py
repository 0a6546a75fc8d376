"""`buildx ls`, `inspect`, `create` and their like: there is one builder, and it is this program.

What a client creates is another name for it, an empty file in builders/, so that a script that
makes a builder, uses and removes it works. Nothing runs between two builds: a builder is neither
started nor stopped. Its driver is docker's, as what it builds is in the store of images at once.
"""

from __future__ import annotations

import os
import sys
import time

from rootless import __version__
from rootless.cli import listing, words
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.oci.platform import Platform
from rootless.store import Store, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

    Row = dict[str, object]

OWN = ("rootless", "default")  # and what docker calls the one that is always there
_VERSION = "v0.29.1"  # of docker's buildx, whose commands and flags these are
_DRIVER = "docker"
_DRIVERS = ("docker", "docker-container")
_CURRENT = ".current"
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_MOST_LETTERS = 128
_HEADERS = {
    "Name": "NAME/NODE",
    "DriverEndpoint": "DRIVER/ENDPOINT",
    "Status": "STATUS",
    "Buildkit": "BUILDKIT",
    "Platforms": "PLATFORMS",
}
_FIELDS = {**_HEADERS, "LastActivity": "LAST ACTIVITY", "Error": "ERROR"}


def check(given: Settings, name: str | None) -> None:
    """Refuse a builder that is none: NotFoundError."""
    if name is not None and name not in names(given):
        raise NotFoundError(
            f'no builder "{words.escape(name)}" found',
            hint="there is one, called rootless; buildx create --name gives it another name",
        )


def version(_given: Settings, _arguments: Arguments) -> int:
    """Say which buildx this is like; clients look for a number."""
    print(f"rootless/buildx {_VERSION} rootless-{__version__}")
    return 0


def ls(given: Settings, arguments: Arguments) -> int:
    """List the builder, by each of its names."""
    current = _current(given)
    form = arguments.format or ""
    if form.replace(" ", "") in ("json", "{{json.}}"):
        for name in _shown(given):
            listing.show_value(_value(name, given, is_current=name == current), "json")
        return 0
    is_table = form == "" or form.startswith("table")
    rows = []
    for name in _shown(given):
        rows += _rows(name, given, is_marked=is_table and name == current, is_tree=is_table)
    listing.show(rows, _FIELDS, [*_HEADERS], form)
    return 0


def inspect(given: Settings, arguments: Arguments) -> int:
    """Show the builder."""
    name = arguments.name or arguments.builder or _current(given)
    check(given, name)
    print(f"Name:          {name}\nDriver:        {_DRIVER}")
    print(f"Last Activity: {_activity(given, '%Y-%m-%d %H:%M:%S +0000 UTC')}\n\nNodes:")
    for key, value in (
        ("Name", name),
        ("Endpoint", Store(given.root).root),
        ("Status", "running"),
        ("BuildKit version", f"rootless-{__version__}"),
        ("Platforms", ", ".join(_platforms())),
    ):
        print(f"{f'{key}:'.ljust(17)} {words.escape(value)}")
    return 0


def create(given: Settings, arguments: Arguments) -> int:
    """Give the builder another name, and print it."""
    if arguments.driver and arguments.driver not in _DRIVERS:
        raise RootlessError(
            f"there is no driver {arguments.driver!r} here: builds are carried out on this machine",
            hint="leave out --driver",
        )
    name = arguments.name or f"builder-{os.urandom(4).hex()}"
    if not 0 < len(name) <= _MOST_LETTERS or not _LETTERS.issuperset(name) or not name[0].isalpha():
        raise UsageError(
            f"invalid builder name {words.escape(name[:80])!r}",
            hint="a name begins with a letter, and has letters, digits and . _ - only",
        )
    store = Store(given.root)
    store.create()
    with store.writing():
        os.makedirs(store.path("builders"), mode=0o700, exist_ok=True)
        try:
            if name in OWN:
                raise FileExistsError
            os.close(os.open(_path(store, name), os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise RootlessError(
                f'existing instance for "{name}"', hint=f"use it, or rootless buildx rm {name}"
            ) from None
    if arguments.use:
        _choose(store, name)
    print(name)
    return 0


def use(given: Settings, arguments: Arguments) -> int:
    """Choose one of the names: it changes what `ls` marks and `inspect` shows."""
    check(given, arguments.name)
    store = Store(given.root)
    store.create()
    _choose(store, arguments.name)
    return 0


def rm(given: Settings, arguments: Arguments) -> int:
    """Take names away; what was built and the cache stay."""
    going = arguments.names or (() if arguments.all_inactive else (_current(given),))
    store = Store(given.root)
    code = 0
    for name in going:
        if complaint := _refusal(given, name):
            print(f"failed to remove {words.escape(name)}: {complaint}", file=sys.stderr)
            code = 1
            continue
        if _current(given) == name:
            _choose(store, OWN[0])
        try:
            os.unlink(_path(store, name))
        except FileNotFoundError:  # somebody else was faster
            pass
        print(f"{name} removed", file=sys.stderr)
    if code:
        raise RootlessError("failed to remove one or more builders")
    return 0


def stop(given: Settings, arguments: Arguments) -> int:
    """Nothing runs between two builds."""
    check(given, arguments.name or arguments.builder)
    return 0


def _refusal(given: Settings, name: str) -> str:
    if name in OWN:
        return "it is the builder itself, which is part of rootless"
    return "" if name in names(given) else f'no builder "{words.escape(name)}" found'


def names(given: Settings) -> tuple[str, ...]:
    """All names that there are, its own first."""
    try:
        made = sorted(os.listdir(Store(given.root).path("builders")))
    except FileNotFoundError:
        made = []
    return (*OWN, *(name for name in made if name[0].isalpha()))


def _shown(given: Settings) -> tuple[str, ...]:
    """Those that are listed: `default` is only answered to."""
    return tuple(name for name in names(given) if name != OWN[1])


def _current(given: Settings) -> str:
    """The chosen name; its own where none is, or that is gone."""
    try:
        with open(_path(Store(given.root), _CURRENT), "rb") as file:
            name = file.read(_MOST_LETTERS).decode(errors="replace")
    except OSError:
        name = OWN[0]
    return name if name in _shown(given) else OWN[0]


def _choose(store: Store, name: str) -> None:
    with store.writing():
        os.makedirs(store.path("builders"), mode=0o700, exist_ok=True)
        replace_file(store, _path(store, _CURRENT), name.encode(), durable=False)


def _path(store: Store, name: str) -> str:
    return store.path("builders", name)


def _platforms() -> list[str]:
    """What steps can run here: this machine's programs."""
    return [str(Platform.host())]


def _activity(given: Settings, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    """When a step was last recorded, or else now: this program is always there."""
    try:
        seconds = os.stat(Store(given.root).path("cache", "steps")).st_mtime
    except OSError:
        seconds = time.time()
    return time.strftime(form, time.gmtime(seconds))


def _value(name: str, given: Settings, *, is_current: bool) -> Row:
    """As docker's JSON has a builder."""
    node = {
        "Endpoint": Store(given.root).root,
        "Name": name,
        "Platforms": _platforms(),
        "Status": "running",
        "Version": f"rootless-{__version__}",
    }
    return {
        "Current": is_current,
        "Driver": _DRIVER,
        "Dynamic": False,
        "LastActivity": _activity(given),
        "Name": name,
        "Nodes": [node],
    }


def _rows(name: str, given: Settings, *, is_marked: bool, is_tree: bool) -> list[dict[str, str]]:
    """A builder and its node, which a table shows below it."""
    nothing = dict.fromkeys(_FIELDS, "")
    branch = " \\_ " if is_tree else ""
    node = {
        "Name": f"{branch}{name}",
        "DriverEndpoint": f"{branch}{Store(given.root).root}",
        "Status": "running",
        "Buildkit": f"rootless-{__version__}",
        "Platforms": ", ".join(_platforms()),
    }
    head = {
        "Name": name + "*" * is_marked,
        "DriverEndpoint": _DRIVER,
        "LastActivity": _activity(given),
    }
    return [{**nothing, **head}, {**nothing, **node}]
