"""The answerer: one process beside a sandbox that says yes where the kernel, with one id, says no.

The sandbox's supervisor forks it, before its child installs the filter and sends the listener;
it lives in the supervisor's process numbers, which the sandbox does not see, and ends with it. When
it ends before, the supervisor does, and with that all of the sandbox: a call is never left open.
That of who enters a container that runs is forked by its joiner (`joining`), and ends when nobody
is left who might ask. It imports nothing, and has a /proc of its own that no path of the sandbox
leads to, for its root is that of who asked last. Nothing is left behind.
"""

from __future__ import annotations

import _signal
import fcntl
import os
import resource
import select
import struct
from _socket import AF_UNIX, MSG_DONTWAIT, SOCK_STREAM, SOL_SOCKET, socket, socketpair
from errno import EFAULT, EINVAL, EPERM

from rootless import linux
from rootless.process import close_all_but
from rootless.sandbox.oneid import calls, credentials, files, making, stats
from rootless.sandbox.oneid.caller import ANSWERED, CONTINUE, Caller

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.sandbox.oneid.credentials import Credentials

    Answer = Callable[[Caller], int]

RECEIVE, SEND, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104  # ioctls of linux/seccomp.h
_SYNC_WAKE_UP = 1  # Linux 6.6: the caller's processor is ours next, and the other way round
GOES_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
REQUEST = struct.Struct("<QIIiIQ6Q")
ANSWER = struct.Struct("<QqiI")
_SCM_RIGHTS = 1


def ends() -> tuple[int, int]:
    """A pair of sockets, for who sends a listener and for the answerer."""
    theirs, ours = socketpair(AF_UNIX, SOCK_STREAM)
    return theirs.detach(), ours.detach()


