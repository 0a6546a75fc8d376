"""System calls that `os` lacks: what their failures say."""

from __future__ import annotations

import errno
import os
import pickle

import pytest

from rootless import linux


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
