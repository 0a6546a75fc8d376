"""The kernel and what it lets this user have: namespaces, ids, overlayfs, /proc."""

from __future__ import annotations

import os

from rootless import complaints, linux, programs, rung, userns
from rootless.doctor.check import Check, complaint, failed, note, passed
from rootless.errors import RootlessError


def kernel() -> Check:
    release = os.uname().release
    if linux.MACHINE not in linux.MACHINES:
        known = ", ".join(linux.MACHINES)
        return failed("kernel", f"Linux for {linux.MACHINE}", f"a machine of these: {known}")
    if rung.kernel() >= rung.FOR_MOUNTS:
        return passed("kernel", f"Linux {release}")
    cure = "a kernel from 5.12 on is needed"
    if rung.kernel() >= rung.FOR_COPIES:
        return note("kernel", f"Linux {release}: users may mount no overlayfs", cure)
    return failed("kernel", f"Linux {release}", cure)


def user() -> Check:
    if os.getuid():
        return passed("user", f"uid {os.getuid()}, an ordinary user")
    return note(
        "user",
        "root: a container's root is then this machine's root, one barrier less",
        "use an ordinary user",
    )


def user_namespace() -> Check:
    problem = complaint(_try_userns)
    if problem is None:
        return passed("user namespace", "can be entered, and mounts can be made in it")
    return failed("user namespace", problem.message, problem.hint)


def _try_userns() -> None:
    userns.enter()
    here = rung.current()
    if not here.may_mount:
        if rung.forced():
            _try_beyond()
        raise RootlessError(here.why, hint=here.cure)
    linux.mount("tmpfs", "/tmp", "tmpfs")


def _try_beyond() -> None:
    """What has forced this rung may not be all: no volume mends what a filter forbids."""
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    except linux.SyscallError as error:
        raise complaints.explain_userns(error, "root") from None


def copies() -> Check | None:
    """For root without mounts: what it builds in instead; None for who cannot be root so."""
    if complaint(_try_copies):
        return None
    return passed("copies", "commands run in copies of the layers, by chroot")


def _try_copies() -> None:
    """In a child: what a command needs; whether files can be given away is seen in the store."""
    userns.enter()
    os.chroot("/")
    os.setresgid(1, 1, 1)
    os.setresuid(1, 1, 1)


def commands() -> Check:
    """For who has neither namespaces nor root."""
    proot = programs.find("proot")
    problem = complaint(lambda: _try_proot(proot)) if proot else None
    if proot and problem is None:
        return passed("commands", "run by proot, in copies of the layers")
    why = f"{proot} does not work ({problem.message})" if problem else "there is no proot"
    return failed(
        "commands",
        f"none can be run, for {why}; images can be pulled, built of COPY and ADD, and pushed",
        "see user namespace" if proot else "install the package proot, or see user namespace",
    )


def _try_proot(program: str) -> None:
    """In a child, which says nothing."""
    quiet = os.open(os.devnull, os.O_RDWR)
    streams = [(os.POSIX_SPAWN_DUP2, quiet, fd) for fd in range(3)]
    argv = (program, "-v", "-1", "-0", "-r", "/", "/bin/true")
    pid = os.posix_spawn(program, argv, {}, file_actions=streams)
    if status := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RootlessError(f"it ended with status {status}: it may not trace processes here")


def setuid() -> Check:
    """What python-prctl, which needs a compiler to install, says of this process."""
    try:
        import prctl
    except ImportError:
        return note(
            "python-prctl",
            "it is not installed; nothing but this line needs it",
            "sudo apt-get install gcc python3-dev libcap-dev; then pip install python-prctl",
        )
    if not prctl.get_no_new_privs():
        return passed("setuid", "programs may gain privileges, as newuidmap must")
    return note("setuid", *complaints.explain_one_id())


def ids() -> Check:
    """With one id all is built; what is lost is said."""
    mapped = userns.available()
    if mapped.is_range:
        return passed("ids", f"{mapped.size} uids can be mapped")
    missing, hint = complaints.explain_one_id()
    detail = f"{missing}: other owners are only recorded, and setuid programs change nobody"
    return note("ids", detail, hint)


def overlayfs() -> Check:
    problem = complaint(_try_overlay)
    if problem is None:
        return passed("overlayfs", "works in a user namespace")
    return failed("overlayfs", problem.message, problem.hint)


def _try_overlay() -> None:
    userns.enter()
    linux.mount("tmpfs", "/tmp", "tmpfs")
    stack("/tmp")


def stack(folder: str) -> str:
    """Mount an overlay whose directories are all made in `folder`; where it is mounted."""
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{folder}/{name}")
    options = "lowerdir=lower,upperdir=upper,workdir=work,userxattr"
    os.chdir(folder)  # whatever characters are in its name, the options are these
    try:
        linux.mount("overlay", "merged", "overlay", 0, options)
    except OSError as error:
        raise complaints.explain_overlay(error, 1) from None
    return f"{folder}/merged"


def proc() -> Check:
    """The kernel mounts no new /proc where a part of the old one is hidden."""
    needed = not userns.available().is_range  # by who answers for ids
    problem = complaint(lambda: _try_proc(needed=needed))
    if problem is None:
        return passed("proc", "containers get a /proc of their own")
    return failed("proc", problem.message, problem.hint, required=needed)


def _try_proc(*, needed: bool) -> None:
    userns.enter()
    linux.unshare(linux.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:  # which sees no parent: the children of `process` would end here
        os._exit(_mount_proc())
    number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if number:
        raise complaints.explain_proc(OSError(number, os.strerror(abs(number))), needed=needed)


def _mount_proc() -> int:
    """The errno of it."""
    try:
        linux.mount("proc", "/proc", "proc")
    except OSError as error:
        return error.errno or 1
    return 0


def selinux() -> tuple[Check, ...]:
    """A line only where it is in force: most machines do not have it."""
    try:
        with open("/sys/fs/selinux/enforce", encoding="utf-8") as file:
            enforces = file.read().strip() == "1"
    except OSError:
        return ()
    if not enforces:
        return (passed("SELinux", "permissive: it forbids nothing"),)
    return (
        note(
            "SELinux",
            "enforcing: containers have your label, z and Z give files none; it may forbid more",
            complaints.SELINUX,
        ),
    )
