"""`run -t` on a real terminal, and the script of --dry-run typed into one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from tests.conftest import Rootless
from tests.support import child

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("terminal")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


class Screen:
    """A terminal of 37 by 91 with a program on it."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.resize(37, 91)
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, words: str) -> str:
        """Read on until `words` are there; what came before them."""
        end = time.monotonic() + 20
        while words not in self.text:
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                self.text += os.read(self.master, 4096).decode(errors="replace")
            assert time.monotonic() < end, f"{words!r} did not come: {self.text!r}"
        before, _, self.text = self.text.partition(words)
        return before

    def close(self) -> int:
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            os.close(self.master)
            os.close(self.slave)


@pytest.fixture
def screen(store):
    screens = []

    def start(*words: str) -> Screen:
        argv = store.command("run", "--rm", "--network", "none", *words)
        screens.append(Screen(argv, store.environment))
        return screens[-1]

    yield start
    for one in screens:
        one.process.kill()
        one.process.wait()


def test_a_shell_on_a_terminal_of_its_own(screen):
    shown = screen("-it", "busybox", "sh")
    shown.expect("# ")
    shown.type("tty; stty size; ls /dev/console; echo T=$TERM\n")
    assert "/dev/pts/0" in shown.expect("T=xterm")
    shown.resize(20, 55)
    shown.process.send_signal(signal.SIGWINCH)
    shown.expect("# ")
    shown.type("sleep 0.2; stty size\n")
    shown.expect("20 55")
    shown.type("exit 9\n")
    assert shown.process.wait(20) == 9
    assert termios.tcgetattr(shown.slave) == shown.before
    shown.close()


def test_the_size_is_there_from_the_start(screen):
    shown = screen("-t", "busybox", "stty", "size")
    shown.expect("37 91")
    assert shown.close() == 0


def test_ctrl_c_is_a_byte_for_the_container(screen):
    script = "trap 'echo caught; exit 4' INT; echo ready; while :; do sleep 0.05; done"
    shown = screen("-it", "busybox", "sh", "-c", script)
    shown.expect("ready")
    shown.type("\x03")
    shown.expect("caught")
    assert shown.close() == 4


def test_ctrl_d_ends_the_input(screen):
    shown = screen("-it", "busybox", "cat")
    shown.type("line\n")
    shown.expect("line\r\nline")
    shown.type("\x04")
    assert shown.close() == 0


def test_the_callers_terminal_is_out_of_reach(screen):
    """Without -t the container has the caller's terminal as its streams, but not as its own."""
    shown = screen("-i", "busybox", "sh", "-c", "echo x >/dev/tty || echo none of mine")
    shown.expect("none of mine")
    assert shown.close() == 0


def test_a_terminal_belongs_to_the_user(screen):
    shown = screen("-t", "-u", "nobody", "busybox", "sh", "-c", "stat -c %u $(tty); echo >$(tty)")
    shown.expect("65534")
    assert shown.close() == 0


@pytest.mark.needs("unshare")
def test_the_printed_script_starts_the_same_container(store):
    script = "echo $((40 + 2)) $A; hostname; pwd; id -u; ls /proc | grep -c '^[0-9]'; exit 5"
    words = ("--rm", "--network", "none", "-h", "same", "-w", "/w", "-e", "A=b c", "busybox")
    real = store("run", *words, "sh", "-c", script)
    assert real.exit == 5
    printed = store.ok("run", "--dry-run", *words, "sh", "-c", script)
    typed = Screen(["bash", "--norc", "--noprofile"], {**os.environ, "PS1": "", "TERM": "dumb"})
    typed.type(printed + "echo ended-$?\nexit\n")
    shown = typed.expect("ended-5").replace("\r", "")
    typed.close()
    assert "\n".join(real.stdout.splitlines()) in re.sub(r"\x1b\[\?2004[hl]", "", shown)
