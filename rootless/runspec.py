"""From an image's config, its layers and what the user overrides to a `sandbox.Spec`.

Pure: nothing is mounted, made or looked up here. Runs in the CLI process or in a builder. What a
container is made of, in which order, is decided in this file and nowhere else.
"""

from __future__ import annotations

from rootless import linux, programs, rung, userns
from rootless.errors import RootlessError
from rootless.record import Record
from rootless.sandbox import caps
from rootless.sandbox.operations.devices import Devices
from rootless.sandbox.operations.tree import Directory, PivotRoot, Protect
from rootless.sandbox.operations.views import Cgroup, Mask, Proc, Sysctls, Sysfs
from rootless.sandbox.privileges import (
    Await,
    Become,
    Bound,
    ChangeDirectory,
    Execute,
    Hostname,
    Join,
    Loopback,
    NoNewPrivileges,
    OomScore,
    Seccomp,
    Terminal,
    WorkingDirectory,
)
from rootless.sandbox.spec import Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.roots import Root
    from rootless.sandbox.joining import Enter
    from rootless.sandbox.limits import Limit
    from rootless.sandbox.spec import Operation
    from rootless.userns import IdMap

# What Docker hides and protects: the host's kernel seen through /proc and /sys.
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PROOT = "proot"
# As in docker, every user of a network of one's own may listen on port 80.
_LOW_PORTS = ("net.ipv4.ip_unprivileged_port_start", "0")


class Process(Record):
    """What runs, and as whom. `seccomp` is a BPF program, b"" for none.

    `groups` are more groups, as `privileges.Become` has them; `oom_score` of None is the caller's.
    A working directory that must be made is root's, or with `owns_working_dir` the user's.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str = "/"
    user: str = ""
    capabilities: frozenset[str] = caps.DEFAULT
    no_new_privileges: bool = False
    seccomp: bytes = b""
    limits: tuple[Limit, ...] = ()
    groups: tuple[str, ...] = ()
    umask: int = 0o022
    oom_score: int | None = None
    owns_working_dir: bool = False


class Network(Record):
    """`own` is a network namespace of the container's, `fd` the one it is where that is there
    already; `await_fd` tells when it is connected.
    """

    own: bool
    await_fd: int = -1
    provider: str = ""
    fd: int = -1


class Isolation(Record):
    """What a container has besides files and a process.

    `shared` are the namespaces it has in common with the host: pid, ipc, uts, cgroup; those of
    `others`, by a process each, are pid and ipc. `masked` is what the kernel tells and it does not
    see, `protected` what it only sees. With a `writable_kernel` or `writable_cgroup`, /sys or its
    cgroup is as writable as the kernel lets it.
    `cgroup` is the directory of the group that it joins, "" for that of its parent.
    """

    hostname: str
    network: Network
    mounts: tuple[Operation, ...] = ()
    terminal_fd: int = -1
    read_only: bool = False
    own_cgroup: bool = False
    init: bool = False
    shm_size: int = 64 << 20
    shared: frozenset[str] = frozenset()
    masked: tuple[str, ...] = MASKED
    protected: tuple[str, ...] = READ_ONLY
    writable_kernel: bool = False
    writable_cgroup: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, int], ...] = ()
    cgroup: str = ""


def container(ids: IdMap, root: Root, process: Process, isolation: Isolation) -> Spec:
    """The sandbox of `rootless run`."""
    check()
    if not rung.current().may_mount:
        return _not_apart(ids, root, process, isolation)
    had = {*isolation.shared, *(name for name, _ in isolation.others)}
    own = [name for name in ("pid", "uts", "ipc", "cgroup") if name not in had]
    if isolation.cgroup and "cgroup" in own:  # made when the group has been joined
        own.remove("cgroup")
    namespaces = ("mount", *own, *(("net",) if isolation.network.own else ()))
    if isolation.network.own:
        isolation = isolation.replace(sysctls=(_LOW_PORTS, *isolation.sysctls))
    operations = _operations(root, process, isolation)
    return Spec(
        ids,
        namespaces,
        operations,
        init=isolation.init,
        shares=isolation.others,
        netns_fd=isolation.network.fd,
    )


def build_step(ids: IdMap, root: Root, process: Process, isolation: Isolation) -> Spec:
    """The sandbox of one RUN: the host's network, or one of its own, which has only lo."""
    if not rung.current().may_mount:
        return _not_apart(ids, root, process, isolation)
    own_network = isolation.network.own
    namespaces = ("mount", "pid", "uts", "ipc", *(("net",) if own_network else ()))
    return Spec(ids, namespaces, _operations(root, process, isolation))


def check() -> None:
    """RootlessError, with what is missing, where no command of an image can be run at all."""
    here = rung.current()
    if here.is_root or programs.find(_PROOT):
        return
    raise RootlessError(
        "commands of images cannot be run here: there are neither namespaces nor root "
        f"({here.why}), and no proot",
        hint="install the package proot where rootless runs, which runs commands without either"
        f"\nor: {here.cure or 'rootless doctor says more'}\n"
        "without commands images can be pulled, built of COPY and ADD, copied and pushed",
    )


