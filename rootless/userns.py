"""Entering a user namespace in place: an ordinary process becomes uid 0 of its own namespace.

Runs in the CLI process before any thread exists, and in a short-lived helper forked from it. A
process cannot map a range of ids for itself once it has left its old namespace, so the helper
stays outside and writes the maps, through newuidmap and newgidmap where subordinate ids exist.
Who may have no namespaces stays where he is, as root or as an ordinary user, and `rung` says so.
Nothing is left behind: the mount namespace ends with the process, however it dies, and the user
namespace with the last process in it. Another process of the user's may `join` that until then.

Kernel: user_namespaces(7). newuidmap(1), subuid(5).
"""

from __future__ import annotations

import os
from errno import EACCES, EINVAL, ENOSPC, ENOSYS, EPERM, ESRCH

from rootless import linux, process, programs, rung, subids
from rootless.errors import RootlessError, UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

IdRange = tuple[int, int, int]
_FORBIDDEN = (EPERM, EACCES, ENOSPC, ENOSYS, EINVAL)  # unshare(2), not for want of memory
_NO_FD = 0xFFFFFFFF
_LONGEST = 4096  # bytes of what newuidmap says
_POWERS = 0xDB  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID: without them root is nobody
_CHROOT = 1 << 18
_JOINING = {
    EPERM: "it is not yours",
    ESRCH: "it has ended",
    EINVAL: "it has none of its own",
}


class IdMap(Record):
    """Which host ids stand behind the ids of a user namespace: (inside, outside, count) each."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @property
    def is_range(self) -> bool:
        """Whether more than the user's own id is mapped."""
        return sum(count for _, _, count in self.uids) > 1

    @property
    def size(self) -> int:
        """How many uids exist inside, counted from 0."""
        return sum(count for _, _, count in self.uids)

    def has(self, uid: int, gid: int) -> bool:
        """Whether a file may belong to these ids inside."""
        return all(
            any(inside <= number < inside + count for inside, _, count in ranges)
            for number, ranges in ((uid, self.uids), (gid, self.gids))
        )


def enter() -> IdMap:
    """Make this process uid 0 of a new user and mount namespace, and return the id map.

    Where that is not allowed the process stays what it is, and `rung` has the machine's own reason
    and cure. RootlessError for what is amiss otherwise.
    """
    return begin().finish()


def begin() -> Entering | Staying:
    """Leave for the new namespaces; the maps are written meanwhile, until `finish`.

    In between this process may do what needs no ids: import, read, compute.
    """
    _try_kernel()
    forced = rung.forced()
    is_root = os.getuid() == 0
    if forced and (forced.name == rung.NONE or (forced.name == rung.ROOT and is_root_for_copies())):
        return Staying(forced.name, forced.why, forced.cure)
    ids = available()
    if forced and forced.name == rung.ROOT and (is_root or not ids.is_range):
        raise UsageError(
            "without mounts files must be given away: that needs root's powers, or a range of ids",
            hint="rootless doctor says how to get one",
        )
    user = subids.name_of(os.getuid()) or str(os.getuid())
    target = os.getpid()
    left_read, left_write = process.pipe()

    def map_ids(_: process.Send) -> None:
        os.close(left_write)
        if os.read(left_read, 1):
            _write_maps(target, ids)

    try:
        helper = process.fork(map_ids, "the helper that maps ids")
    finally:
        os.close(left_read)
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        os.write(left_write, b"x")
    except linux.SyscallError as error:
        helper.kill()
        refused = _refused(error, user)
        if error.errno in _FORBIDDEN and (is_root or not _is_for_now(error)):
            return Staying(_without(), refused.message, refused.hint)
        raise refused from None
    finally:
        os.close(left_write)
    return Entering(ids, user, helper)


def _is_for_now(error: OSError) -> bool:
    """Whether there are too many namespaces just now: files are not made otherwise for that."""
    return error.errno == ENOSPC and subids.lines("/proc/sys/user/max_user_namespaces") != ["0\n"]


def _without() -> str:
    """The rung of who may have no namespaces."""
    return rung.ROOT if is_root_for_copies() else rung.NONE


