"""Entering a container that runs: its namespaces first, then the rest as at any other start.

    command of the user ─ clone ─▸ joiner ─ fork ─▸ what is executed
                                     │ in all namespaces but the container's process numbers
                                     ▾
                       waits, and ends as that ends; it is not seen from inside

The joiner is no child of the container: it goes on when the command that made it is killed, as
docker's does. What it started ends with the container, whose process numbers it has. Where that
has no namespaces, but is a directory only, there is a guardian between the two (`supervisor`).

With one id what is executed has an answerer of its own (`oneid`), for the container's is handed
the calls of those below its process 1 only. Process numbers are entered for good, and from inside
nobody may answer: so the joiner stays outside, a bridge enters, and leaves it a child:

    joiner ─ fork ─▸ bridge (enters, and ends) ─ clone CLONE_PARENT ─▸ what is executed
       └──── fork ─▸ answerer, in the container's user namespace

What is executed ends with the joiner, and the joiner with the answerer. That one lives on while
anything does that the command has left in the container.

A container may be hostile, and is alive. So nobody may look at either process until it executes:
both are undumpable, which only the root of the machine's first user namespace gets around
(CVE-2016-9962). Neither imports anything, or holds a descriptor of the host's but the streams that
were meant for it.
"""

from __future__ import annotations

import _signal
import os
import select

from rootless import linux
from rootless.process import close_all_but
from rootless.record import Record
from rootless.sandbox import init, reaper
from rootless.sandbox.privileges import Terminal
from rootless.sandbox.spec import CLONE_FLAGS
from rootless.sandbox.supervisor import ORPHANED, guardian, set_standard_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.sandbox.newroot import Newroot
    from rootless.sandbox.spec import Operation, Spec


class Enter(Record):
    """Enter these namespaces of process `pid`, which `pidfd` stands for.

    The process forks; the child goes on, in the container's root. Where the container has no
    process numbers of its own (`own_numbers`), the kernel does not end it with the container: then
    a process of ours does. `cgroup` is the directory of the container's own group, which the
    caller has seen to that it can be entered from here. With `is_answered` a process of ours
    answers for other ids. Of a container that is but the directory `tree`, that becomes the root
    later, and what is executed leaves nothing behind: `last`, the operation that executes it, takes
    away what is not seen to by that.
    """

    pidfd: int
    pid: int
    namespaces: tuple[str, ...]
    cgroup: str = ""
    own_numbers: bool = True
    is_answered: bool = False
    tree: str = ""
    last: Operation | None = None

    call = "setns(2), fork(2)"

    def describe(self) -> str:
        names = ", ".join(self.namespaces)
        if not names:
            return f"go where the container's process {self.pid} is, which has no namespaces"
        return f"enter the namespaces of the container's process {self.pid}: {names}"

    def shell(self) -> tuple[str, ...]:
        if not self.namespaces:
            return ()
        names = " ".join(f"--{name}" for name in self.namespaces)
        return (f"nsenter --target {self.pid} --preserve-credentials {names}",)

    def apply(self, newroot: Newroot) -> None:
        group_fd = self._open_group()
        flags = 0
        for name in self.namespaces:
            flags |= linux.CLONE_NEWUSER if name == "user" else CLONE_FLAGS[name]
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        told = self._be_bridge(newroot) if self.is_answered else -1
        if flags:
            linux.setns(self.pidfd, flags)
            _be_root()
        if self.tree:
            self._be_guarded()
        pid = linux.clone(linux.CLONE_PARENT) if self.is_answered else os.fork()
        if pid and self.is_answered:
            os.write(told, b"%d" % pid)
            os._exit(0)
        if pid:
            self._wait(pid)
        os.close(self.pidfd)
        if group_fd >= 0:
            _join(group_fd)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())  # a guardian has some blocked
        os.setsid()
        newroot.open("/")

    def _be_guarded(self) -> None:
        """Nothing but processes of ours ends what is executed: two of them, as of the container's
        own. With an answerer there is one.
        """
        if self.is_answered:
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        elif pid := guardian():
            self._stay(pid)

    def _be_bridge(self, newroot: Newroot) -> int:
        """Fork what goes on from here, and be the joiner; by what the bridge tells whom it left."""
        from rootless.sandbox.oneid import answering  # `spawn` has loaded it

        theirs, ours = answering.ends()
        read_fd, write_fd = os.pipe()
        pid = os.fork()
        if pid:
            os.close(write_fd)
            self._stay_outside(pid, read_fd, (theirs, ours))
        os.close(ours)
        newroot.answerer_fd = theirs
        return write_fd

    def _stay_outside(self, bridge: int, told: int, ends: tuple[int, int]) -> NoReturn:
        from rootless.sandbox.oneid import answering

        failure = os.waitpid(bridge, 0)[1]
        executed = os.read(told, 16)
        if failure or not executed:
            os._exit(125)
        proc_fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY)  # the container has another
        if "user" in self.namespaces:
            linux.setns(self.pidfd, linux.CLONE_NEWUSER)
        _be_root()
        self._wait(int(executed), answering.start(*ends, proc_fd))

    def _wait(self, pid: int, answerer_pid: int = 0) -> NoReturn:
        """Be the joiner from now on."""
        if not self.own_numbers:
            _end_with(self.pidfd, pid)
        self._stay(pid, answerer_pid)

    def _stay(self, pid: int, answerer_pid: int = 0) -> NoReturn:
        """Until its end, and that of what it leaves."""
        linux.close_range(0)
        status = reaper.reap(pid, ORPHANED if self.tree else 0, answerer_pid)
        if self.tree:
            from rootless.sandbox import ending  # `spawn` has loaded it

            ending.end_what_is_left()
            if restore := getattr(self.last, "restore", None):
                restore()
        os._exit(status)

    def _open_group(self) -> int:
        """By what the child goes there: the kernel asks who has opened it, and from where."""
        if not self.cgroup:
            return -1
        try:
            return os.open(f"{self.cgroup}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # it ends this moment
            return -1


def _be_root() -> None:
    """Of the user namespace that was entered; still nobody may look into this process."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)


def _join(group_fd: int) -> None:
    """Go into the container's group, alone: who waits outside is not counted there."""
    try:
        os.write(group_fd, b"0")
    except OSError:  # it ends this moment
        pass
    os.close(group_fd)


def _end_with(pidfd: int, pid: int) -> None:
    """Fork what ends the process `pid` of this one's when the container has ended."""
    joiner = os.getpid()
    if os.fork():
        return
    linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
    linux.close_range(0, pidfd - 1)
    linux.close_range(pidfd + 1)
    watch = select.poll()
    watch.register(pidfd, select.POLLIN)
    watch.poll()
    if os.getppid() == joiner:  # so that it still waits, and the number is nobody else's
        os.kill(pid, _signal.SIGKILL)
    os._exit(0)


def run(spec: Spec, stdio: tuple[int, int, int], report_fd: int) -> NoReturn:
    """Turn this process, just cloned with all signals blocked, into the joiner of `spec`."""
    kept = [one.pidfd for one in spec.operations if isinstance(one, Enter)]
    kept += [one.socket_fd for one in spec.operations if isinstance(one, Terminal)]
    set_standard_streams(stdio)
    close_all_but(0, 1, 2, report_fd, *kept)
    init.run(spec, report_fd)
