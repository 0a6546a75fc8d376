"""The last thing before a container's command: a program of ours that executes it, and no Python.

While a process executes a file, /proc/self/exe still is what it was before. Were that the host's
interpreter, a command or a `#!` line that names it, however spelled, would run a program of the
host inside, where it can be opened (CVE-2019-5736). So the process first becomes the few machine
instructions below, in a sealed anonymous file that is its own: whatever reaches that finds nothing.

    start FILE ARGV…    with the report's pipe as descriptor 3
        fcntl(3, F_SETFD, FD_CLOEXEC), or exit: then somebody else has executed this
        execve(FILE, ARGV, environment)
        write(3, -errno, 4); exit_group(126)    as `process.read_frame` reads it

The bytes for each machine are what its assembler makes of the lines beside them; a test compares.
Runs in the container's process, after everything else; nothing is left behind.
"""

from __future__ import annotations

import fcntl
import os

from rootless import linux
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

REPORT_FD = 3

# On entry the stack holds argc, argv[0], argv[1], …, NULL, the environment, NULL.
X86_64 = """
    bf 03 00 00 00    mov edi, 3
    be 02 00 00 00    mov esi, 2
    ba 01 00 00 00    mov edx, 1
    b8 48 00 00 00    mov eax, 72           # fcntl
    0f 05             syscall
    85 c0             test eax, eax
    78 2f             js 1f
    48 8b 04 24       mov rax, [rsp]
    48 8b 7c 24 10    mov rdi, [rsp+16]
    48 8d 74 24 18    lea rsi, [rsp+24]
    48 8d 54 c4 10    lea rdx, [rsp+rax*8+16]
    b8 3b 00 00 00    mov eax, 59           # execve
    0f 05             syscall
    50                push rax
    bf 03 00 00 00    mov edi, 3
    48 89 e6          mov rsi, rsp
    ba 04 00 00 00    mov edx, 4
    b8 01 00 00 00    mov eax, 1            # write
    0f 05             syscall
    bf 7e 00 00 00    1: mov edi, 126
    b8 e7 00 00 00    mov eax, 231          # exit_group
    0f 05             syscall
"""
AARCH64 = """
    60 00 80 d2    mov x0, #3
    41 00 80 d2    mov x1, #2
    22 00 80 d2    mov x2, #1
    28 03 80 d2    mov x8, #25             // fcntl
    01 00 00 d4    svc #0
    c0 01 f8 b7    tbnz x0, #63, 1f
    e3 03 40 f9    ldr x3, [sp]
    e0 0b 40 f9    ldr x0, [sp, #16]
    e1 63 00 91    add x1, sp, #24
    e2 43 00 91    add x2, sp, #16
    42 0c 03 8b    add x2, x2, x3, lsl #3
    a8 1b 80 d2    mov x8, #221            // execve
    01 00 00 d4    svc #0
    e0 0f 1f f8    str x0, [sp, #-16]!
    60 00 80 d2    mov x0, #3
    e1 03 00 91    mov x1, sp
    82 00 80 d2    mov x2, #4
    08 08 80 d2    mov x8, #64             // write
    01 00 00 d4    svc #0
    c0 0f 80 d2    1: mov x0, #126
    c8 0b 80 d2    mov x8, #94             // exit_group
    01 00 00 d4    svc #0
"""
RISCV64 = """
    13 05 30 00    li a0, 3
    93 05 20 00    li a1, 2
    13 06 10 00    li a2, 1
    93 08 90 01    li a7, 25               # fcntl
    73 00 00 00    ecall
    63 40 05 04    bltz a0, 1f
    83 36 01 00    ld a3, 0(sp)
    03 35 01 01    ld a0, 16(sp)
    93 05 81 01    addi a1, sp, 24
    93 96 36 00    slli a3, a3, 3
    33 06 d1 00    add a2, sp, a3
    13 06 06 01    addi a2, a2, 16
    93 08 d0 0d    li a7, 221              # execve
    73 00 00 00    ecall
    13 01 01 ff    addi sp, sp, -16
    23 30 a1 00    sd a0, 0(sp)
    13 05 30 00    li a0, 3
    93 05 01 00    mv a1, sp
    13 06 40 00    li a2, 4
    93 08 00 04    li a7, 64               # write
    73 00 00 00    ecall
    13 05 e0 07    1: li a0, 126
    93 08 e0 05    li a7, 94               # exit_group
    73 00 00 00    ecall
"""
LISTINGS = {"x86_64": (62, X86_64), "aarch64": (183, AARCH64), "riscv64": (243, RISCV64)}