def check_root() -> None:
    """RootlessError where there is nobody's root to be, not even that of a namespace."""
    if not rung.current().is_root:
        raise lacking("a user namespace")


def losses() -> str:
    """What is not in a layer that a command makes here; "" where all is."""
    if rung.current().is_root:
        return ""
    return (
        "commands are run by proot, for there are neither namespaces nor root: they are kept apart "
        "from nothing, and what another user than root makes is root's in the image"
    )


def absence() -> str:
    """What commands look for in vain on this machine, for the hint when one has failed; or ""."""
    here = rung.current()
    if here.may_mount or not here.is_root:
        return ""
    return (
        "without mounts there is no /proc/self here, so no /dev/stdin, /dev/stdout, /dev/fd or "
        "bash's <(…)"
    )


def wants() -> str:
    """What a command that was refused something may have asked for, that this machine cannot give:
    a hint; "" where a container has all that any has.
    """
    here = rung.current()
    if here.name == rung.ONE:
        lacks = "there is one id here, so a setuid program makes nobody another"
    elif not here.may_mount:
        lacks = "a command can mount nothing here, nor make namespaces or devices that are not here"
    else:
        return ""
    return f"{lacks}: if that is what it needs, 'rootless doctor' says how to get it"


def caveat() -> str:
    """What a user must know of every container on this machine; "" where each is kept apart."""
    here = rung.current()
    if here.may_mount:
        return ""
    if not here.is_root:
        return losses()
    return (
        "this container is kept apart from nothing but files: without namespaces it shares "
        "processes, network and host name with what is around it"
    )


def lacking(what: str) -> RootlessError:
    """The error for what can only be had where a container is kept apart."""
    from rootless.sandbox import substitutes

    return substitutes.lacking(what)


def entry(enter: Enter, ids: IdMap, process: Process, terminal_fd: int = -1) -> Spec:
    """The sandbox of `rootless exec`: a container's, which runs, with one more process."""
    terminal = (Terminal(terminal_fd, console=False),) if terminal_fd >= 0 else ()
    place = ChangeDirectory(process.working_dir)
    if enter.tree and not (enter.namespaces or userns.is_root_for_copies()):
        rest = _into_tree(enter.tree, process, place)
        return Spec(ids, (), (enter.replace(last=rest[-1]), *terminal, *rest), joined=True)
    answered = () if ids.is_range else _notify(process)
    if enter.tree:
        process = _unconfined(process)
    privileges = _privileges(process, Network(own=False), place, answered)
    if enter.tree:
        privileges = (*_way_into(enter.tree), *_unbounded(privileges))
    return Spec(ids, enter.namespaces, (enter, *terminal, *privileges), joined=True)


def _into_tree(tree: str, process: Process, place: Operation) -> tuple[Operation, ...]:
    """The way of who is root nowhere into a container whose root is a directory: as its first
    process went. RootlessError where there is none.

    Nothing has been tried in this process, so that is asked of what it is.
    """
    from rootless.sandbox.operations import chrooted

    if not programs.find(_PROOT):
        raise RootlessError(
            "this container has no namespaces that could be entered, and there is no proot",
            hint="install the package proot where rootless runs: it runs commands without either",
        )
    return (chrooted.Enter(tree), place, *_traced(process, tree))


def _way_into(tree: str) -> tuple[Operation, ...]:
    """Of root into a container whose root is a directory."""
    from rootless.sandbox.operations import chrooted

    return (chrooted.Enter(tree), chrooted.Chroot())


def _unconfined(process: Process) -> Process:
    """With the powers that there are, and what is around it for its only filter."""
    from rootless.sandbox import substitutes

    keep = substitutes.capabilities(process.capabilities)
    return process.replace(capabilities=keep, seccomp=b"", oom_score=None)


