"""Debian under qemu, as lines of vagrant/matrix.json have it: systemd, cgroup v2, and an ordinary
user who logs in.

For what a container's machine lacks: a user session with a delegated cgroup, and a reboot. All of
it is emulated (`-accel tcg`), so it needs no rights; a start takes half a minute. A disk is made
once, by debootstrap in a user namespace, with apt's packages only (`guest/install.sh`), and kept in
~/.cache/rootless/vm ($ROOTLESS_VM_CACHE) under a name that its recipe gives. A machine writes to a
copy that is gone with it. This checkout travels as a tar that is its second disk; commands and what
they say travel over a serial port (`guest/agent.py`). There is no network.

qemu dies with whoever started it, and after LONGEST seconds in any case.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.support import machine

LONGEST = int(os.environ.get("ROOTLESS_VM_SECONDS", "1800"))
BOOT = 600
USUAL = "debian12"
_GUEST = Path(__file__).parent / "guest"
_INSTALL = _GUEST / "install.sh"
_LEFT_OUT = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_MATRIX = machine.PROJECT / "vagrant" / "matrix.json"
_PROGRAMS = ("qemu-system-x86_64", "setpriv", "timeout")
_MAKERS = ("debootstrap", "unshare")


class Row(NamedTuple):
    """A line of the matrix: a machine, and what `rootless doctor` is to say there.

    `suite` is Debian's, "" for what only vagrant has; `without` is a line for root's shell that
    takes something away. `rung` is what `doctor` tells, 4 where no command can be run; `doctor` are
    pieces of its lines.
    """

    name: str
    box: str
    packages: list[str]
    sysctls: dict[str, str]
    rung: int
    doctor: list[str]
    suite: str = ""
    kernel: str = ""
    without: str = ""


def rows() -> dict[str, Row]:
    """All lines of the matrix by their names."""
    return {line["name"]: Row(**line) for line in json.loads(_MATRIX.read_text())}


def missing(row: Row | None = None) -> str | None:
    """Why this machine can start none like that; None when it can."""
    row = row or rows()[USUAL]
    if not row.suite:
        return f"{row.name} is a box of vagrant's, and no Debian"
    if os.uname().machine != "x86_64":
        return "the machine under qemu is an x86_64"
    for name in _PROGRAMS if _folder(row).exists() else (*_PROGRAMS, *_MAKERS):
        if not machine.program(name):
            return f"{name} is not installed"
    if _folder(row).exists():
        return None
    if os.geteuid() == 0:
        return "its disk is made as an ordinary user"
    return next(filter(None, map(machine.missing, ("subids", "mirror"))), None)


def _folder(row: Row) -> Path:
    default = Path.home() / ".cache" / "rootless" / "vm"
    recipe = hashlib.sha256(_INSTALL.read_bytes() + repr((row.suite, row.packages)).encode())
    return Path(os.environ.get("ROOTLESS_VM_CACHE") or default) / recipe.hexdigest()[:12]


def disk(row: Row, say: Any = lambda _: None) -> Path:
    """The folder with `disk`, `vmlinuz` and `initrd`; made, in a few minutes, if there is none."""
    ready = _folder(row)
    ready.parent.mkdir(parents=True, exist_ok=True)
    with open(ready.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            say(f"Making the disk of {row.name}: this takes a few minutes, once")
            with tempfile.TemporaryDirectory(dir=ready.parent) as work:
                _make(row, Path(work))
                (folder := Path(work) / "made").mkdir()
                for name in ("disk", "vmlinuz", "initrd"):
                    os.rename(Path(work) / name, folder / name)
                os.rename(folder, ready)
    return ready


def _make(row: Row, work: Path) -> None:
    enter = ["unshare", "--map-root-user", "--map-auto", "--mount", "--pid", "--fork"]
    start = ["sh", str(_INSTALL), machine.program("debootstrap"), row.suite]
    command = [*start, machine.debian_mirror(), work, *row.packages]
    with open(work / "log", "w+") as log:
        made = subprocess.run(
            [*enter, "--kill-child", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
            timeout=LONGEST,
        )
        if made.returncode:
            subprocess.run([*enter, "rm", "-rf", work / "root"], check=False)
            log.seek(0)
            raise RuntimeError("the disk cannot be made:\n" + "".join(log.readlines()[-20:]))


class Machine:
    """A running machine; `with Machine() as vm: vm.run("rootless ps")`. One at a time."""

    def __init__(self, row: Row | None = None, *, console: bool = False) -> None:
        row = row or rows()[USUAL]
        kept = disk(row)
        self._alone = (kept.parent / "alone").open("w")
        fcntl.flock(self._alone, fcntl.LOCK_EX)  # two at a time are too much for a small machine
        self._work = Path(tempfile.mkdtemp(prefix="rootless-vm-"))
        try:
            self._pack(self._work / "job")
            self._qemu = subprocess.Popen(
                self._command(kept, console=console),
                stdin=subprocess.DEVNULL,
                stdout=None if console else subprocess.DEVNULL,
                start_new_session=True,
            )
            self._port = self._connect()
            self._kept = b""
            self._await_ready()
            for name, value in row.sysctls.items():
                self.ok(f"sysctl -w {name}={value}", root=True)
            if row.without:
                self.ok(row.without, root=True)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self, line: str, timeout: float = 120, *, root: bool = False, stream: IO[str] | None = None
    ) -> tuple[int, str]:
        """The exit code of a shell's line, and what it wrote; `stream` gets that as it comes."""
        self._ask(line, timeout, root=root)
        written = []
        deadline = time.monotonic() + timeout + 60
        while "exit" not in (answer := self._answer(deadline)):
            written.append(answer.get("out", ""))
            if stream:
                stream.write(written[-1])
                stream.flush()
        return answer["exit"], "".join(written)

    def _ask(self, line: str, timeout: float, *, root: bool) -> None:
        asked = {"root" if root else "run": line, "timeout": timeout}
        self._port.sendall(json.dumps(asked).encode() + b"\n")

    def ok(self, line: str, timeout: float = 120, *, root: bool = False) -> str:
        """Run it, insist on exit code 0, and return what it wrote."""
        code, written = self.run(line, timeout, root=root)
        assert code == 0, f"exit code {code} of: {line}\n{written}"
        return written

    def reboot(self) -> None:
        """As an administrator does it: services are stopped, and the disk is as they left it.

        Who was asked may be gone before it can say that it has done so.
        """
        self._ask("systemctl --no-block reboot", BOOT, root=True)
        self._await_ready()

    def close(self) -> None:
        """End it at once; nothing of it is kept."""
        if qemu := getattr(self, "_qemu", None):
            try:
                os.killpg(qemu.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            qemu.wait()
        if port := getattr(self, "_port", None):
            port.close()
        shutil.rmtree(self._work, ignore_errors=True)
        self._alone.close()

    def _command(self, kept: Path, *, console: bool) -> list[str]:
        # timeout bounds it, and setpriv ties one to the other and both to us.
        die = ["setpriv", "--pdeathsig", "KILL"]
        bounded = [*die, "timeout", "--signal=KILL", "--foreground", str(LONGEST), *die]
        drive = "format=raw,if=virtio,cache=unsafe"
        quiet = "" if console else " quiet loglevel=3"
        # nowatchdog: a processor that waits for this machine's is not locked up.
        return [
            *(*bounded, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "qemu64,-svm"),
            *("-smp", "2", "-m", "2048", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-kernel", str(kept / "vmlinuz"), "-initrd", str(kept / "initrd")),
            *(
                "-append",
                f"root=/dev/vda rw console=ttyS0 mitigations=off nowatchdog panic=-1{quiet}",
            ),
            *("-drive", f"file={kept / 'disk'},snapshot=on,{drive}"),
            *("-drive", f"file={self._work / 'job'},read-only=on,{drive}"),
            *("-serial", "stdio" if console else f"file:{self._work / 'console'}"),
            *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci"),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=host,path={self._work / 'port'},server=on,wait=off"),
            *("-device", "virtserialport,chardev=host,name=host"),
        ]

    @staticmethod
    def _pack(path: Path) -> None:
        def chosen(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
            return None if Path(member.name).name in _LEFT_OUT else member

        with tarfile.open(path, "w") as tar:
            tar.add(_GUEST / "agent.py", "agent.py")
            tar.add(machine.PROJECT, "checkout", filter=chosen)

    def _connect(self) -> socket.socket:
        port = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 30
        while True:
            try:
                port.connect(str(self._work / "port"))
            except (FileNotFoundError, ConnectionRefusedError):
                if self._qemu.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("qemu does not start") from None
                time.sleep(0.05)
            else:
                return port

    def _await_ready(self) -> None:
        deadline = time.monotonic() + BOOT
        while "ready" not in self._answer(deadline):
            pass

    def _answer(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._kept:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._port], [], [], left)[0]:
                raise TimeoutError(f"the machine does not answer; {self._last_words()}")
            piece = self._port.recv(65536)
            if not piece:
                raise RuntimeError(f"the machine has ended; {self._last_words()}")
            self._kept += piece
        line, _, self._kept = self._kept.partition(b"\n")
        try:
            found = json.loads(line)
        except ValueError:  # half a line, from before a reboot
            return {}
        return found if isinstance(found, dict) else {}

    def _last_words(self) -> str:
        console = self._work / "console"
        return "its console: " + (
            console.read_text("utf-8", "replace")[-2000:] if console.exists() else "not kept"
        )
