"""What this machine allows, found by trying; and the one table from errno to sentence.

`checks` runs each probe in a forked child (about 1 ms each) and is read by `rootless doctor` and
by the tests' skips. The `explain_*` functions turn a failed call into the sentence and the cure a
user gets; they run only after a failure. Nothing here changes the machine.
"""

from __future__ import annotations

import errno
import os

from rootless import linux, userns
from rootless.errors import RootlessError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_DEBIAN_CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
_MAX_NAMESPACES = "/proc/sys/user/max_user_namespaces"
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOENT)


class Check(Record):
    """One line of `rootless doctor`: `hint` is the exact fix when it is not ok."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    required: bool = True


def explain_userns(error: Exception, user: str) -> RootlessError:
    """Why `user` could not enter a user namespace, and what to do."""
    if _number(_APPARMOR) == 1:
        return RootlessError(
            "AppArmor forbids user namespaces to programs without a profile",
            hint="sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    if _number(_DEBIAN_CLONE) == 0:
        return RootlessError(
            "this kernel is set to forbid user namespaces to ordinary users",
            hint="sudo sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if _number(_MAX_NAMESPACES) == 0:
        return RootlessError(
            "this machine allows no user namespaces (user.max_user_namespaces is 0)",
            hint="sudo sysctl -w user.max_user_namespaces=15000",
        )
    if not isinstance(error, OSError):
        return _explain_maps(str(error), user)
    if error.errno == errno.EPERM:
        return RootlessError(
            "user namespaces are forbidden here: probably by the seccomp profile of a container",
            hint="start the outer container with --security-opt seccomp=unconfined, "
            "or run outside of it",
        )
    return RootlessError(f"a user namespace could not be made: {error}")


def _explain_maps(complaint: str, user: str) -> RootlessError:
    """newuidmap or the kernel refused the id map."""
    program = userns.find_program("newuidmap")
    if program and not _is_privileged(program):
        cure = f"sudo chmod u+s {program} {userns.find_program('newgidmap')}"
    else:
        cure = _grant_ids(user)
    reason = complaint.splitlines()[0]
    return RootlessError(f"the user ids of the namespace could not be mapped: {reason}", hint=cure)


def _is_privileged(program: str) -> bool:
    """Whether a program gains privileges by its setuid bit or by file capabilities."""
    is_setuid = bool(os.stat(program).st_mode & 0o4000)
    return is_setuid or "security.capability" in os.listxattr(program)


def _grant_ids(user: str) -> str:
    """The command that gives `user` a range of subordinate ids."""
    return f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"


def explain_overlay(error: OSError, layers: int) -> RootlessError:
    """Why layers could not be stacked."""
    if error.errno == errno.EINVAL and layers > 500:
        return RootlessError(f"the image has {layers} layers; the kernel stacks at most 500")
    if error.errno in (errno.EPERM, errno.EINVAL, errno.ENODEV):
        return RootlessError(
            f"overlayfs is refused here ({error.strerror}): the store may lie on a file system "
            "that cannot be an overlay's upper layer, or the kernel is older than 5.11",
            hint="move the store to ext4, xfs, btrfs, or tmpfs from Linux 6.6 on, with --root DIR "
            "or ROOTLESS_ROOT",
        )
    return RootlessError(f"the layers could not be stacked: {error}")


def explain_storage(error: OSError, path: str) -> RootlessError | None:
    """Why `path` in the store could not be written; None when it is nothing a person can mend."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RootlessError(
            f"the disk is full: {path} could not be written",
            hint="free space with: rootless system prune, or move the store with --root",
        )
    if error.errno in _UNWRITABLE:
        return RootlessError(
            f"the store cannot be written: {path}: {error.strerror}",
            hint="choose a folder of your own with --root or ROOTLESS_ROOT",
        )
    if error.errno == errno.EIO:
        return RootlessError(
            f"the disk failed to read or write {path}",
            hint="see the kernel's messages with: dmesg",
        )
    return None


def checks() -> tuple[Check, ...]:
    """Every probe, most basic first; each in a child, so nothing of this process changes."""
    return (
        _check_kernel(),
        _check_user(),
        _check_userns(),
        _check_setuid(),
        _check_ids(),
        _check_overlay(),
        _check_network(),
        _check_route(),
        _check_cgroup(),
    )


def _check_kernel() -> Check:
    release = os.uname().release
    major, minor = release.partition("-")[0].split(".")[:2]
    if (int(major), int(minor)) >= (5, 12):
        return _passed("kernel", f"Linux {release}")
    return _failed("kernel", f"Linux {release}", "a kernel from 5.12 on is needed")


def _check_userns() -> Check:
    complaint = _in_child(_try_userns)
    if complaint is None:
        return _passed("user namespace", "can be entered, and mounts can be made in it")
    return _failed("user namespace", complaint.message, complaint.hint)