def is_root_for_copies() -> bool:
    """Whether this is root with the capabilities that the rung `root` is made of."""
    needed = _POWERS | _CHROOT
    return os.getuid() == 0 and _powers() & needed == needed


def _powers() -> int:
    """The effective capabilities of this process, one bit each."""
    for line in subids.lines("/proc/self/status"):
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _try_kernel() -> None:
    """Whether there are the calls without which nothing goes on any rung; a few microseconds."""
    try:
        os.close(linux.openat2(linux.AT_FDCWD, "/", os.O_PATH | os.O_CLOEXEC, 0))
        linux.close_range(_NO_FD)
    except linux.SyscallError as error:
        from rootless import complaints

        raise complaints.explain_kernel(error) from None


def join(pid: int) -> IdMap:
    """Make this process uid 0 of the user namespace of process `pid`, in mounts of its own.

    The id map is read as it looks from here: (inside, outside, count). RootlessError when the
    process has ended, is not the user's, or lives in no user namespace below this one.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise _cannot_join(pid, "it has ended") from None
    try:
        ids = of(pid)
        linux.setns(pidfd, linux.CLONE_NEWUSER)
        linux.unshare(linux.CLONE_NEWNS)
    except linux.SyscallError as error:
        raise _cannot_join(pid, _JOINING.get(error.errno or 0, str(error))) from None
    finally:
        os.close(pidfd)
    become_root()
    return _find_standing(ids, "USER")


class Entering:
    """A process between two user namespaces: already in the new one, still without ids there."""

    def __init__(self, ids: IdMap, user: str, helper: process.Child) -> None:
        self._ids = ids
        self._user = user
        self._helper = helper

    def finish(self) -> IdMap:
        """Become uid 0 as soon as the maps are there; RootlessError when they cannot be had."""
        try:
            self._helper.result()
        except OSError as error:
            from rootless import complaints

            limit = complaints.explain_limit(error)
            raise limit or _refused(RuntimeError(str(error)), self._user) from None
        except RootlessError as error:
            raise _refused(error, self._user) from None
        finally:
            self._helper.kill()
        become_root()
        return _find_standing(self._ids, self._user)


def _find_standing(ids: IdMap, user: str) -> IdMap:
    """Have mounts of its own, or find that nothing can be mounted: as root of a new namespace."""
    if (forced := rung.forced()) and forced.name == rung.ROOT:
        rung.decide(rung.ROOT, forced.why, forced.cure)
        return ids
    try:
        _own_mounts()
    except linux.SyscallError as error:  # AppArmor lets a program enter, and then forbids all
        refused = _refused(error, user)
        if not (ids.is_range and _may_chroot()):
            return Staying(rung.NONE, refused.message, refused.hint).finish()
        rung.decide(rung.ROOT, refused.message, refused.hint)
    else:
        _stand_on(ids)
    return ids


class Staying:
    """A process that may have no namespaces: it goes on as it is."""

    def __init__(self, name: str, why: str, cure: str | None = None) -> None:
        self._name = name
        self._why = why
        self._cure = cure

    def finish(self) -> IdMap:
        """The ids there are: root's those that the container has, anybody else's their own."""
        rung.decide(self._name, self._why, self._cure)
        return current()


def on_paper() -> IdMap:
    """The ids that `enter` would give, and their rung, where nothing is to be entered."""
    ids = available()
    _stand_on(ids)
    return ids


def _stand_on(ids: IdMap) -> None:
    name = rung.RANGE if ids.is_range else rung.ONE
    rung.decide(name, f"a user namespace with {ids.size} ids")


def available() -> IdMap:
    """The widest map this user may have: their own id, and their subordinate ids if any.

    Real root maps every id it has to itself. Under no_new_privs newuidmap can do nothing.
    """
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        return current()
    own = IdMap(((0, uid, 1),), ((0, gid, 1),))
    if (forced := rung.forced()) and forced.name == rung.ONE:
        return own
    if linux.prctl(linux.PR_GET_NO_NEW_PRIVS) or not _has_newidmap():
        return own
    granted_uids, granted_gids = subids.granted(uid)
    uids, gids = stack(uid, granted_uids), stack(gid, granted_gids)
    return IdMap(own.uids + uids, own.gids + gids) if uids and gids else own


def of(pid: int) -> IdMap:
    """The map of a process's user namespace, as it looks from here: (inside, outside, count)."""
    return IdMap(_ranges(f"/proc/{pid}/uid_map"), _ranges(f"/proc/{pid}/gid_map"))


