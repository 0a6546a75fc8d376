"""Users of an image: /etc/passwd and /etc/group, read from a root that may be hostile.

Pure but for reading two files inside a given root. `--user`, USER and `--chown` all mean what
`resolve` says: a name is looked up in the image, a number need not be there.
"""

from __future__ import annotations

from rootless import inroot
from rootless.errors import NotFoundError, RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ID = 0xFFFFFFFE


class Account(Record):
    """Ids inside the container; `groups` are the supplementary ones.

    The primary group is one of them, as docker has it: else a process could give its group up and
    read what is closed to that (CVE-2022-36109).
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/root"


def resolve(text: str, root_fd: int) -> Account:
    """The account that `user[:group]` means in the root behind `root_fd`; "" is root.

    NotFoundError when a name is not in the image, RootlessError when a number is not an id.
    """
    user, _, group = text.partition(":")
    account = _user(user, root_fd)
    if not group:
        return account
    gid = group_id(group, root_fd)
    return account.replace(gid=gid, groups=(gid,))


def _user(user: str, root_fd: int) -> Account:
    """By name or number; a number without a passwd line has gid 0 and home /.

    A number is never taken for a name: an image may call its root "1000" (CVE-2016-3697).
    """
    number = _number(user or "0")
    for entry in _entries(root_fd, "etc/passwd", 6):
        uid, gid = _listed(entry[2]), _listed(entry[3])
        if uid is None or gid is None:
            continue
        if uid == number if number is not None else entry[0] == user:
            return Account(uid, gid, _supplementary(entry[0], gid, root_fd), entry[5] or "/")
    if number is not None:
        return Account(number, 0, (0,), "/root" if number == 0 else "/")
    if user == "root":
        return Account()
    raise NotFoundError(
        f"there is no user {user!r} in the image's /etc/passwd",
        hint="add one with RUN useradd, or give a numeric id",
    )


def group_id(group: str, root_fd: int) -> int:
    """The number that a group's name or number means there; NotFoundError, RootlessError."""
    number = _number(group)
    if number is not None:
        return number
    for entry in _entries(root_fd, "etc/group", 3):
        gid = _listed(entry[2])
        if entry[0] == group and gid is not None:
            return gid
    if group == "root":
        return 0
    raise NotFoundError(
        f"there is no group {group!r} in the image's /etc/group",
        hint="add one with RUN groupadd, or give a numeric id",
    )


def _supplementary(name: str, primary: int, root_fd: int) -> tuple[int, ...]:
    """The primary group, and those that list `name` as a member."""
    gids = [primary]
    for entry in _entries(root_fd, "etc/group", 4):
        gid = _listed(entry[2])
        if gid is not None and gid != primary and name in entry[3].split(","):
            gids.append(gid)
    return tuple(gids)


def _entries(root_fd: int, path: str, fields: int) -> Iterator[list[str]]:
    """The lines with at least `fields` fields of a colon-separated file; none when it is odd."""
    content = inroot.read_file(root_fd, path).decode(errors="surrogateescape")
    for line in content.split("\n"):
        entry = line.rstrip("\r").split(":")
        if len(entry) >= fields:
            yield entry


def _listed(text: str) -> int | None:
    """An id as a line of the image has it; None when it is none, for such a line does not count."""
    is_id = 0 < len(text) <= 10 and text.isascii() and text.isdecimal() and int(text) <= MAX_ID
    return int(text) if is_id else None


def _number(text: str) -> int | None:
    """A uid or gid, None for a name; RootlessError for a number that is no id."""
    if not text.isdecimal() or not text.isascii():
        if text[:1] in ("-", "+") and text[1:].isdecimal():
            raise RootlessError(f"{text} is not a user or group id")
        return None
    if len(text) > 10 or int(text) > MAX_ID:
        raise RootlessError(f"{text} is not a user or group id: ids end at {MAX_ID}")
    return int(text)