def _unbounded(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Nobody may take powers away for good here."""
    return tuple(one for one in operations if not isinstance(one, Bound))


def _not_apart(ids: IdMap, root: Root, process: Process, isolation: Isolation) -> Spec:
    """A chroot into a tree of its own, in which is put what would be mounted."""
    from rootless.sandbox import substitutes
    from rootless.sandbox.operations.chrooted import Chroot, Outside

    for what, is_asked in (
        ("a network of its own (network=none)", isolation.network.own),
        ("a root that is only read (--read-only)", isolation.read_only),
        ("kernel parameters of its own (--sysctl)", isolation.sysctls),
        ("namespaces of another container", isolation.others),
    ):
        if is_asked:
            raise substitutes.lacking(what)
    process = _unconfined(process)
    terminal: tuple[Operation, ...] = ()
    if isolation.terminal_fd >= 0:
        terminal = (Outside(), Terminal(isolation.terminal_fd, console=False))
    folder = f"{root.writable}/{substitutes.FOLDER}"
    if rung.current().is_root:
        placed = substitutes.of(isolation.mounts, folder, root.target)
        privileges = _privileges(process, isolation.network, _working_dir(process), ())
        rest = (Chroot(), *_unbounded(privileges))
    else:
        placed, rest = _by_proot(root, process, isolation, folder)
    operations = (*terminal, *root.operations, *placed, *rest)
    return Spec(ids, (), operations, init=isolation.init)


def _by_proot(
    root: Root, process: Process, isolation: Isolation, folder: str
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """What is put into the tree, and how a command is run in it without being root of anything."""
    from rootless.sandbox import substitutes

    placed = substitutes.of(isolation.mounts, folder, root.target, is_shown=True)
    return placed, (Directory(process.working_dir), *_traced(process, root.target))


def _traced(process: Process, tree: str) -> tuple[Operation, ...]:
    """A command below proot, which looks up its paths in `tree`."""
    from rootless.sandbox import translated
    from rootless.sandbox.operations.proot import Proot

    command = Proot(
        process.argv,
        process.env,
        process.working_dir,
        process.user,
        umask=process.umask,
        program=programs.find(_PROOT),
        tree=tree,
        unknown=translated.program(linux.MACHINE),
        given=translated.given(linux.MACHINE),
    )
    return (NoNewPrivileges(), *_limits(process), command)


def _operations(root: Root, process: Process, isolation: Isolation) -> tuple[Operation, ...]:
    """Everything that makes a container, in the order it happens."""
    return (
        *_group(isolation),
        *root.operations,
        *_kernel_views(isolation),
        *isolation.mounts,
        *_terminal(isolation),
        *((Mask(isolation.masked),) if isolation.masked else ()),
        *((Protect(isolation.protected),) if isolation.protected else ()),
        *_read_only_root(process, isolation),
        *((Loopback(),) if isolation.network.own else ()),
        PivotRoot(),
        *(() if "uts" in isolation.shared else (Hostname(isolation.hostname),)),
        *_privileges(process, isolation.network, _working_dir(process), _answered(process)),
    )


def _answered(process: Process) -> tuple[Operation, ...]:
    """With one id, what needs others is asked of a process of ours."""
    return _notify(process) if rung.current().is_answered else ()


def _notify(process: Process) -> tuple[Operation, ...]:
    from rootless.sandbox.oneid import calls

    program = calls.program(linux.MACHINE, process.capabilities)
    return (calls.Notify(program),)


def _read_only_root(process: Process, isolation: Isolation) -> tuple[Operation, ...]:
    """As docker does, the working directory is made even where nothing can be written."""
    if not isolation.read_only:
        return ()
    return (Directory(process.working_dir), Protect(("/",)))


def _group(isolation: Isolation) -> tuple[Operation, ...]:
    if not isolation.cgroup:
        return ()
    return (Join(isolation.cgroup, own="cgroup" not in isolation.shared),)


def _kernel_views(isolation: Isolation) -> tuple[Operation, ...]:
    own_network, shared = isolation.network.own, isolation.shared
    cgroup = Cgroup(own="cgroup" not in shared, writable=isolation.writable_cgroup)
    return (
        Proc(own="pid" not in shared, strict=rung.current().is_answered),
        Devices(isolation.shm_size, own_ipc="ipc" not in shared),
        Sysfs(own_network=own_network, writable=isolation.writable_kernel),
        *((cgroup,) if isolation.own_cgroup and own_network else ()),
        *((Sysctls(isolation.sysctls),) if isolation.sysctls else ()),
    )


def _terminal(isolation: Isolation) -> tuple[Operation, ...]:
    return (Terminal(isolation.terminal_fd),) if isolation.terminal_fd >= 0 else ()


def _limits(process: Process) -> tuple[Operation, ...]:
    if not process.limits:
        return ()
    from rootless.sandbox.limits import Limits

    return (Limits(process.limits),)


def _working_dir(process: Process) -> WorkingDirectory:
    owner = ""
    if process.owns_working_dir:
        from rootless import owners  # noqa: F401 - needed where nothing can be imported

        owner = process.user or "0"
    return WorkingDirectory(process.working_dir, owner)


def _privileges(
    process: Process, network: Network, place: Operation, answered: tuple[Operation, ...]
) -> tuple[Operation, ...]:
    """The filter is installed while CAP_SYS_ADMIN is still effective: no_new_privs is optional.

    The network is awaited as late as possible. `place` is the way to the working directory.
    """
    keep = tuple(sorted(process.capabilities))
    waits = (Await(network.await_fd, network.provider),) if network.await_fd >= 0 else ()
    return (
        place,
        *((NoNewPrivileges(),) if process.no_new_privileges else ()),
        Bound(keep),
        *((Seccomp(process.seccomp),) if process.seccomp else ()),
        *answered,
        *(() if process.oom_score is None else (OomScore(process.oom_score),)),
        Become(process.user, keep, process.groups),
        *waits,
        *_limits(process),
        Execute(
            process.argv,
            process.env,
            process.working_dir,
            process.user,
            keep,
            no_new_privileges=process.no_new_privileges,
            umask=process.umask,
        ),
    )
