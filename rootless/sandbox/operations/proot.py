"""The last operation of a sandbox that has neither a root of its own nor mounts: proot(1).

proot traces a command and all that it starts, and looks up each of their paths in a tree. Who they
are, and that they may give files away, is make-believe. It is no barrier: what wants to see the
rest of the machine does.

Runs in the child, which stays the parent of proot: proot waits for all that it traces, a container
only for its first process. So the first one's signals are passed on to it, and with it all ends;
with this process its supervisor ends the rest.
"""

from __future__ import annotations

import _signal
import errno
import os
from select import POLLIN, poll

from rootless import inroot, linux, living
from rootless.sandbox import accounts, reaper
from rootless.sandbox.errors import SandboxError
from rootless.sandbox.oneid import answering
from rootless.sandbox.oneid.calls import Notify
from rootless.sandbox.operations import recording
from rootless.sandbox.privileges import Execute
from rootless.sandbox.quoting import quote
from rootless.sandbox.things import NODES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

_SEEN = ("/proc", "/sys", *(f"/dev/{name}" for name in NODES))
"""What is seen of this machine as it is."""
_SHOWN = 200  # of a command's name in an error
_ENVIRONMENT = {"PROOT_NO_SECCOMP": "1"}
"""Else a newer proot would not look up the paths of calls that are handed to us."""
_LOADERS = "/tmp"
_GLANCE = 5  # milliseconds
_STATUS = 4096  # bytes of a process's status


class Proot(Execute):
    """Become `argv`, below `program`, in the directory `tree`.

    `unknown` is a filter for calls that proot does not know, `given` hands over those that give
    files away: see `translated`.
    """

    program: str = "proot"
    tree: str = "."
    unknown: bytes = b""
    given: bytes = b""

    call = "seccomp(2), execve(2)"

    def describe(self) -> str:
        command = " ".join(quote(word) for word in self.argv)
        return f"become the command, below proot, which looks up its paths in the tree: {command}"

    def shell(self) -> tuple[str, ...]:
        env = " ".join(quote(f"{name}={value}") for name, value in self.env.items())
        words = " ".join(quote(word) for word in (*self._options(0, 0), *self.argv))
        return (f"exec env -i {env} {words}",)

    def apply(self, newroot: Newroot) -> None:
        root_fd = os.open(self.tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        account = accounts.resolve(self.user, root_fd)
        env = {**self.env, **_ENVIRONMENT}
        env.setdefault("HOME", account.home)
        self._check(root_fd, env.get("PATH", ""))
        os.umask(self.umask)
        words = (*self._options(account.uid, account.gid), *self.argv)
        own, (theirs, ours) = os.getpid(), answering.ends()
        pid = os.fork()
        if pid:
            linux.close_range(0, ours - 1)
            linux.close_range(ours + 1)
            os._exit(_wait(pid, ours, self.tree))
        linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
        if os.getppid() == own:
            newroot.answerer_fd = theirs
            Notify(self.given).apply(newroot)
            linux.seccomp(self.unknown)
            os.execve(self.program, words, env)

    def restore(self) -> None:
        """A proot that was killed leaves its loader, where no variable of its own moves it."""
        for name in os.listdir(_LOADERS):
            kind, _, rest = name.partition("-")
            pid = rest.partition("-")[0]
            if kind == "prooted" and pid.isdecimal() and not os.path.exists(f"/proc/{pid}"):
                try:
                    os.unlink(f"{_LOADERS}/{name}")
                except OSError:  # another user's, or gone already
                    continue

    def _options(self, uid: int, gid: int) -> tuple[str, ...]:
        shown = (word for path in _SEEN for word in ("-b", path))
        who = ("-i", f"{uid}:{gid}")
        return (self.program, "-v", "-1", "-r", self.tree, *shown, "-w", self.working_dir, *who)

    def _check(self, root_fd: int, folders: str) -> None:
        """SandboxError, with docker's words and codes, where the command is not to be found."""
        name = self.argv[0]
        if "/" not in name:
            places = [f"{folder or '.'}/{name}" for folder in folders.split(":")]
            if not any(self._errno(root_fd, path) == 0 for path in places):
                raise SandboxError(
                    f"exec: {name[:_SHOWN]!r}: executable file not found in $PATH",
                    hint=f"PATH is {self.env.get('PATH', 'not set')}",
                    exit_code=127,
                )
        elif number := self._errno(root_fd, name):
            raise SandboxError(
                f"exec: {name[:_SHOWN]!r}: {os.strerror(number)}",
                exit_code=126 if number == errno.EACCES else 127,
            )

    def _errno(self, root_fd: int, path: str) -> int:
        """Why a path of the tree cannot be executed; 0 where it can."""
        try:
            fd = inroot.open_path(root_fd, os.path.join(self.working_dir, path))
        except OSError as error:
            return error.errno or errno.ENOENT
        mode = os.fstat(fd).st_mode
        os.close(fd)
        return 0 if mode & 0o170000 == 0o100000 and mode & 0o111 else errno.EACCES


def _wait(proot: int, channel: int, tree: str) -> int:
    """The exit status of what proot traces first, when all that it traces has ended.

    Meanwhile what it and they give away is recorded.
    """
    ended, first, first_fd = os.pidfd_open(proot), 0, -1
    watch = poll()
    watch.register(ended, POLLIN)
    listener = recording.received(channel)
    recorder = recording.Recorder(listener, tree) if listener >= 0 else None
    if recorder:
        watch.register(listener, POLLIN)
    ready = {-1}
    while ended not in ready:
        ready = {fd for fd, _ in watch.poll(None if first and first_fd >= 0 else _GLANCE)}
        if recorder and listener in ready:
            recorder.answer()
        if first_fd in ready:
            watch.unregister(first_fd)
            first_fd = -1
        if first and first_fd < 0:
            _end_what_is_traced(proot)
        elif not first and (first := living.first_child(proot)):
            first_fd = _pass_on(first, watch)
    code = os.waitstatus_to_exitcode(os.waitpid(proot, 0)[1])
    return code if code >= 0 else 128 - code


def _pass_on(first: int, watch: poll) -> int:
    """Whatever this process is sent; what tells when the first one has ended, -1 if it has."""

    def pass_on(number: int, _: object) -> None:
        try:
            os.kill(first, number)
        except ProcessLookupError:
            pass

    for number in reaper.PASSED_ON:
        _signal.signal(number, pass_on)
    try:
        fd = os.pidfd_open(first)
    except ProcessLookupError:
        return -1
    watch.register(fd, POLLIN)
    return fd


def _end_what_is_traced(proot: int) -> None:
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/status", "rb", buffering=0) as file:
                if b"\nTracerPid:\t%d\n" % proot in file.read(_STATUS):
                    os.kill(int(name), _signal.SIGKILL)
        except OSError:  # it has ended
            continue
