"""System calls that `os` lacks: what their failures say."""

from __future__ import annotations

import errno
import os
import pickle

import pytest

from rootless import linux
from rootless.errors import RootlessError
from rootless.sandbox import syscalls


def test_a_failure_names_the_call_and_what_it_was_given() -> None:
    with pytest.raises(linux.SyscallError) as failure:
        linux.umount2("/nowhere/at all")
    assert failure.value.errno in (errno.ENOENT, errno.EPERM)
    assert str(failure.value) == f"umount2 /nowhere/at all: {failure.value.strerror}"


def test_a_failure_without_objects_reads_well() -> None:
    assert str(linux.SyscallError(errno.EPERM, "fsmount", "")) == (
        f"fsmount: {os.strerror(errno.EPERM)}"
    )


def test_a_failure_survives_pickling() -> None:
    error = linux.SyscallError(errno.EINVAL, "mount", "a on b")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is linux.SyscallError
    assert (copy.errno, copy.syscall, copy.what) == (errno.EINVAL, "mount", "a on b")
    assert str(copy) == str(error)


@pytest.mark.parametrize("path", ["/etc/../etc/hostname", "/../../etc/hostname", "etc/hostname"])
def test_openat2_stays_inside_the_root(path: str, tmp_path: os.PathLike[str]) -> None:
    os.mkdir(f"{tmp_path}/etc")
    with open(f"{tmp_path}/etc/hostname", "w", encoding="ascii") as file:
        file.write("inside")
    root_fd = os.open(tmp_path, os.O_PATH)
    try:
        fd = linux.openat2(root_fd, path, os.O_RDONLY, linux.RESOLVE_IN_ROOT)
        with open(fd, encoding="ascii") as found:
            assert found.read() == "inside"
    finally:
        os.close(root_fd)


def test_two_directories_exchange_their_names(tmp_path: os.PathLike[str]) -> None:
    for name in ("a", "b"):
        os.makedirs(f"{tmp_path}/{name}/was-{name}")
    linux.renameat2(f"{tmp_path}/a", f"{tmp_path}/b", linux.RENAME_EXCHANGE)
    assert os.listdir(f"{tmp_path}/a") == ["was-b"]
    assert os.listdir(f"{tmp_path}/b") == ["was-a"]
    with pytest.raises(linux.SyscallError, match=r"^renameat2 .*/a .*/c: No such file"):
        linux.renameat2(f"{tmp_path}/a", f"{tmp_path}/c", linux.RENAME_EXCHANGE)


@pytest.mark.parametrize("machine", ["s390x", "ppc64le", "armv7l", "mips64", "32-bit x86_64"])
@pytest.mark.parametrize("syscall", ["clone", "seccomp", "openat2"])
def test_a_number_that_nobody_has_looked_up_is_not_guessed(machine: str, syscall: str) -> None:
    with pytest.raises(RootlessError, match=f"{syscall} has a number on {machine}") as refused:
        linux.number(syscall, machine)
    assert "x86_64, aarch64, riscv64" in str(refused.value.hint)


@pytest.mark.parametrize("machine", linux.MACHINES)
def test_numbers_are_those_of_the_filter(machine: str) -> None:
    """Two tables of the same kernel, made apart from each other."""
    table = syscalls.names(machine)
    for syscall in (
        *("clone", "keyctl", "pivot_root", "seccomp", "open_tree", "move_mount", "fsopen"),
        *("fsconfig", "fsmount", "close_range", "openat2", "mount_setattr"),
    ):
        assert linux.number(syscall, machine) == table.index(syscall)
