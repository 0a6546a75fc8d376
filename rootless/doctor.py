"""What this machine allows, found by trying: `rootless doctor`, and the skips of the tests.

Each trial runs in a forked child (about 1 ms each), so that nothing of this process changes and
nothing is left behind.
"""

from __future__ import annotations

import os

from rootless import complaints, linux, process, userns
from rootless.errors import RootlessError
from rootless.network import choice
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Check(Record):
    """One line of `rootless doctor`: `hint` is the exact fix when it is not ok."""

    name: str
    ok: bool
    detail: str
    hint: str | None = None
    required: bool = True


def checks(search_path: str) -> tuple[Check, ...]:
    """Every check, most basic first; `search_path` is the $PATH that programs are looked for on."""
    return (
        _check_kernel(),
        _check_user(),
        _check_userns(),
        _check_setuid(),
        _check_ids(),
        _check_overlay(),
        _check_network(search_path),
        _check_route(),
        _check_cgroup(),
    )


def _check_kernel() -> Check:
    release = os.uname().release
    if linux.MACHINE not in linux.MACHINES:
        known = ", ".join(linux.MACHINES)
        return _failed("kernel", f"Linux for {linux.MACHINE}", f"a machine of these: {known}")
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
    missing, hint = complaints.explain_one_id()
    detail = f"{missing}: commands in images can be no other user than root"
    return _failed("ids", detail, hint)


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
        raise complaints.explain_overlay(error, 1) from None


def _check_network(search_path: str) -> Check:
    chosen = choice.choose("", search_path, tun=choice.has_tun())
    if chosen.program:
        return _passed("network", f"containers get their own through {chosen.mode}")
    if choice.has_tun():
        cure = "sudo apt-get install passt (or slirp4netns)"
    else:
        cure = "sudo modprobe tun; sudo chmod 666 /dev/net/tun"
    return _failed("network", chosen.note, cure, required=False)


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
    return _failed("setuid", *complaints.explain_one_id(), required=False)


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


def _in_child(trial: Callable[[], None]) -> RootlessError | None:
    """Run `trial` in a child; what it complained about, or None."""
    try:
        process.run(trial)
    except OSError as error:
        return RootlessError(error.strerror or str(error))
    except RootlessError as error:
        return error
    return None
