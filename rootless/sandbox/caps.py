"""Capabilities: their names and numbers, and giving all but a few of them up.

Names are without CAP_, as in `--cap-add`. The kernel's order is include/uapi/linux/capability.h;
the default set is the one Docker gives a container. The order in the container's child, as root of
its user namespace: `bound`, change the user, `limit`, execve. Another user than root then has
nothing, and the bounding set limits what file capabilities can give back. Must not know images or
command lines. Nothing is left behind: capabilities die with the process.
"""

from __future__ import annotations

from rootless import linux
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_EINVAL = 22

_IN_ORDER = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
_DOCKERS = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
"""
NAMES = tuple(_IN_ORDER.split())
ALL = frozenset(NAMES)
DEFAULT = frozenset(_DOCKERS.split())


def parse(name: str) -> frozenset[str]:
    """The capability called `name` in any usual spelling; "ALL" is every one."""
    plain = name.upper().removeprefix("CAP_")
    if plain == "ALL":
        return ALL
    if plain not in ALL:
        from rootless import nearest

        hint = nearest.hint(plain, NAMES) or "see capabilities(7)"
        raise UsageError(f"no capability is called {name!r}", hint=hint)
    return frozenset((plain,))


def chosen(added: Sequence[str], dropped: Sequence[str]) -> frozenset[str]:
    """What is left of `DEFAULT` after --cap-add and --cap-drop, in whatever order they are given.

    As docker has it: what is added stays though it is dropped too; only from "ALL" is dropped.
    """
    add = frozenset().union(*map(parse, added))
    drops = [parse(name) for name in dropped]
    if add == ALL:
        return ALL.difference(*(drop for drop in drops if drop != ALL))
    return DEFAULT.difference(*drops) | add


def mask(names: frozenset[str]) -> int:
    """The capabilities as a number, one bit each, as in /proc/PID/status."""
    return sum(1 << number for number, name in enumerate(NAMES) if name in names)


def bound(keep: frozenset[str]) -> None:
    """Drop all others from the bounding set, those newer than this list too; needs SETPCAP."""
    kept = mask(keep)
    for number in range(64):
        if kept >> number & 1:
            continue
        try:
            linux.prctl(linux.PR_CAPBSET_DROP, number)
        except linux.SyscallError as error:
            if error.errno != _EINVAL:
                raise
            return  # the kernel's last capability was the one before


def effective() -> frozenset[str]:
    """Those that this process has."""
    with open("/proc/self/status", "rb", buffering=0) as file:
        lines = file.read(1 << 14).splitlines()
    found = next((line for line in lines if line.startswith(b"CapEff:")), b"CapEff: 0")
    bits = int(found.split()[1], 16)
    return frozenset(name for number, name in enumerate(NAMES) if bits >> number & 1)


def limit(keep: frozenset[str]) -> None:
    """Make effective and permitted exactly these, inheritable and ambient empty."""
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    kept = mask(keep)
    linux.capset(kept, kept, 0)