def current() -> IdMap:
    """The ids that exist in the namespace this process is in, mapped to themselves.

    Who is root nowhere has one, which stands for root.
    """
    if not rung.current().is_root:
        return IdMap(((0, os.geteuid(), 1),), ((0, os.getegid(), 1),))
    return IdMap(_identity("/proc/self/uid_map"), _identity("/proc/self/gid_map"))


def _has_newidmap() -> bool:
    found = map(programs.find, ("newuidmap", "newgidmap"))
    return all(path and programs.is_privileged(path) for path in found)


def _write_maps(target: int, ids: IdMap) -> None:
    """In the helper, once `target` has left: its maps; RootlessError or OSError if refused."""
    if ids.is_range and os.getuid() != 0:
        _run_newidmap(target, ids)
        return
    if os.getuid() != 0:  # a single gid may only be mapped when setgroups is given up
        _write(f"/proc/{target}/setgroups", b"deny")
    write_maps(target, ids)


def write_maps(target: int, ids: IdMap) -> None:
    """The maps of a child's new user namespace, as root of the one around it."""
    for kind, ranges in (("uid_map", ids.uids), ("gid_map", ids.gids)):
        lines = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ranges)
        _write(f"/proc/{target}/{kind}", lines.encode())


def _run_newidmap(target: int, ids: IdMap) -> None:
    """newuidmap and newgidmap side by side: each spends a millisecond starting."""
    said = os.memfd_create("newidmap")
    to_said = [(os.POSIX_SPAWN_DUP2, said, 2)]
    started = []
    for name, ranges in (("newuidmap", ids.uids), ("newgidmap", ids.gids)):
        path = programs.find(name) or name
        argv = [path, str(target), *(str(number) for one in ranges for number in one)]
        started.append((name, os.posix_spawn(path, argv, {}, file_actions=to_said)))
    for name, pid in started:
        if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            words = os.pread(said, _LONGEST, 0).decode(errors="replace").strip()
            raise RootlessError(f"{words}\n({name} ended with status {code})".strip())


def become_root() -> None:
    """Become uid 0 of the user namespace this process is in."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # Changing ids made the process undumpable: /proc/self/ns could not be opened for pasta.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)


def _own_mounts() -> None:
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)


def _may_chroot() -> bool:
    """Whether root may do here what needs no mounts; nothing changes by it."""
    try:
        os.chroot("/")
    except OSError:
        return False
    return True


def _refused(error: Exception, user: str) -> RootlessError:
    from rootless import complaints

    limit = complaints.explain_limit(error) if isinstance(error, OSError) else None
    return limit or complaints.explain_userns(error, user)


def _cannot_join(pid: int, why: str) -> RootlessError:
    return RootlessError(
        f"the user namespace of process {pid} cannot be joined: {why}",
        hint="only a running container of your own can be reached: rootless ps shows them",
    )


def _identity(path: str) -> tuple[IdRange, ...]:
    """The ids that exist here, mapped to themselves."""
    return tuple((inside, inside, count) for inside, _, count in _ranges(path))


def _ranges(path: str) -> tuple[IdRange, ...]:
    """An id map as the kernel shows it to this namespace."""
    lines = (line.split() for line in subids.lines(path))
    return tuple((int(inside), int(outside), int(count)) for inside, outside, count in lines)


def stack(own: int, granted: Iterable[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Subordinate ranges (first, count) one after another, from inside id 1 on.

    A range that holds the user's `own` id or a part of one before it is left out: the kernel takes
    no id twice, and refuses the whole map.
    """
    ranges: list[IdRange] = []
    taken = [(own, 1)]
    inside = 1
    for first, count in granted:
        if any(first < other + size and other < first + count for other, size in taken):
            continue
        taken.append((first, count))
        ranges.append((inside, first, count))
        inside += count
    return tuple(ranges)


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)
