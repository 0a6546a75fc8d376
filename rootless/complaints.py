"""From errno to sentence and cure: what a user is told of a call that this machine refused.

The `explain_*` functions run only after a failure, in whichever process met it (not after
pivot_root: they are imported when they are needed). They look at the machine and change nothing.
"""

from __future__ import annotations

import errno
import os

from rootless import linux, programs, subids
from rootless.errors import NoRoomError, RootlessError

SEE_DOCTOR = "\n'rootless doctor' tries all that is needed here, and says what mends it"
"""Ends the hint of everything that this machine, and not what was asked of it, has refused."""
NO_PLACE = "there is no place for images: HOME is not set, and this uid has no name"
PLACE = "set HOME, or choose a directory with --root or ROOTLESS_ROOT"
ELSEWHERE = "export ROOTLESS_ROOT=/var/tmp/$USER-rootless (a disk of this machine: ext4, xfs …)"
UNCONFINED = (
    "start the outer container with --security-opt seccomp=unconfined, or run outside of it"
)
UNMASKED = (
    "start the outer one with: podman run --security-opt unmask=ALL, or "
    "docker run --security-opt systempaths=unconfined"
)
APPARMOR_CURE = (
    "rootless doctor --apparmor | sudo tee /etc/apparmor.d/rootless && "
    "sudo apparmor_parser -r /etc/apparmor.d/rootless"
)
SELINUX = (
    "what it refused: sudo ausearch -m avc -ts recent; to allow that: "
    "sudo ausearch -m avc -ts recent | audit2allow -M rootless && sudo semodule -i rootless.pp"
)
_ENFORCES = "/sys/fs/selinux/enforce"
_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_DEBIAN_CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
_PRIVILEGED = (
    "as root: chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap; "
    "setcap cap_setuid+ep /usr/bin/newuidmap; setcap cap_setgid+ep /usr/bin/newgidmap"
)
_CAP_SYS_ADMIN = 21
_USERS = "/etc/passwd"
_MAX_NAMESPACES = "/proc/sys/user/max_user_namespaces"
_IN_THE_WAY = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EIO),
)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT)