def _check_user() -> Check:
    if os.getuid():
        return _passed("user", f"uid {os.getuid()}, an ordinary user")
    return _failed(
        "user",
        "root: a container's root is then this machine's root, one barrier less",
        "use an ordinary user",
        required=False,
    )


def _passed(name: str, detail: str) -> Check:
    return Check(name, ok=True, detail=detail)


def _failed(name: str, detail: str, hint: str | None, *, required: bool = True) -> Check:
    return Check(name, ok=False, detail=detail, hint=hint, required=required)


def _try_userns() -> None:
    userns.enter()
    linux.mount("tmpfs", "/tmp", "tmpfs")


def _check_ids() -> Check:
    ids = userns.available()
    if ids.is_range:
        return _passed("ids", f"{ids.size} uids can be mapped")
    missing, hint = _why_one_id()
    detail = f"{missing}: only images whose files all belong to root can be used"
    return _failed("ids", detail, hint)


def _why_one_id() -> tuple[str, str]:
    """What is missing for a range of ids, and the cure."""
    if linux.prctl(linux.PR_GET_NO_NEW_PRIVS):
        return (
            "no_new_privs is set, so newuidmap can do nothing",
            "start rootless outside of the sandbox or service that sets it",
        )
    if not userns.find_program("newuidmap"):
        return "no newuidmap", "sudo apt-get install uidmap (shadow-utils elsewhere)"
    return "no line in /etc/subuid", _grant_ids(_user_name())


def _check_overlay() -> Check:
    complaint = _in_child(_try_overlay)
    if complaint is None:
        return _passed("overlayfs", "works in a user namespace")
    return _failed("overlayfs", complaint.message, complaint.hint)


def _try_overlay() -> None:
    userns.enter()
    linux.mount("tmpfs", "/tmp", "tmpfs")
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"/tmp/{name}")
    options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work,userxattr"
    try:
        linux.mount("overlay", "/tmp/merged", "overlay", 0, options)
    except OSError as error:
        raise explain_overlay(error, 1) from None


def _check_network() -> Check:
    for name in ("pasta", "slirp4netns"):
        if userns.find_program(name) and os.access("/dev/net/tun", os.R_OK | os.W_OK):
            return _passed("network", f"containers get their own through {name}")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        hint = "sudo modprobe tun; sudo chmod 666 /dev/net/tun"
        return _failed("network", "/dev/net/tun cannot be opened", hint, required=False)
    return _failed(
        "network",
        "neither pasta nor slirp4netns is installed: containers share the host's network",
        "sudo apt-get install passt (or slirp4netns)",
        required=False,
    )


def _check_route() -> Check:
    """pasta copies the host's addresses and routes; without a default route it has none to copy."""
    from pyroute2 import IPRoute

    with IPRoute() as netlink:
        routed = bool(netlink.get_default_routes())
    if routed:
        return _passed("route", "this machine has a default route")
    return _failed(
        "route",
        "this machine has no default route, so pasta cannot connect containers",
        "connect it, or use --network none or host",
        required=False,
    )


def _check_setuid() -> Check:
    """What python-prctl, which needs a compiler to install, says of this process."""
    try:
        import prctl
    except ImportError:
        return _failed(
            "python-prctl",
            "it is not installed; nothing but this line needs it",
            "sudo apt-get install gcc python3-dev libcap-dev; then pip install python-prctl",
            required=False,
        )
    if not prctl.get_no_new_privs():
        return _passed("setuid", "programs may gain privileges, as newuidmap must")
    return _failed("setuid", *_why_one_id(), required=False)


def _check_cgroup() -> Check:
    try:
        with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as file:
            controllers = file.read().split()
    except OSError:
        controllers = []
    if "memory" in controllers and "pids" in controllers:
        return _passed("cgroup", "v2: " + " ".join(controllers))
    return _failed(
        "cgroup",
        "no cgroup v2 controllers: limits on memory, processors and processes are not available",
        "boot with systemd.unified_cgroup_hierarchy=1",
        required=False,
    )


def _in_child(probe: Callable[[], None]) -> RootlessError | None:
    """Run `probe` in a child; what it complained about, or None."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            probe()
        except RootlessError as error:
            os.write(write_fd, f"{error.message}\0{error.hint or ''}".encode())
        except OSError as error:
            os.write(write_fd, str(error).encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as report:
        message, _, hint = report.read().decode().partition("\0")
    os.waitpid(pid, 0)
    return RootlessError(message, hint=hint or None) if message else None


def _user_name() -> str:
    """The user outside, also when asked from within the namespace."""
    import pwd

    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            outside = int(file.readline().split()[1])
        return pwd.getpwuid(os.getuid() or outside).pw_name
    except (OSError, KeyError, IndexError):  # no map was written, or there is no /proc or passwd
        return "USER"


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
