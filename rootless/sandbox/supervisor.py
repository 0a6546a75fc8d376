"""The process between a command and its container: nothing of the container outlives it.

It is process 1 of a pid namespace of its own, its only child process 1 of another one inside (but
for a container that is to see the host's processes). So the container cannot see, trace or signal
it; and as it never changes ids nor executes anything, it
dies with its parent whatever the container does to the ties that a program may undo: then the
kernel kills everything below. Signals sent to it go on to the container's process 1, whose exit
status becomes its own.

Where there is no pid namespace of its own nothing ends by itself: then it lives on when its parent
dies, until it has ended everything below, and has taken out of the tree what was put there
(`covering`). Without any namespace it has a guardian, a child that does its work, and also that
when it is killed itself; when the guardian is killed, what has left its parent is the supervisor's:

    command ── supervisor ── guardian ── the container's first process

It owns the network namespace, through which the parent connects the container from outside. Runs
as uid 0 of the user namespace, in the parent's mounts, and keeps no descriptor.
"""

from __future__ import annotations

import _signal
import os
import select

from rootless import linux
from rootless.process import close_all_but
from rootless.sandbox import init, reaper
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.newroot import Newroot
from rootless.sandbox.privileges import Await, OomScore, Terminal
from rootless.sandbox.spec import CLONE_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.sandbox.sink import Sink
    from rootless.sandbox.spec import Spec


ORPHANED = 62
"""The signal that ends a sandbox without namespaces: its supervisor has work to do before that."""


def run(
    spec: Spec,
    stdio: tuple[int, int, int],
    report_fd: int,
    mapped: tuple[int, int],
    held_fd: int = -1,
) -> NoReturn:
    """Turn this process, just cloned with all signals blocked, into the supervisor of `spec`.

    `mapped` is a pipe by which the parent tells that ids are there, where the sandbox has its own.
    `held_fd` is one which a guardian holds until its end.
    """
    try:
        os._exit(_supervise(spec, stdio, report_fd, mapped, held_fd))
    except OSError as error:
        init.refused(report_fd, "the container cannot be started", error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        init.report(report_fd, SandboxError(f"the container cannot be started: {error}"))
    finally:  # also when there is nobody left to be told
        os._exit(125)


def _supervise(
    spec: Spec,
    stdio: tuple[int, int, int],
    report_fd: int,
    mapped: tuple[int, int],
    held_fd: int,
) -> int:
    """The exit status of process 1, once all is gone that was started below."""
    if spec.own_ids:
        _await_ids(mapped)
    has_own_processes = "pid" in spec.namespaces
    # Where no pid namespace ends with this process, it takes a last word of its own to end all.
    tie = _signal.SIGKILL if has_own_processes else ORPHANED
    _tie_to_parent(report_fd, tie)
    os.setsid()  # Ctrl-C in the terminal is for the container, which is told of it
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # ignored, it would reap by itself
    supervisor, pid, answerer_pid, sink = os.getpid(), 0, 0, None
    if not spec.is_apart:
        pid = guardian()
    if pid:
        close_all_but()
    else:
        sink = _prepare(spec)
        pid, answerer_pid = _start(spec, stdio, report_fd, (held_fd, *(sink.fds if sink else ())))
    status = reaper.reap(pid, tie, answerer_pid, sink)
    if not has_own_processes:
        from rootless.sandbox import ending  # `spawn` has loaded it

        ending.end_what_is_left()
    if os.getppid() != supervisor:  # else there is one who comes after this guardian
        _restore(spec)
    return status


def guardian() -> int:
    """Fork one; its pid, and 0 in the guardian. It is told of this process's end by ORPHANED, and
    what it leaves, when it is killed, is this process's.
    """
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (ORPHANED,))  # until it is waited for
    above = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    linux.prctl(linux.PR_SET_PDEATHSIG, ORPHANED)
    if os.getppid() != above:
        os._exit(125)
    return 0