def start(theirs: int, ours: int, proc_fd: int = -1) -> int:
    """Fork the answerer; its pid. This process keeps no end.

    With `proc_fd`, a /proc of its numbers, it outlives this process: it ends when nobody is left
    who might ask.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.close(ours)
        return pid
    try:
        if proc_fd < 0:
            linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
        if proc_fd >= 0 or os.getppid() == parent:
            _serve(ours, proc_fd)
    finally:
        os._exit(1)


def _serve(channel_fd: int, proc_fd: int) -> NoReturn:
    close_all_but(*(fd for fd in (channel_fd, proc_fd) if fd >= 0))
    os.umask(0)
    is_lasting = proc_fd >= 0
    os.fchdir(proc_fd if is_lasting else _own_proc())
    channel = socket(AF_UNIX, SOCK_STREAM, fileno=channel_fd)
    listener = received(channel)
    if listener >= 0:
        answerer = _Answerer(listener, channel)
        answerer.serve(_until_unused(listener) if is_lasting else _for_ever)
    os._exit(0)


def _own_proc() -> int:
    """/proc of this process's numbers, mounted nowhere; the machine's where those are its own."""
    try:
        context = linux.fsopen("proc")
        linux.fsconfig(context, linux.FSCONFIG_CMD_CREATE)
        return linux.fsmount(context)
    except linux.SyscallError:
        return os.open("/proc", os.O_PATH | os.O_DIRECTORY)


def received(channel: socket) -> int:
    """The listener; -1 when none comes, for somebody else answers, or the sandbox failed."""
    _, ancillary, *_ = channel.recvmsg(1, 64)
    for level, kind, content in ancillary:
        if (level, kind) == (SOL_SOCKET, _SCM_RIGHTS):
            return int.from_bytes(content[:4], "little")
    return -1


def _for_ever() -> bool:
    return True


def _until_unused(listener: int) -> Callable[[], bool]:
    """Waits for a call; whether any may still come."""
    watch = select.poll()
    watch.register(listener, select.POLLIN)
    return lambda: bool(watch.poll()[0][1] & select.POLLIN)


class _Answerer:
    """Answers one call after the other; who asks waits in the kernel."""

    def __init__(self, listener: int, channel: socket) -> None:
        """By `channel` the sandbox tells what nobody may read in it before it executes."""
        self._listener = listener
        self._channel = channel
        self._calls = calls.numbers(linux.MACHINE)
        self._table = credentials.Table()
        self._looks = stats.Looks()
        self._answers: dict[str, Answer] = {
            **dict.fromkeys(calls.OWNERS, self._chown),
            **dict.fromkeys(credentials.CHANGES, self._change),
            **dict.fromkeys(credentials.ANSWERS, self._answer),
            "getresuid": lambda caller: self._tell(caller, self._of(caller).uids),
            "getresgid": lambda caller: self._tell(caller, self._of(caller).gids),
            **dict.fromkeys(calls.STATS, self._status),
            calls.ROOT: self._change_root,
            **dict.fromkeys(calls.MADE, self._make),
            **dict.fromkeys(calls.LIMITS, lambda _: 0),
            calls.KEEP_CAPABILITIES: self._keep_capabilities,
            "getgroups": self._get_groups,
            "setgroups": self._set_groups,
        }

    def serve(self, goes_on: Callable[[], bool]) -> None:
        """While `goes_on`, which is asked before each call."""
        try:
            fcntl.ioctl(self._listener, _SET_FLAGS, _SYNC_WAKE_UP)
        except OSError:
            pass
        request = bytearray(REQUEST.size)
        empty = bytes(REQUEST.size)
        while goes_on():
            request[:] = empty
            try:
                fcntl.ioctl(self._listener, RECEIVE, request)
            except FileNotFoundError:  # the caller was killed meanwhile
                continue
            self._respond(*REQUEST.unpack(request))

    def _respond(
        self, number: int, pid: int, _: int, call: int, machine: int, __: int, *arguments: int
    ) -> None:
        name = self._calls[machine, call]
        caller = Caller(self._listener, number, pid, name, arguments)
        value, refused, flags = 0, 0, 0
        try:
            value = self._answers[name](caller)
        except OSError as error:
            refused = -(error.errno or EPERM)
        if value == ANSWERED:
            return
        if value == CONTINUE:
            value, flags = 0, GOES_ON
        try:
            fcntl.ioctl(self._listener, SEND, ANSWER.pack(number, value, refused, flags))
        except FileNotFoundError:
            pass

    def _of(self, caller: Caller) -> Credentials:
        if self._table.is_plain:
            return self._table[0]
        found = self._table[resource.prlimit(caller.pid, calls.RLIMIT_LOCKS)[0]]
        if found.keeper and found.keeper != caller.stack:  # it has executed something since
            return found.replace(keeper=0)
        return found

    def _become(self, caller: Caller, new: Credentials) -> int:
        caller.check()
        if not (self._table.is_plain and new == self._table[0]):
            most = resource.prlimit(caller.pid, calls.RLIMIT_LOCKS)[1]
            resource.prlimit(caller.pid, calls.RLIMIT_LOCKS, (self._table.number(new), most))
        return 0

    def _keep_capabilities(self, caller: Caller) -> int:
        keeper = caller.stack if caller.word(1) else 0
        self._become(caller, self._of(caller).replace(keeper=keeper))
        return CONTINUE

    def _answer(self, caller: Caller) -> int:
        return credentials.ANSWERS[caller.name](self._of(caller))

    def _change(self, caller: Caller) -> int:
        asked = [caller.word(position) for position in range(3)]
        change = credentials.CHANGES[caller.name]
        return self._become(caller, change(self._of(caller), asked))

    def _tell(self, caller: Caller, ids: tuple[int, ...]) -> int:
        for position, one in enumerate(ids):
            caller.write(caller.arguments[position], struct.pack("<I", one))
        return 0

    def _get_groups(self, caller: Caller) -> int:
        groups, room = self._of(caller).groups, caller.word(0)
        if room:
            if room < len(groups) or room >= 1 << 31:
                raise OSError(EINVAL, "too many groups")
            caller.write(caller.arguments[1], struct.pack(f"<{len(groups)}I", *groups))
        return len(groups)

    def _set_groups(self, caller: Caller) -> int:
        now, count = self._of(caller), caller.word(0)
        credentials.set_groups(now, count)
        groups = struct.unpack(f"<{count}I", self._told(caller, 4 * count))
        return self._become(caller, now.replace(groups=tuple(sorted(groups))))

    def _told(self, caller: Caller, size: int) -> bytes:
        """What a caller's second argument points to."""
        found = b""
        while len(found) < size:
            try:
                piece = caller.read(caller.arguments[1] + len(found), size - len(found))
            except PermissionError:
                piece = self._channel.recv(size - len(found), MSG_DONTWAIT)
                if not piece:
                    raise
            if not piece:
                raise OSError(EFAULT, "bad address")
            found += piece
        return found

    def _status(self, caller: Caller) -> int:
        return stats.answer(caller, self._looks)

    def _change_root(self, _: Caller) -> int:
        self._looks.forget()
        return CONTINUE

    def _make(self, caller: Caller) -> int:
        return making.answer(caller, self._of(caller))

    def _chown(self, caller: Caller) -> int:
        return files.chown(caller, self._of(caller))
