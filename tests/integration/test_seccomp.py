"""The filter in the real kernel: refused calls fail, ordinary programs run."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess

import pytest

from rootless import linux
from rootless.sandbox import caps, seccomp, syscalls
from tests.support.child import in_child

MACHINE = os.uname().machine
pytestmark = pytest.mark.skipif(MACHINE not in seccomp.MACHINES, reason=f"no table for {MACHINE}")


def filtered(body, capabilities=caps.DEFAULT, *, enter=True):
    """What `body()` returns in a child under the filter; by default as root of a namespace."""

    def inner():
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.seccomp(seccomp.program(MACHINE, capabilities))
        return body()

    return in_child(inner, enter=enter)


def outcome(name: str, *args: int) -> str:
    """The name of the errno a raw call ends with, or "" where it succeeds."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = syscalls.names(MACHINE).index(name)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, args))
    return errno.errorcode[ctypes.get_errno()] if result < 0 else ""


@pytest.mark.needs("userns")
@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("mount", (0, 0, 0, 0, 0), "EPERM"),
        ("umount2", (0, 0), "EPERM"),
        ("unshare", (linux.CLONE_NEWUSER,), "EPERM"),
        ("setns", (0, 0), "EPERM"),
        ("clone", (linux.CLONE_NEWUSER | 17, 0, 0, 0, 0), "EPERM"),
        ("clone3", (0, 0), "ENOSYS"),
        ("keyctl", (0, 0), "EPERM"),
        ("add_key", (0, 0, 0, 0, 0), "EPERM"),
        ("bpf", (0, 0, 0), "EPERM"),
        ("io_uring_setup", (1, 0), "EPERM"),
        ("userfaultfd", (0,), "EPERM"),
        ("perf_event_open", (0, 0, 0, 0, 0), "EPERM"),
        ("kexec_load", (0, 0, 0, 0), "EPERM"),
        ("ioctl", (0, 0x5412, 0), "EPERM"),
        ("ioctl", (0, 0x5412 | 1 << 32, 0), "EPERM"),
        ("ioctl", (0, 0x541C, 0), "EPERM"),
        ("socket", (38, 5, 0), "EPERM"),
        ("socket", (40, 1, 0), "EPERM"),
        ("socket", (2, 1, 0), ""),
        ("personality", (0xFFFFFFFF,), ""),
        ("personality", (0x0040000,), "EPERM"),
        ("getpid", (), ""),
    ],
)
def test_a_call_in_the_kernel(name, args, expected):
    assert filtered(lambda: outcome(name, *args)) == expected


@pytest.mark.needs("userns")
def test_a_capability_brings_its_calls():
    assert filtered(lambda: outcome("unshare", linux.CLONE_NEWUTS), caps.ALL) == ""
    assert filtered(lambda: outcome("chroot", 0)) == "EFAULT"
    assert filtered(lambda: outcome("chroot", 0), frozenset()) == "EPERM"


def test_ordinary_programs_run_under_it():
    script = (
        "import threading, socket, ssl; t = threading.Thread(target=print); t.start(); t.join()"
    )
    commands = [["python3", "-c", script], ["sh", "-c", "ls / | sort | tail -1; sleep 0; date"]]

    def body():
        runs = [subprocess.run(one, capture_output=True, check=False) for one in commands]
        return [done.returncode for done in runs]

    assert filtered(body, enter=False) == [0, 0]


@pytest.mark.skipif(MACHINE != "x86_64", reason="int 0x80 is x86's")
@pytest.mark.parametrize(("name", "expected"), [("getpid", 1), ("mount", -1), ("unshare", -1)])
def test_the_32_bit_entry_is_covered(name, expected):
    number = syscalls.names("i386").index(name)
    # push rbx; mov eax, number; xor ebx, ebx; xor ecx, ecx; int 0x80; pop rbx; ret
    code = b"\x53\xb8" + number.to_bytes(4, "little") + b"\x31\xdb\x31\xc9\xcd\x80\x5b\xc3"

    def body():
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        return -errno.ENOSYS if result == -errno.ENOSYS else (result > 0) or result

    verdict = filtered(body, enter=False)
    if verdict == -errno.ENOSYS:
        pytest.skip("this kernel has no 32-bit entry")
    assert verdict == expected