def _start(
    spec: Spec, stdio: tuple[int, int, int], report_fd: int, kept: tuple[int, ...]
) -> tuple[int, int]:
    """Start the container; the pids of its process 1 and of its answerer, 0 for none."""
    has_own_processes = "pid" in spec.namespaces
    network = [one.fd for one in spec.operations if isinstance(one, Await)]
    terminal = [one.socket_fd for one in spec.operations if isinstance(one, Terminal)]
    held = [fd for fd in kept if fd >= 0]
    if spec.netns_fd >= 0:
        linux.setns(spec.netns_fd, linux.CLONE_NEWNET)
    set_standard_streams(stdio)
    close_all_but(0, 1, 2, report_fd, *network, *terminal, *held, *spec.opened)
    if not has_own_processes:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    shm_fd = _share(spec.shares)
    if not has_own_processes:
        _weigh(spec)
    # What is not the container's yet must not be looked into by those who see its processes.
    linux.prctl(linux.PR_SET_DUMPABLE, int(has_own_processes))
    ends = _to_answerer(spec)
    pid = linux.clone(spec.inner_flags)
    if pid == 0:
        init.run(spec, report_fd, shm_fd, ends[0])
    answerer_pid = _answerer(ends)
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # until the parent has our network: see _hide
    close_all_but(*network, *held)
    _hide(network)
    return pid, answerer_pid


def _to_answerer(spec: Spec) -> tuple[int, int]:
    """Both ends of the way to who answers for the kernel where there is one id only, else -1."""
    if not spec.is_answered:
        return -1, -1
    from rootless.sandbox.oneid import answering  # `spawn` has loaded it

    return answering.ends()


def _answerer(ends: tuple[int, int]) -> int:
    """Its pid; 0 for none. It is younger than the container's process 1, which comes first."""
    if ends[1] < 0:
        return 0
    from rootless.sandbox.oneid import answering

    return answering.start(*ends)


def _weigh(spec: Spec) -> None:
    """A child that nobody may look into cannot write its own score; it has ours."""
    for one in spec.operations:
        if isinstance(one, OomScore):
            one.apply(Newroot())


def _share(namespaces: tuple[tuple[str, int], ...]) -> int:
    """Enter the namespaces of others, for the container; a detached /dev/shm that goes with one's
    IPC namespace, or -1.
    """
    shm_fd = -1
    for name, pid in namespaces:
        if name == "ipc":
            shm_fd = _shm_of(pid)
        fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(fd, CLONE_FLAGS[name])
        os.close(fd)
    return shm_fd


def _shm_of(pid: int) -> int:
    """A copy of the mount on another container's /dev/shm, taken in its mounts."""
    own, theirs = (
        os.open(f"/proc/{one}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC) for one in ("self", pid)
    )
    linux.setns(theirs, linux.CLONE_NEWNS)
    try:
        found = os.open("/dev/shm", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        return linux.open_tree(found)
    finally:
        linux.setns(own, linux.CLONE_NEWNS)


def _await_ids(mapped: tuple[int, int]) -> None:
    """Wait until the new user namespace has ids. Its powers are ours whoever we are in it.

    This process stays the user: so any other command of theirs may end it.
    """
    os.close(mapped[1])
    if not os.read(mapped[0], 1):
        os._exit(125)


def _prepare(spec: Spec) -> Sink | None:
    """What this process looks after while the command runs, where nothing can be mounted."""
    for one in spec.operations:
        if prepare := getattr(one, "prepare", None):
            found: Sink | None = prepare()
            return found
    return None


def _restore(spec: Spec) -> None:
    """Take out of the tree what was put there instead of a mount."""
    for one in reversed(spec.operations):
        if restore := getattr(one, "restore", None):
            restore()


def _tie_to_parent(report_fd: int, number: int) -> None:
    """Get this signal when the parent ends; die if it has ended: nobody reads the report."""
    linux.prctl(linux.PR_SET_PDEATHSIG, number)
    watch = select.poll()
    watch.register(report_fd, 0)
    if watch.poll(0):
        os._exit(125)


def set_standard_streams(stdio: tuple[int, int, int]) -> None:
    """Make these descriptors 0, 1 and 2 of this process."""
    for target, fd in enumerate(stdio):
        if fd != target:
            os.dup2(fd, target)
        else:
            os.set_inheritable(fd, True)  # noqa: FBT003 - os takes it by position


def _hide(network: list[int]) -> None:
    """Let nobody look at this process, once the parent has opened its network namespace.

    That is over when the parent closes its end of the pipe that the container awaits.
    """
    for fd in network:
        watch = select.poll()
        watch.register(fd, 0)
        watch.poll()
        os.close(fd)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
