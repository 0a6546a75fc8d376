"""The seccomp profile of a container, and its compilation to the kernel's filter program.

An allow-list, by purpose: what is not named fails with EPERM, what this list does not know at all
(a newer kernel's calls, x32) with ENOSYS, so that C libraries fall back. Some calls depend on a
capability the container has, some on an argument. The program is classic BPF over `struct
seccomp_data` (seccomp(2)): a chain over architectures, then a binary search over call numbers.
Compiling takes a fraction of a millisecond, so nothing is cached on disk. Pure: the parent
compiles, the child installs the bytes with `linux.seccomp`.
"""

from __future__ import annotations

import struct

from rootless.errors import RootlessError
from rootless.record import Record
from rootless.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Code = list[int]

# --- The policy -----------------------------------------------------------------------------------

ALLOWED = {
    "files: open, read, write, seek, map to names": """
        open openat openat2 creat close close_range read write readv writev pread64 pwrite64
        preadv pwritev preadv2 pwritev2 lseek _llseek truncate truncate64 ftruncate ftruncate64
        fallocate fadvise64 fadvise64_64 readahead fsync fdatasync sync syncfs sync_file_range
        dup dup2 dup3 fcntl fcntl64 flock sendfile sendfile64 splice tee vmsplice copy_file_range
        name_to_handle_at umask cachestat""",
    "directories and names": """
        getcwd chdir fchdir mkdir mkdirat rmdir rename renameat renameat2 link linkat symlink
        symlinkat readlink readlinkat unlink unlinkat mknod mknodat getdents getdents64""",
    "attributes of files": """
        stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx statfs statfs64 fstatfs
        fstatfs64 access faccessat faccessat2 chmod fchmod fchmodat fchmodat2 chown chown32 fchown
        fchown32 lchown lchown32 fchownat utime utimes utimensat utimensat_time64 futimesat
        getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr
        llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
        file_getattr file_setattr statmount listmount""",
    "watching files": "inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark",
    "waiting for many things": """
        select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create
        epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2
        eventfd eventfd2 pipe pipe2 io_setup io_destroy io_submit io_cancel io_getevents
        io_pgetevents io_pgetevents_time64""",
    "memory": """
        brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 mlockall munlock
        munlockall mseal membarrier memfd_create memfd_secret remap_file_pages pkey_alloc pkey_free
        pkey_mprotect map_shadow_stack process_mrelease""",
    "processes": """
        fork vfork execve execveat exit exit_group wait4 waitid waitpid kill tkill tgkill getpid
        getppid gettid getpgid getpgrp setpgid getsid setsid pidfd_open pidfd_send_signal prctl
        seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self ptrace
        process_vm_readv process_vm_writev uname sysinfo""",
    "threads": """
        futex futex_time64 futex_wait futex_waitv futex_wake futex_requeue set_tid_address
        set_robust_list get_robust_list get_thread_area set_thread_area rseq restart_syscall
        arch_prctl modify_ldt riscv_flush_icache riscv_hwprobe uretprobe""",
    "signals": """
        rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4
        sigprocmask sigreturn pause""",
    "users and capabilities": """
        getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32
        getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid
        setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setgroups
        setgroups32 setfsuid setfsuid32 setfsgid setfsgid32 capget capset""",
    "limits and scheduling": """
        getrlimit ugetrlimit setrlimit prlimit64 getrusage getpriority setpriority ioprio_get
        ioprio_set getcpu sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
        sched_get_priority_min sched_getscheduler sched_rr_get_interval
        sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
        sched_setscheduler sched_yield""",
    "time": """
        time times gettimeofday clock_getres clock_getres_time64 clock_gettime clock_gettime64
        clock_nanosleep clock_nanosleep_time64 nanosleep alarm getitimer setitimer timer_create
        timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
        timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
        adjtimex clock_adjtime clock_adjtime64""",  # the kernel checks CAP_SYS_TIME for setting
    "sockets": """
        socketpair bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt
        sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown
        socketcall""",
    "System V and POSIX queues, in the container's own IPC namespace": """
        ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat
        shmctl shmdt shmget mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
        mq_timedsend mq_timedsend_time64 mq_unlink""",
    "randomness": "getrandom",
}

WITH_CAPABILITY = {
    "BPF": "bpf",
    "DAC_READ_SEARCH": "open_by_handle_at",
    "PERFMON": "perf_event_open",
    "SYSLOG": "syslog",
    "SYS_ADMIN": """
        bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
        lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
        open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname
        setns syslog umount umount2 unshare""",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module init_module finit_module",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "iopl ioperm",
    "SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "SYS_TTY_CONFIG": "vhangup",
}

_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_EVERY_BIT = 0xFFFFFFFF


