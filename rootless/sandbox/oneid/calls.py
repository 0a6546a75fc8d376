"""The calls that are handed to the answerer, as a BPF program, and the operation that does it.

Pure but for `Notify.apply`, which runs in the child, before it becomes the user of the container:
that is asked for like everything else. The container's own filter stands beside this one, and what
either refuses is refused.
"""

from __future__ import annotations

import errno
import os
from _socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket

from rootless import linux
from rootless.record import Record
from rootless.sandbox import seccomp, syscalls
from rootless.sandbox.seccomp import ALLOW, ARGUMENTS, ENTRIES, instruction
from rootless.sandbox.spec import NOTIFY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.newroot import Newroot

OWNERS = ("chown", "lchown", "fchown", "fchownat")
DEVICES = ("mknod", "mknodat")
MADE = ("open", "openat", "creat", "mkdir", "mkdirat", "symlink", "symlinkat", *DEVICES)
"""What makes a file, which is to belong to whom the caller says it is."""
USERS = ("setuid", "setreuid", "setresuid", "setfsuid", "getuid", "geteuid", "getresuid")
GROUPS = (
    *("setgid", "setregid", "setresgid", "setfsgid", "getgid", "getegid", "getresgid"),
    *("setgroups", "getgroups"),
)
STATS = ("stat", "lstat", "fstat", "newfstatat", "statx")
ROOT = "chroot"
"""Names mean something else afterwards."""
KEEP_CAPABILITIES = "prctl"
LIMITS = ("setrlimit", "prlimit64")
"""Setting the one limit that says who a process is, which PAM would do."""
_PR_SET_KEEPCAPS = 8
RLIMIT_LOCKS = 10
_STATX_MODE_UID_GID = 2 | 8 | 16
_NEEDED = {"CHOWN": OWNERS, "SETUID": USERS, "SETGID": GROUPS, "MKNOD": DEVICES}
"""Capability → what its lack forbids: that is the kernel's to refuse."""
NOTIFIED = [instruction(seccomp.RETURN, 0x7FC00000)]
_JUMP_SET = 0x45  # any of these bits
_SCM_RIGHTS = 1
_SUFFIX = "32"  # of calls that have ids of 16 bits under the plain name


def numbers(machine: str) -> dict[tuple[int, int], str]:
    """(AUDIT_ARCH_*, number) → plain name, of all that is ever handed over."""
    return {
        (audit, number): plain
        for audit, table in ENTRIES[machine]
        for number, name in enumerate(syscalls.names(table))
        if (plain := _plain(name, table))
    }


def program(machine: str, capabilities: frozenset[str]) -> bytes:
    """The filter for os.uname().machine and a container with these capabilities."""
    wanted = {one for name in _NEEDED.keys() & capabilities for one in _NEEDED[name]}
    wanted |= {ROOT, *STATS, *LIMITS, *(one for one in (*USERS, *GROUPS) if one.startswith("get"))}
    if "SETUID" in capabilities:
        wanted |= {KEEP_CAPABILITIES, *MADE}
    return seccomp.assemble(
        (
            audit,
            seccomp.search(seccomp.runs(syscalls.names(table), _verdicts(table, wanted), *_REST)),
        )
        for audit, table in ENTRIES[machine]
    )


_REST = (ALLOW, ALLOW)


def _verdicts(table: str, wanted: set[str]) -> dict[str, list[int]]:
    found = {}
    for name in syscalls.names(table):
        plain = _plain(name, table)
        if plain in wanted:
            found[name] = _CONDITIONS.get(plain, NOTIFIED)
    return found


def _plain(name: str, table: str) -> str:
    """The name that a call has where ids always had 32 bits; "" for one that is not handed over."""
    all_calls = (*OWNERS, *MADE, *USERS, *GROUPS, *STATS, *LIMITS, KEEP_CAPABILITIES, ROOT)
    if table != "i386":
        return name if name in all_calls else ""
    if name in ("fchownat", "statx", KEEP_CAPABILITIES, ROOT, *MADE, *LIMITS):
        return name
    plain = name.removesuffix(_SUFFIX)
    return plain if name.endswith(_SUFFIX) and plain in all_calls else ""


def _if_any(argument: int, bits: int) -> list[int]:
    return [
        instruction(seccomp.LOAD, ARGUMENTS + 8 * argument),
        instruction(_JUMP_SET, bits, 1),
        *ALLOW,
        *NOTIFIED,
    ]


def _if_equal(argument: int, value: int) -> list[int]:
    return [
        instruction(seccomp.LOAD, ARGUMENTS + 8 * argument),
        instruction(seccomp.JUMP_EQUAL, value, 1),
        *ALLOW,
        *NOTIFIED,
    ]


_CONDITIONS = {
    "open": _if_any(1, os.O_CREAT),
    "openat": _if_any(2, os.O_CREAT),
    "statx": _if_any(3, _STATX_MODE_UID_GID),
    KEEP_CAPABILITIES: _if_equal(0, _PR_SET_KEEPCAPS),
    "setrlimit": _if_equal(0, RLIMIT_LOCKS),
    "prlimit64": [
        instruction(seccomp.LOAD, ARGUMENTS + 8 * 2),  # the lower half of an address, 0 for none
        instruction(seccomp.JUMP_EQUAL, 0, 4),
        *_if_equal(1, RLIMIT_LOCKS),
        *ALLOW,
    ],
}
"""Call → its verdict, where that depends on an argument."""


class Notify(Record):
    """Hand some calls to the answerer, whose filter this is: `struct sock_filter`s."""

    program: bytes

    call = NOTIFY

    def describe(self) -> str:
        return (
            "let a process outside answer chown, setuid, mknod and their like, and record what "
            "was asked for: there is only one id here"
        )

    def shell(self) -> tuple[str, ...]:
        return ("# no shell tool answers system calls; without it nothing can be given away",)

    def apply(self, newroot: Newroot) -> None:
        flags = linux.SECCOMP_FILTER_FLAG_NEW_LISTENER
        try:
            try:
                listener = linux.seccomp(
                    self.program, flags | linux.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
                )
            except linux.SyscallError as error:  # Linux 5.19
                if error.errno != errno.EINVAL:
                    raise
                listener = linux.seccomp(self.program, flags)
        except linux.SyscallError as error:
            if error.errno != errno.EBUSY:  # another around us answers already
                raise
            os.close(newroot.answerer_fd)
            newroot.answerer_fd = -1
            return
        _send(newroot.answerer_fd, listener)


def _send(answerer_fd: int, listener: int) -> None:
    channel = socket(AF_UNIX, SOCK_STREAM, fileno=answerer_fd)
    channel.sendmsg([b"l"], [(SOL_SOCKET, _SCM_RIGHTS, listener.to_bytes(4, "little"))])
    channel.detach()
    os.close(listener)
