"""The few machine instructions that stand between Python and a container's command."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess

import pytest

from rootless import process
from rootless.errors import RootlessError
from rootless.sandbox import trampoline
from tests.support import child

HERE = os.uname().machine


def runner(machine: str) -> list[str]:
    """What runs a program for `machine` here; skips where nothing does."""
    if machine == HERE:
        return []
    for name in (f"qemu-{machine}-static", f"qemu-{machine}"):
        if path := shutil.which(name):
            return [path]
    pytest.skip(f"no qemu for {machine}")


@pytest.fixture(params=list(trampoline.LISTINGS))
def start(request, tmp_path):
    """`start(path, *argv)` → exit status, output, and what was said on descriptor 3."""
    program = tmp_path / "start"
    program.write_bytes(trampoline.elf(request.param))
    program.chmod(0o755)
    emulator = runner(request.param)

    def start(*argv: str, report: bool = True):
        read_fd, write_fd = os.pipe()

        def as_three() -> None:
            os.dup2(write_fd, 3) if report else os.close(3)

        answer = subprocess.run(
            [*emulator, program, *argv],
            preexec_fn=as_three,
            pass_fds=(3,),
            capture_output=True,
            env={"NAME": "value"},
            check=False,
        )
        os.close(write_fd)
        told = process.read_frame(read_fd)
        os.close(read_fd)
        return answer.returncode, answer.stdout, told

    return start


def test_it_executes_with_the_arguments_and_the_environment(start):
    script = 'echo "$0" "$@" $NAME; ls /proc/self/fd | wc -w; exit 7'
    status, output, told = start("/bin/sh", "first", "-c", script, "zero", "one", "two words", "")
    assert (status, told) == (7, None)
    assert output.decode().splitlines()[0] == "zero one two words  value"


def test_the_report_is_closed_by_exec(start):
    script = "test -e /proc/self/fd/3 && echo open"
    assert start("/bin/sh", "sh", "-c", script)[1] == b""


@pytest.mark.parametrize(
    ("path", "number"),
    [("/nothing", errno.ENOENT), ("/etc/passwd", errno.EACCES), ("/etc/passwd/x", errno.ENOTDIR)],
)
def test_it_tells_why_not(start, path, number):
    assert start(path, "x") == (126, b"", ("errno", number))


def test_without_a_report_it_executes_nothing(start):
    """So it goes when an image's script names /proc/self/exe as its interpreter."""
    assert start("/bin/echo", "echo", "x", report=False)[:2] == (126, b"")


@pytest.mark.parametrize("machine", list(trampoline.LISTINGS))
def test_the_bytes_are_what_the_assembler_makes_of_the_lines(tmp_path, machine):
    names = [f"{machine}-linux-gnu-as", *(["as"] if machine == HERE else [])]
    assembler = next(filter(None, map(shutil.which, names)), None)
    if assembler is None:
        pytest.skip(f"no assembler for {machine}")
    copier = assembler.removesuffix("as") + "objcopy"
    lines = [line[18:].strip() for line in trampoline.LISTINGS[machine][1].splitlines()]
    head = {"x86_64": ".intel_syntax noprefix", "riscv64": ".option norvc"}.get(machine, "")
    source = "\n".join([head, *lines, ""])
    (tmp_path / "x.s").write_text(source)
    subprocess.run([assembler, "-o", "x.o", "x.s"], cwd=tmp_path, check=True)
    subprocess.run(
        [copier, "-O", "binary", "-j", ".text", "x.o", "x.bin"], cwd=tmp_path, check=True
    )
    assert trampoline.elf(machine).endswith((tmp_path / "x.bin").read_bytes())
    assert len((tmp_path / "x.bin").read_bytes()) > 80


@pytest.mark.parametrize("machine", list(trampoline.LISTINGS))
def test_it_is_small_and_holds_no_writable_data(machine):
    content = trampoline.elf(machine)
    assert content[:5] == b"\x7fELF\2"
    assert len(content) < 300


def test_the_installed_program_cannot_be_changed():
    fd = trampoline.install(HERE)
    try:
        assert os.pread(fd, 1000, 0) == trampoline.elf(HERE)
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        for seal in ("SEAL", "SHRINK", "GROW", "WRITE"):
            assert seals & getattr(fcntl, f"F_SEAL_{seal}"), seal
        for path in (f"/proc/self/fd/{fd}", f"/proc/{os.getpid()}/fd/{fd}"):
            again = os.open(path, os.O_RDWR)
            with pytest.raises(PermissionError):
                os.write(again, b"x")
            os.close(again)
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


@pytest.mark.needs("userns")
def test_where_memory_may_not_be_executed_a_file_that_no_path_leads_to_is(monkeypatch):
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    def body() -> tuple[bytes, int, int]:
        monkeypatch.setattr(os, "memfd_create", refuse)
        fd = trampoline.install(HERE)
        content = os.pread(fd, 1000, 0)
        if (pid := os.fork()) == 0:
            trampoline.execute(fd, os.pipe()[1], "/bin/sh", ("sh", "-c", "exit 7"), {})
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
        except OSError as error:
            return content, status, error.errno or 0
        return content, status, 0

    assert child.in_child(body) == (trampoline.elf(HERE), 7, errno.EROFS)


def test_a_machine_without_a_listing_is_refused_by_name():
    with pytest.raises(RootlessError, match="cannot be started on s390x yet"):
        trampoline.elf("s390x")
