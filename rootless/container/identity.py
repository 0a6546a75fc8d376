"""Ids of a container's own: which ids of the user's stand for those inside.

The ids of the outer namespace are 0, the user, and from 1 on the subordinate ones; a map has
(inside, outside, count) of those. Nothing is mapped of whom a container's files need not know.
Pure but for looking at the other containers of the store.
"""

from __future__ import annotations

from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.confinement import Confinement
    from rootless.container.overrides import Overrides
    from rootless.container.spec import ContainerSpec
    from rootless.sandbox.operations.listed import Listed
    from rootless.store import Store
    from rootless.userns import IdMap, IdRange

KEEP, AUTO, NO_MAP = "keep-id", "auto", "nomap"
_SLICE = 1024


def options(userns: str) -> dict[str, int]:
    """The numbers after the colon: `keep-id:uid=1000,gid=1000`, `auto:size=4096`."""
    fields = filter(None, userns.partition(":")[2].split(","))
    return {key: int(value) for key, _, value in (field.partition("=") for field in fields)}


def settled(spec: ContainerSpec, ids: IdMap) -> ContainerSpec:
    """With the map that --userns means here; auto's is given out with the name. RootlessError."""
    given = spec.confinement
    mode = given.userns.partition(":")[0]
    if mode in (KEEP, NO_MAP):
        _check_range(ids, given.userns)
        make = _kept if mode == KEEP else _without
        uids, gids = (make(one, options(given.userns).get(kind)) for kind, one in _kinds(ids))
        given = given.replace(uid_map=uids, gid_map=gids)
    elif mode == AUTO:
        _check_range(ids, given.userns)
    if given.own_ids:
        check(given.own_ids, ids)
    return spec.replace(confinement=given)


def as_user(changes: Overrides, given: Confinement, ids: IdMap) -> Overrides:
    """With keep-id, whoever started it is whom the command runs as, unless that is said."""
    if given.userns.partition(":")[0] != KEEP or changes.user is not None:
        return changes
    uid, gid = (_self(one, options(given.userns).get(kind)) for kind, one in _kinds(ids))
    return changes.replace(user=f"{uid}:{gid}")


def listed(spec: ContainerSpec) -> tuple[Listed, ...]:
    """With keep-id: whoever started it is listed in the container, by the name that they have here
    where they have their own number there, too.
    """
    if spec.confinement.userns.partition(":")[0] != KEEP:
        return ()
    from rootless.sandbox.operations.listed import Listed

    uid, gid = (
        next(inside for inside, outside, _ in ranges if outside == 0)
        for ranges in (spec.confinement.uid_map, spec.confinement.gid_map)
    )
    name = "" if "uid" in options(spec.confinement.userns) else _name(uid)
    home = spec.run.working_dir or "/"
    return (Listed(uid, gid, name, home if ":" not in home and home.isprintable() else "/"),)


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def with_slice(store: Store, spec: ContainerSpec) -> ContainerSpec:
    """With ids that no other container has that was given some; called by who gives out names."""
    from rootless.container import records

    size = options(spec.confinement.userns).get("size", _SLICE)
    taken = sorted(
        (outside, count)
        for one in records.listing(store)
        if one.spec.confinement.userns.startswith(AUTO)
        for _, outside, count in one.spec.confinement.uid_map
    )
    first = 1
    for start, count in taken:
        if first + size <= start:
            break
        first = max(first, start + count)
    ranges = ((0, first, size),)
    return spec.replace(confinement=spec.confinement.replace(uid_map=ranges, gid_map=ranges))


def check(own: IdMap, ids: IdMap) -> None:
    """RootlessError where the user has not got the outer ids of a map."""
    for what, mine, every in (("uid", own.uids, ids.uids), ("gid", own.gids, ids.gids)):
        last = max(outside + count for _, outside, count in mine)
        if last > _size(every):
            raise RootlessError(
                f"the container wants {what} {last - 1} of yours, and you have {_size(every)}",
                hint="rootless doctor says how many ids you have and how to get more; containers "
                "with --userns=auto give theirs back when they are removed",
            )


def _kinds(ids: IdMap) -> tuple[tuple[str, tuple[IdRange, ...]], ...]:
    return ("uid", ids.uids), ("gid", ids.gids)


def _self(ranges: tuple[IdRange, ...], wanted: int | None) -> int:
    """The number inside for whoever started it: their own, if they do not say another."""
    return ranges[0][1] if wanted is None else wanted


def _kept(ranges: tuple[IdRange, ...], wanted: int | None) -> tuple[IdRange, ...]:
    """One id inside is the user; those below and above are subordinate ones, in their order."""
    own, size = _self(ranges, wanted), _size(ranges)
    below = min(own, size - 1)
    found = [(0, 1, below), (own, 0, 1), (own + 1, own + 1, size - 1 - own)]
    return tuple(one for one in found if one[2] > 0)


def _without(ranges: tuple[IdRange, ...], _: int | None) -> tuple[IdRange, ...]:
    """The user is nobody inside."""
    return ((0, 1, _size(ranges) - 1),)


def _size(ranges: tuple[IdRange, ...]) -> int:
    return sum(count for _, _, count in ranges)


def _check_range(ids: IdMap, userns: str) -> None:
    if not ids.is_range:
        raise RootlessError(
            f"--userns={userns} needs subordinate ids, which you have not got here",
            hint="rootless doctor says how to get some",
        )
