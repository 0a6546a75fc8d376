"""Who a process says it is, and what it may become: setuid(2), setreuid(2), setresuid(2), ….

Pure. As the kernel has it for a process with CAP_SETUID and CAP_SETGID while it is root, and
without them afterwards. The ids of file access (setfsuid) are the effective ones.
"""

from __future__ import annotations

from errno import EAGAIN, EINVAL, EPERM

from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Ids = tuple[int, int, int]
    Change = Callable[["Credentials", Sequence[int]], "Credentials"]
    Rule = Callable[[Ids, bool, Sequence[int]], Ids]

KEEP = 0xFFFFFFFF
_MOST_GROUPS = 65536
_MOST_KNOWN = 4096
_MOST_NUMBERS = 1 << 20


class Credentials(Record):
    """`uids` and `gids` are the real, the effective and the saved one.

    `keeper` is not 0 for a process that keeps root's powers though it is another user, by
    PR_SET_KEEPCAPS: until it executes something, so it stands for what it executes now.
    """

    uids: Ids = (0, 0, 0)
    gids: Ids = (0, 0, 0)
    groups: tuple[int, ...] = ()
    keeper: int = 0

    @property
    def is_root(self) -> bool:
        """Whether it has root's powers over ids."""
        return self.uids[1] == 0 or self.keeper != 0


class Table:
    """All credentials that were ever had, by number: 0 is root's. Bounded: OSError when full."""

    def __init__(self) -> None:
        self._known = [Credentials()]
        self._numbers = {self._known[0]: 0}
        self._size = 0

    @property
    def is_plain(self) -> bool:
        """Whether nobody was ever anybody but root."""
        return len(self._known) == 1

    def __getitem__(self, number: int) -> Credentials:
        """Of a number that is not ours, for a process may set it too, root's."""
        return self._known[number if 0 <= number < len(self._known) else 0]

    def number(self, credentials: Credentials) -> int:
        if credentials not in self._numbers:
            self._size += len(credentials.groups)
            if len(self._known) == _MOST_KNOWN or self._size > _MOST_NUMBERS:
                raise OSError(EAGAIN, "too many users")
            self._numbers[credentials] = len(self._known)
            self._known.append(credentials)
        return self._numbers[credentials]


def _set_id(ids: Ids, privileged: bool, asked: Sequence[int]) -> Ids:  # noqa: FBT001 - a Rule
    new = asked[0]
    if new == KEEP:
        raise OSError(EINVAL, "no id")
    if privileged:
        return (new, new, new)
    _require(new in (ids[0], ids[2]))
    return (ids[0], new, ids[2])


def _set_real(ids: Ids, privileged: bool, asked: Sequence[int]) -> Ids:  # noqa: FBT001 - a Rule
    real, effective = asked[0], asked[1]
    _require(privileged or real in (KEEP, ids[0], ids[1]))
    _require(privileged or effective in (KEEP, *ids))
    new = ids[1] if effective == KEEP else effective
    is_saved = real != KEEP or effective not in (KEEP, ids[0])
    return (ids[0] if real == KEEP else real, new, new if is_saved else ids[2])


def _set_all(ids: Ids, privileged: bool, asked: Sequence[int]) -> Ids:  # noqa: FBT001 - a Rule
    _require(privileged or all(one in (KEEP, *ids) for one in asked[:3]))
    real, effective, saved = (
        old if one == KEEP else one for old, one in zip(ids, asked, strict=False)
    )
    return (real, effective, saved)


def _require(allowed: bool) -> None:  # noqa: FBT001 - what else
    if not allowed:
        raise OSError(EPERM, "not allowed")


def _of_users(rule: Rule) -> Change:
    return lambda now, asked: now.replace(uids=rule(now.uids, now.is_root, asked))


def _of_groups(rule: Rule) -> Change:
    return lambda now, asked: now.replace(gids=rule(now.gids, now.is_root, asked))


CHANGES: dict[str, Change] = {
    "setuid": _of_users(_set_id),
    "setreuid": _of_users(_set_real),
    "setresuid": _of_users(_set_all),
    "setgid": _of_groups(_set_id),
    "setregid": _of_groups(_set_real),
    "setresgid": _of_groups(_set_all),
}
"""Call → what it makes of credentials, given its arguments; OSError when it may not."""

ANSWERS: dict[str, Callable[[Credentials], int]] = {
    "getuid": lambda now: now.uids[0],
    "geteuid": lambda now: now.uids[1],
    "setfsuid": lambda now: now.uids[1],
    "getgid": lambda now: now.gids[0],
    "getegid": lambda now: now.gids[1],
    "setfsgid": lambda now: now.gids[1],
}
"""Call → its answer."""


def set_groups(now: Credentials, count: int) -> None:
    """Whether `count` groups may be set: OSError when not."""
    _require(now.is_root)
    if count > _MOST_GROUPS:
        raise OSError(EINVAL, "too many groups")


def may_give(now: Credentials, owner: tuple[int, int], uid: int, gid: int) -> None:
    """Whether a file of this owner may be given away: by root, or to a group of one's own."""
    if now.is_root:
        return
    _require(owner[0] == now.uids[1] and uid in (KEEP, owner[0]))
    _require(gid in (KEEP, owner[1], now.gids[1], *now.groups))
