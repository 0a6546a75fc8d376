"""Which subordinate ids a user was given: by subuid(5), or by whom nsswitch.conf(5) names for them.

newuidmap asks in the same places, so nothing is claimed here that it would refuse. Runs in the
CLI process before it enters its user namespace, and leaves nothing behind.
"""

from __future__ import annotations

import os

from rootless import programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

USERS, GROUPS = "/etc/subuid", "/etc/subgid"
_SERVICES = "/etc/nsswitch.conf"
_LONGEST = 65536  # bytes of what getsubids says

Range = tuple[int, int]
"""(first id, count)."""


def name_of(uid: int) -> str:
    """The user's name; "" where there is none, to whom newuidmap gives nothing."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def lines(path: str) -> list[str]:
    """Those of a small text file of the machine; none where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError:
        return []


def granted(uid: int) -> tuple[list[Range], list[Range]]:
    """The uids and the gids that the user may have besides their own."""
    if not (name := name_of(uid)):
        return [], []
    if service():
        return _asked(name)
    names = (name, str(uid))
    return list(_lines_of(USERS, names)), list(_lines_of(GROUPS, names))


def service() -> str:
    """Who answers for subordinate ids instead of the files, `sss` for example; "" for nobody.

    As in newuidmap only the first one counts.
    """
    for line in lines(_SERVICES):
        key, _, rest = line.partition(":")
        if key.strip() == "subid" and (words := rest.split()):
            return "" if words[0] == "files" else words[0]
    return ""


def asker() -> str:
    """The program that asks that service; "" where it is not installed."""
    return programs.find("getsubids")


def _asked(name: str) -> tuple[list[Range], list[Range]]:
    """What `getsubids` says, of users and of groups side by side: `0: ada 100000 65536`."""
    if not (program := asker()):
        return [], []
    started = []
    for flags in ((), ("-g",)):
        said = os.memfd_create("getsubids")
        nowhere = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        actions = [(os.POSIX_SPAWN_DUP2, said, 1), nowhere]
        argv = [program, *flags, name]
        started.append((said, os.posix_spawn(program, argv, {}, file_actions=actions)))
    users, groups = (list(_answer(said, pid)) for said, pid in started)
    return users, groups


def _answer(said: int, pid: int) -> Iterable[Range]:
    os.waitpid(pid, 0)
    text = os.pread(said, _LONGEST, 0).decode(errors="replace")
    os.close(said)
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 4:  # number, owner, first, count
            yield from _range(*fields[2:])


def _lines_of(path: str, names: tuple[str, ...]) -> Iterable[Range]:
    """Of each line of subuid(5) that belongs to one of `names`."""
    for line in lines(path):
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner in names:
            yield from _range(first, count)


def _range(first: str, count: str) -> Iterable[Range]:
    if first.isdigit() and count.isdigit() and int(count) > 0:
        yield int(first), int(count)