class Condition(Record):
    """A call that is allowed if (or, `unless`) an argument, masked, is one of some values.

    All arguments looked at are 32 bits wide in the kernel, which ignores the upper half of the
    register; so does this, and nothing hides there.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = _EVERY_BIT
    unless: bool = False


CONDITIONS = {
    # No new namespaces: they are the way to most of the kernel's attack surface.
    "clone": Condition(argument=0, values=(0,), mask=_NEW_NAMESPACES),
    # AF_ALG and AF_VSOCK: kernel crypto, and the way to the hypervisor. socketcall, which 32-bit
    # C libraries need, hides its arguments in memory.
    "socket": Condition(argument=0, values=(38, 40), unless=True),
    # TIOCSTI and TIOCLINUX type into the terminal of whoever started the container.
    "ioctl": Condition(argument=1, values=(0x5412, 0x541C), unless=True),
    # Linux, 32-bit Linux, each also as "Linux 2.6", and asking without change.
    "personality": Condition(argument=0, values=(0, 8, 0x20000, 0x20008, _EVERY_BIT)),
}

# --- The compiler ---------------------------------------------------------------------------------

# Per machine: AUDIT_ARCH_* of linux/audit.h, and the table of calls it enters with.
ENTRIES = {
    "x86_64": ((0xC000003E, "x86_64"), (0x40000003, "i386")),
    "aarch64": ((0xC00000B7, "aarch64"),),
    "riscv64": ((0xC00000F3, "riscv64"),),
}
MACHINES = frozenset(ENTRIES)

LOAD, AND, RETURN, JUMP = 0x20, 0x54, 0x06, 0x05
JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL = 0x15, 0x25, 0x35
_FARTHEST = 255  # instructions that a conditional jump can pass over
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> int:
    """A struct sock_filter of a little-endian machine, as one number."""
    if if_true > _FARTHEST or if_false > _FARTHEST:
        raise ValueError("a seccomp filter's conditional jump reaches 255 instructions at most")
    return code | if_true << 16 | if_false << 24 | value << 32


ALLOW = [instruction(RETURN, 0x7FFF0000)]
EPERM = [instruction(RETURN, 0x00050000 | 1)]
ENOSYS = [instruction(RETURN, 0x00050000 | 38)]
KILL = [instruction(RETURN, 0x80000000)]


def program(machine: str, capabilities: frozenset[str]) -> bytes:
    """The filter for os.uname().machine and a container with these capabilities ("CHOWN", …).

    Raises RootlessError for a machine without a table: see `MACHINES`.
    """
    if machine not in ENTRIES:
        raise RootlessError(f"there is no seccomp profile for {machine} yet")
    verdicts = _verdicts(capabilities)
    return assemble(
        (audit, search(runs(syscalls.names(table), verdicts, EPERM, ENOSYS)))
        for audit, table in ENTRIES[machine]
    )


def assemble(entries: Iterable[tuple[int, Code]]) -> bytes:
    """The program of (AUDIT_ARCH_*, code that is met with the call's number loaded) pairs."""
    code = [instruction(LOAD, ARCHITECTURE)]
    for audit, found in entries:
        calls = [instruction(LOAD, NUMBER), *found]
        code += [instruction(JUMP_EQUAL, audit, 1, 0), instruction(JUMP, len(calls)), *calls]
    code += KILL
    return struct.pack(f"<{len(code)}Q", *code)


def _verdicts(capabilities: frozenset[str]) -> dict[str, Code]:
    """Call → the instructions that decide it; a call that is missing is refused."""
    allowed = " ".join(ALLOWED.values()).split()
    verdicts = dict.fromkeys(allowed, ALLOW)
    verdicts["clone3"] = ENOSYS  # its flags are in memory; C libraries fall back to clone
    for name, condition in CONDITIONS.items():
        verdicts[name] = _decide(condition)
    for capability in capabilities & WITH_CAPABILITY.keys():
        verdicts.update(dict.fromkeys(WITH_CAPABILITY[capability].split(), ALLOW))
    return verdicts


def _decide(condition: Condition) -> Code:
    code = [instruction(LOAD, ARGUMENTS + 8 * condition.argument)]
    if condition.mask != _EVERY_BIT:
        code.append(instruction(AND, condition.mask))
    for position, value in enumerate(condition.values):
        code.append(instruction(JUMP_EQUAL, value, len(condition.values) - position))
    matched, otherwise = (EPERM, ALLOW) if condition.unless else (ALLOW, EPERM)
    return code + otherwise + matched


def runs(
    names: list[str], verdicts: Mapping[str, Code], otherwise: Code, beyond: Code
) -> list[tuple[int, Code]]:
    """(first number, verdict) wherever the verdict changes; unused numbers go with their left."""
    found = [(0, verdicts.get(names[0], otherwise))]
    last = found[0][1]
    for number, name in enumerate(names):
        verdict = last if name == "-" else verdicts.get(name, otherwise)
        if verdict is not last:
            found.append((number, verdict))
            last = verdict
    found.append((len(names), beyond))
    return found


def search(runs: list[tuple[int, Code]]) -> Code:
    """A binary search for the run that holds the loaded number."""
    if len(runs) == 1:
        return runs[0][1]
    middle = len(runs) // 2
    below, above = search(runs[:middle]), search(runs[middle:])
    first = runs[middle][0]
    if len(below) <= _FARTHEST:
        return [instruction(JUMP_GREATER_EQUAL, first, len(below)), *below, *above]
    far = instruction(JUMP, len(below))
    return [instruction(JUMP_GREATER_EQUAL, first, 0, 1), far, *below, *above]
