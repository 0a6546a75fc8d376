"""Which way a container reaches the network, from what was asked and what this machine has.

Pure but for looking for programs on a search path the caller passes; runs in the parent.
"""

from __future__ import annotations

import os

from rootless import programs
from rootless.errors import RootlessError, UsageError
from rootless.record import Record

PACKAGES = {"pasta": "passt", "slirp4netns": "slirp4netns"}  # program → distribution package
MODES = ("none", "host", *PACKAGES)
BRIDGES, CONTAINER = "bridges", "container"
"""User-defined networks, and the network of another container: not a matter of programs."""
CONNECTED = (*PACKAGES, BRIDGES)
"""Where a container waits until its own network namespace is connected."""
_DEFAULTS = ("", "default", "bridge", "private")


class Choice(Record):
    """`mode` is one of MODES, BRIDGES or CONTAINER; `program` the path to run, or "".

    `note` is for the user, or "". `reaches_host` asks that the container can reach the host's own
    address.
    """

    mode: str
    program: str = ""
    note: str = ""
    reaches_host: bool = False


def is_user_defined(name: str) -> bool:
    """Whether a --network is one that the user made, or one of its words for it."""
    return "=" in name or not (name in MODES or name in _DEFAULTS or is_anothers(name))


def is_anothers(name: str) -> bool:
    """Whether a --network is that of another container."""
    return name.startswith(f"{CONTAINER}:")


def has_tun() -> bool:
    """Whether the device that user-mode networking is made of can be opened."""
    return os.access("/dev/net/tun", os.R_OK | os.W_OK)


def choose(requested: str, search_path: str, *, tun: bool) -> Choice:
    """The network for `--network requested`, "" standing for the default.

    The default is pasta, else slirp4netns, else the host's network with a note. `search_path` is
    $PATH; `tun` is what `has_tun` says. Raises for a mode that is unknown, or
    asked for by name and not possible here.
    """
    if requested in _DEFAULTS:
        return _default(search_path, tun=tun)
    if requested not in MODES:
        raise UsageError(
            f"there is no network called {requested!r}", hint=f"--network takes {', '.join(MODES)}"
        )
    if requested not in PACKAGES:
        return Choice(requested)
    program = programs.find(requested, search_path)
    if not program:
        lacks = f"the program {requested}, which is not installed"
        raise _lacking(requested, lacks, f"install the package {PACKAGES[requested]}")
    if not tun:
        lacks = "/dev/net/tun, which cannot be opened here"
        raise _lacking(requested, lacks, "load the kernel module tun")
    return Choice(requested, program)


def _lacking(mode: str, lacks: str, cure: str) -> RootlessError:
    from rootless import complaints

    hint = f"{cure}, or use --network host{complaints.SEE_DOCTOR}"
    return RootlessError(f"--network {mode} needs {lacks}", hint=hint)


def _default(search_path: str, *, tun: bool) -> Choice:
    for mode in PACKAGES:
        if tun and (program := programs.find(mode, search_path)):
            return Choice(mode, program)
    if tun:
        reason = "neither pasta (package passt) nor slirp4netns is installed"
    else:
        reason = "/dev/net/tun cannot be opened"
    return Choice("host", note=f"{reason}: the container shares the host's network")