def explain_userns(error: Exception, user: str) -> RootlessError:
    """Why `user` could not enter a user namespace, or do there what root may, and what to do."""
    if _number(_APPARMOR) == 1:
        return _refused(
            "AppArmor forbids user namespaces to programs without a profile", APPARMOR_CURE
        )
    if _number(_DEBIAN_CLONE) == 0:
        return _refused(
            "this kernel is set to forbid user namespaces to ordinary users",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if _number(_MAX_NAMESPACES) == 0:
        return _refused(
            "this machine allows no user namespaces (user.max_user_namespaces is 0)",
            "sudo sysctl -w user.max_user_namespaces=15000",
        )
    if not isinstance(error, OSError):
        return _explain_maps(str(error), user)
    if error.errno == errno.ENOSPC:
        return _refused(
            "there are as many user namespaces as this machine allows, or 32 within each other",
            "end some containers, or: sudo sysctl -w user.max_user_namespaces=15000",
        )
    if error.errno not in (errno.EPERM, errno.EACCES):
        return _refused(f"a user namespace could not be made: {error}", "a kernel that has them")
    return _forbidden(getattr(error, "syscall", "unshare"))


def explain_kernel(error: linux.SyscallError) -> RootlessError:
    """Why a system call is not there without which nothing goes."""
    if error.errno == errno.ENOSYS:
        return _refused(
            f"Linux {os.uname().release} is too old: it has no {error.syscall}",
            "a kernel from 5.12 on is needed",
        )
    return _refused(
        f"{error.syscall} is forbidden here: by an old seccomp profile, it seems",
        "a newer runtime for the outer container (docker 20.10.10, libseccomp 2.5), or "
        + UNCONFINED,
    )


def _forbidden(call: str) -> RootlessError:
    """A filter, a security module or a chroot: the kernel says the same of all three."""
    what = "user namespaces are" if call == "unshare" else f"{call} in a user namespace is"
    if _is_filtered():
        return _refused(
            f"{what} forbidden here: probably by the seccomp profile of a container",
            UNCONFINED,
        )
    if _number(_ENFORCES) == 1:
        return _refused(f"{what} forbidden here: by SELinux, it seems", SELINUX)
    return _refused(
        f"{what} forbidden here: by a security module (SELinux, AppArmor), or within a chroot",
        "sudo dmesg and sudo ausearch -m avc -ts recent say which; leave the chroot",
    )


def _is_filtered() -> bool:
    """Whether a seccomp filter watches this process."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            return any(line.split() == ["Seccomp:", "2"] for line in file)
    except OSError:
        return False


def explain_proc(error: OSError, *, needed: bool = False) -> RootlessError:
    """Why there is no new /proc: the kernel gives none to whom a part of the old one is hidden.

    Where it is not `needed`, that one is shown.
    """
    if error.errno != errno.EPERM:
        return _refused(f"/proc cannot be mounted: {error}", "a kernel with CONFIG_PROC_FS")
    so = (
        "and with one id containers need their own"
        if needed
        else "so containers are shown this one"
    )
    return _refused(
        f"a part of /proc is hidden here, {so}: this is probably a container itself",
        UNMASKED,
    )


def _refused(message: str, cure: str) -> RootlessError:
    return RootlessError(message, hint=cure + SEE_DOCTOR)


def _explain_maps(complaint: str, user: str) -> RootlessError:
    """newuidmap or the kernel refused the id map."""
    reason = complaint.splitlines()[0]
    is_denied = reason.endswith(os.strerror(errno.EPERM))
    cure = _PRIVILEGED if is_denied and not _may_administer() else grant_ids(user)
    return _refused(f"the user ids of the namespace could not be mapped: {reason}", cure)


def _may_administer() -> bool:
    """Whether root may have CAP_SYS_ADMIN here: a setuid newuidmap needs it, in a container too."""
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            bounds = next(line.split()[1] for line in file if line.startswith("CapBnd:"))
    except (OSError, StopIteration):
        return True
    return bool(int(bounds, 16) >> _CAP_SYS_ADMIN & 1)


def grant_ids(user: str) -> str:
    """The command that gives `user` a range of subordinate ids, behind all that were given."""
    first = max(100000, *map(_given, (subids.USERS, subids.GROUPS)))
    if not _is_local(user):  # usermod knows nobody else
        line = f"{user}:{first}:65536"
        return f"echo {line} | sudo tee -a {subids.USERS} {subids.GROUPS}"
    ids = f"{first}-{first + 65535}"
    return f"sudo usermod --add-subuids {ids} --add-subgids {ids} {user}"


def _is_local(user: str) -> bool:
    """Whether this machine's own file has the user, and no directory in the network (LDAP, AD)."""
    try:
        with open(_USERS, "rb") as file:
            return any(line.startswith(os.fsencode(user) + b":") for line in file)
    except OSError:
        return False


def explain_unmapped(uid: int, gid: int) -> RootlessError:
    """Why nothing can belong to these ids, inside of a namespace with a range."""
    message = f"nothing can belong to {uid}:{gid} here: the id is not mapped"
    return RootlessError(message, hint="rootless doctor says how many ids you have")


def explain_attributes(error: OSError) -> RootlessError:
    """Why no changes can be kept in the store."""
    return _refused(
        f"the file system of the store keeps no user xattrs ({error.strerror}): changes of files "
        "cannot be told there",
        ELSEWHERE,
    )


def explain_noexec(place: str) -> RootlessError:
    """Why no copy of an image's programs can be started."""
    return _refused(f"{place} is mounted noexec: no program there can be started", ELSEWHERE)


def explain_giving(name: str, owner: str, error: OSError) -> RootlessError:
    """Why a file of the store cannot belong to an id that there is."""
    return _refused(
        f"{name} cannot be given to {owner}: the file system of the store, which may be another "
        f"machine's, refuses it ({error.strerror})",
        ELSEWHERE,
    )


def explain_one_id() -> tuple[str, str]:
    """What is missing for a range of ids, and the cure; also asked inside of the namespace."""
    if linux.prctl(linux.PR_GET_NO_NEW_PRIVS):
        return (
            "no_new_privs is set, so newuidmap can do nothing",
            "start rootless outside of the sandbox or service that sets it",
        )
    helpers = tuple(map(programs.find, ("newuidmap", "newgidmap")))
    if not all(helpers):
        return "no newuidmap", "sudo apt-get install uidmap (shadow-utils elsewhere)"
    if powerless := [one for one in helpers if not programs.is_privileged(one)]:
        return "newuidmap has lost its setuid bit", f"sudo chmod u+s {' '.join(powerless)}"
    return _explain_no_ids(_outside("uid"))


def _explain_no_ids(uid: int) -> tuple[str, str]:
    """Why newuidmap, which is there, has nothing to give."""
    if uid < 0:
        return f"no line in {subids.USERS}", grant_ids("USER")
    if not (user := subids.name_of(uid)):
        line = f"user{uid}:x:{uid}:{_outside('gid')}::/:/bin/sh"
        return (
            f"uid {uid} has no name, and newuidmap gives nothing to a number",
            f"echo {line} | sudo tee -a {_USERS}; then: {grant_ids(f'user{uid}')}",
        )
    if service := subids.service():
        return _explain_service(service, user)
    users, _ = subids.granted(uid)
    return f"no line in {subids.GROUPS if users else subids.USERS}", grant_ids(user)


def _explain_service(service: str, user: str) -> tuple[str, str]:
    said = f"nsswitch.conf says 'subid: {service}'"
    if not subids.asker():
        missing = f"{said}, and getsubids, which asks it, is not installed"
        return missing, "sudo dnf install shadow-utils-subid (uidmap elsewhere)"
    return (
        f"{said}, which gives {user} none",
        f"have them given there, or: sudo sed -i 's/^subid:.*/subid: files/' /etc/nsswitch.conf; "
        f"then: {grant_ids(user)}",
    )


def _outside(kind: str) -> int:
    """The user's own id outside, also when asked from within; -1 where nothing tells."""
    here = os.getuid() if kind == "uid" else os.getgid()
    try:
        with open(f"/proc/self/{kind}_map", encoding="ascii") as file:
            return here or int(file.readline().split()[1])
    except (OSError, IndexError):  # no map was written, or there is no /proc
        return -1


def _given(path: str) -> int:
    """The first id behind all ranges of subuid(5); 0 when there are none."""
    try:
        with open(path, "rb") as file:
            fields = [line.strip().split(b":")[1:] for line in file]
    except OSError:
        return 0
    return max((sum(map(int, one)) for one in fields if all(map(bytes.isdigit, one))), default=0)


def explain_overlay(error: OSError, layers: int) -> RootlessError:
    """Why layers could not be stacked."""
    if error.errno == errno.EINVAL and layers > 500:
        return RootlessError(f"the image has {layers} layers; the kernel stacks at most 500")
    if error.errno in (errno.EPERM, errno.EINVAL, errno.ENODEV):
        return _refused(
            f"overlayfs is refused here ({error.strerror}): the store may lie on a file system "
            "that cannot be an overlay's upper layer, or the kernel is older than 5.11",
            "move the store to ext4, xfs, btrfs, or tmpfs from Linux 6.6 on, with --root DIR "
            "or ROOTLESS_ROOT",
        )
    return explain_limit(error) or RootlessError(f"the layers could not be stacked: {error}")


def explain_storage(error: OSError, path: str) -> RootlessError | None:
    """Why `path` in the store could not be written; None when it is nothing a person can mend."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoomError(
            f"the disk is full: {path} could not be written",
            hint="free space with: rootless system prune, or move the store with --root",
        )
    if error.errno in (errno.EFBIG, errno.EMFILE, errno.ENFILE):
        return explain_limit(error)
    if error.errno in _UNWRITABLE:
        return _refused(f"the store cannot be written: {path}: {error.strerror}", _own(path))
    if error.errno == errno.EIO:
        return RootlessError(
            f"the disk failed to read or write {path}",
            hint="see the kernel's messages with: dmesg",
        )
    return None


def explain_unreadable(root: str) -> RootlessError:
    """Why the store at `root` is closed."""
    return _refused(f"the store {root} cannot be read: permission denied", _own(root))


def _own(path: str) -> str:
    """The way to a folder of one's own; who has become another user still has the HOME of before,
    it may be.
    """
    cure = "choose a folder of your own with --root or ROOTLESS_ROOT"
    while not os.path.exists(path) and path != "/":
        path = os.path.dirname(path)
    if os.stat(path).st_uid == os.getuid():
        return cure
    if path == "/":
        return f"set HOME, or {cure}"
    uid = _outside("uid")
    return f"{path} is another's, and you are {subids.name_of(uid) or uid}: set HOME, or {cure}"


def way_out(path: str, error: OSError) -> str | None:
    """What to do where `path`, which the user named, cannot be written or read."""
    folder = os.path.dirname(os.path.abspath(path))
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.isdir(folder):
        if os.path.exists(folder):
            return f"{folder} is a file: name a folder"
        return f"there is no folder {folder}: make it first, with mkdir -p"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there, or name another place"
    if error.errno in (errno.EACCES, errno.EROFS):
        return "name a place where you may write"
    return None


def explain_place(error: OSError, root: str) -> RootlessError | None:
    """What is wrong with the store at `root` or the current directory; None when nothing is."""
    path = os.fsdecode(error.filename or "")
    if error.errno == errno.ENOENT and not path and _is_gone():
        return explain_no_directory()
    if error.errno not in _IN_THE_WAY or not f"{path}/".startswith(f"{root}/"):
        return None
    reason = "something else is in the place of a folder" if error.errno == errno.EEXIST else ""
    return RootlessError(
        f"the store cannot be used: {path}: {reason or error.strerror}",
        hint=f"choose another folder with --root or ROOTLESS_ROOT, or look what is in {root}",
    )


def _is_gone() -> bool:
    """Whether the current directory has been deleted."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def explain_no_directory() -> RootlessError:
    """Why a relative path means nothing; the first words are docker's."""
    return RootlessError(
        "getwd: no such file or directory: the current directory is not there any more",
        hint="go to one that is: cd",
    )


def explain_limit(error: OSError) -> RootlessError | None:
    """Which limit of this process or machine a call has met; None when it is another matter."""
    if error.errno == errno.EAGAIN:
        return explain_processes()
    if error.errno == errno.EMFILE:
        return RootlessError(
            f"no more files can be opened: a process may have {_most('RLIMIT_NOFILE')} here",
            hint="raise the limit: ulimit -n",
        )
    if error.errno == errno.ENFILE:
        return RootlessError(
            "no more files can be opened on this machine",
            hint="end some programs, or raise the limit: sudo sysctl -w fs.file-max=…",
        )
    if error.errno == errno.ENOMEM:
        return RootlessError(
            "this machine has no memory left for it", hint="end some programs, or raise: ulimit -v"
        )
    if error.errno == errno.EFBIG:
        return RootlessError(
            f"a file may not be larger than {_most('RLIMIT_FSIZE')} bytes here: "
            f"{os.fsdecode(error.filename or 'it')} could not be written",
            hint="raise the limit: ulimit -f unlimited",
        )
    return None


def explain_processes() -> RootlessError:
    """Why no process or thread can be started."""
    return RootlessError(
        f"no more processes can be started: this user may have {_most('RLIMIT_NPROC')} here",
        hint="end some, or raise the limit: ulimit -u; of a container or service: pids.max",
    )


def _most(name: str) -> str:
    """A limit of this process in words; to load what knows it takes a descriptor."""
    try:
        import resource
    except ImportError:
        return "few"
    most, _ = resource.getrlimit(getattr(resource, name))
    return str(most) if most >= 0 else "any number of"


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
