"""System calls that proot(1) does not know: it would let them see this machine's own files.

proot looks up the paths of those calls that there were when it was written, 2014 for the one that
distributions have. A newer call goes past it, so each that takes a path, makes a process, or does
other calls' work does not exist: C libraries then use the older one. Numbers that we have no name
for do not exist either. Pure; the filter stands beside the machine's own.
"""

from __future__ import annotations

from rootless.sandbox import seccomp, syscalls
from rootless.sandbox.oneid import calls
from rootless.sandbox.oneid.calls import NOTIFIED
from rootless.sandbox.seccomp import ALLOW, ENOSYS, ENTRIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.sandbox.seccomp import Code

UNKNOWN = """
    statx execveat openat2 faccessat2 fchmodat2 clone3 name_to_handle_at open_by_handle_at
    fanotify_init fanotify_mark io_uring_setup io_uring_enter io_uring_register open_tree
    open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr quotactl_fd statmount
    listmount setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr
"""
_RENAMES = "renameat"


def program(machine: str) -> bytes:
    """The filter for os.uname().machine: `struct sock_filter`s."""
    return seccomp.assemble((audit, _calls(table)) for audit, table in ENTRIES[machine])


def given(machine: str) -> bytes:
    """The filter that hands over what gives files away, and what tells whose they are."""
    wanted = (*calls.OWNERS, *calls.STATS)
    handed = {key for key, plain in calls.numbers(machine).items() if plain in wanted}
    entries = []
    for audit, table in ENTRIES[machine]:
        names = syscalls.names(table)
        verdicts = {
            name: NOTIFIED for number, name in enumerate(names) if (audit, number) in handed
        }
        entries.append((audit, seccomp.search(seccomp.runs(names, verdicts, ALLOW, ALLOW))))
    return seccomp.assemble(entries)


def _calls(table: str) -> Code:
    names = syscalls.names(table)
    verdicts = dict.fromkeys(UNKNOWN.split(), ENOSYS)
    if _RENAMES in names:  # else there is no other: a proot for this machine is newer
        verdicts["renameat2"] = ENOSYS
    return seccomp.search(seccomp.runs(names, verdicts, ALLOW, ENOSYS))