_LOADED_AT = 0x400000
_MFD_EXEC = 0x10  # Linux 6.3; before, every such file could be executed
_EINVAL = 22


def execute(
    program_fd: int, report_fd: int, path: str, argv: tuple[str, ...], env: Mapping[str, str]
) -> NoReturn:
    """Become `argv`, the program at `path`, by way of what `install` made.

    OSError when there is too much of it. What execve says of `path` is told on the report's pipe.
    """
    if program_fd == REPORT_FD:
        program_fd = os.dup(program_fd)
    os.dup2(report_fd, REPORT_FD)
    os.set_inheritable(REPORT_FD, True)  # noqa: FBT003 - os takes it by position
    os.execve(program_fd, ("start", path, *argv), env)


def install(machine: str) -> int:
    """A descriptor of the program in a file of this process's own that nobody can change.

    Needs the powers to mount where vm.memfd_noexec forbids to execute memory (Linux 6.3).
    RootlessError where there is no listing for `machine`.
    """
    content = elf(machine)
    try:
        fd = _memory()
    except PermissionError:
        return _on_detached_tmpfs(content)
    os.write(fd, content)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def _memory() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create("start", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != _EINVAL:
            raise
        return os.memfd_create("start", flags)


def _on_detached_tmpfs(content: bytes) -> int:
    """On a file system that no path leads to, read-only from then on."""
    context = linux.fsopen("tmpfs")
    linux.fsconfig(context, linux.FSCONFIG_CMD_CREATE)
    mount = linux.fsmount(context)
    fd = os.open("start", os.O_CREAT | os.O_WRONLY, 0o555, dir_fd=mount)
    os.write(fd, content)
    os.close(fd)
    linux.mount_setattr(mount, linux.MOUNT_ATTR_RDONLY)
    fd = os.open("start", os.O_RDONLY, dir_fd=mount)
    os.close(mount)
    os.close(context)
    return fd


def elf(machine: str) -> bytes:
    """The program for a machine as os.uname() names it: ELF-64, static, one page, no data."""
    if machine not in LISTINGS:
        raise RootlessError(f"containers cannot be started on {machine} yet")
    number, listing = LISTINGS[machine]
    code = bytes.fromhex("".join(line[:18].strip() for line in listing.splitlines()))
    header_size, segment_size = 64, 56
    start = header_size + 2 * segment_size
    size = start + len(code)
    header = b"\x7fELF\2\1\1".ljust(16, b"\0") + _numbers(
        (2, 2), (number, 2), (1, 4), (_LOADED_AT + start, 8), (header_size, 8), (0, 8), (0, 4),
        (header_size, 2), (segment_size, 2), (2, 2), (0, 2), (0, 2), (0, 2),
    )  # fmt: skip
    readable_executable, load, gnu_stack = 5, 1, 0x6474E551
    loaded = _numbers(
        (load, 4), (readable_executable, 4), (0, 8), (_LOADED_AT, 8), (_LOADED_AT, 8), (size, 8),
        (size, 8), (1 << 16, 8),
    )  # fmt: skip
    readable_writable = 6
    stack = _numbers((gnu_stack, 4), (readable_writable, 4), *((0, 8),) * 5, (16, 8))
    return header + loaded + stack + code


def _numbers(*fields: tuple[int, int]) -> bytes:
    """(value, bytes) pairs, little-endian."""
    return b"".join(value.to_bytes(size, "little") for value, size in fields)
