"""`run -t` on a real terminal."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.conftest import Rootless
from tests.support import child
from tests.support.terminal import Terminal

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("terminal")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


@pytest.fixture
def screen(store):
    screens = []

    def start(*words: str) -> Terminal:
        argv = store.command("run", "--rm", "--network", "none", *words)
        screens.append(Terminal(argv, store.environment))
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
    assert shown.process.wait(120) == 9
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


def exchange(shown: Terminal, content: bytes, until: bytes) -> bytes:
    """Type `content` as fast as it is taken, reading all the time; what is shown up to `until`."""
    os.set_blocking(shown.master, False)
    seen, end = bytearray(), time.monotonic() + 60
    while until not in seen:
        writing = [shown.master] if content else []
        readable, writable, _ = select.select([shown.master], writing, [], 1)
        if readable:
            seen += os.read(shown.master, 1 << 16)
        if writable:
            content = content[os.write(shown.master, content[:4096]) :]
        assert time.monotonic() < end, f"{len(content)} bytes are not taken, {len(seen)} came"
    return bytes(seen)


LINES = b"".join(b"%07d %s\n" % (number, b"x" * 42) for number in range(20_000))  # 1 MB


@pytest.mark.parametrize("pause", ["", "sleep 2; "])
def test_a_paste_of_a_megabyte_arrives(screen, pause):
    """Also when nobody reads it at first."""
    script = f"stty -echo; echo ready; {pause}cat >/pasted; md5sum </pasted; echo ended"
    shown = screen("-it", "busybox", "sh", "-c", script)
    shown.expect("ready")
    expected = hashlib.md5(LINES).hexdigest().encode()
    assert expected in exchange(shown, LINES + b"\x04", b"ended")
    assert shown.close() == 0


def test_a_paste_of_a_megabyte_comes_back(screen):
    """Both ways are full at the same time."""
    shown = screen("-it", "busybox", "sh", "-c", "stty -echo; echo ready; cat; echo ended")
    shown.expect("ready\r\n")
    came = exchange(shown, LINES + b"\x04", b"ended")
    assert came.replace(b"\r", b"").partition(b"ended")[0] == LINES


def test_a_paste_is_taken_while_nobody_looks_at_the_output(screen):
    """A terminal emulator that pastes before it reads on: both ends wait for nothing."""
    shown = screen("-it", "busybox", "sh", "-c", "stty raw -echo; echo ready; cat /dev/zero")
    shown.expect("ready")
    time.sleep(1)
    os.set_blocking(shown.master, False)
    rest, end = b"\x11" * 4000, time.monotonic() + 60
    while rest:
        rest = rest[os.write(shown.master, rest[:100]) :]
        time.sleep(0.01)
        assert time.monotonic() < end
    before = cpu_seconds(shown.process.pid)
    time.sleep(1)
    assert cpu_seconds(shown.process.pid) - before < 0.5, "it waits, and does not spin"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_slow_reader_of_the_output_gets_all(store):
    argv = store.command("run", "--rm", "-t", "--network", "none", "busybox", "seq", "200000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=store.environment) as running:
        time.sleep(2)
        content = running.stdout.read()
    assert content.split() == [b"%d" % number for number in range(1, 200_001)]
    assert running.returncode == 0


def test_output_to_a_file(store, tmp_path):
    argv = store.command("run", "--rm", "-t", "--network", "none", "busybox", "seq", "20000")
    with open(tmp_path / "out", "wb") as file:
        subprocess.run(argv, stdout=file, env=store.environment, check=True, timeout=120)
    assert len((tmp_path / "out").read_bytes().split()) == 20000


def test_the_callers_terminal_still_waits_for_others(screen):
    """What we open without waiting is not what a shell has."""
    shown = screen("-it", "busybox", "sh", "-c", "echo ready; read x")
    shown.expect("ready")
    assert os.get_blocking(shown.slave)
    shown.type("\n")
    assert shown.close() == 0


def await_program(shown: Terminal, *argv: str) -> None:
    """Until a process below the command runs `argv`: what it prints before that is the shell's."""
    wanted, end = "\0".join((*argv, "")), time.monotonic() + 60
    while not any(Path(f"/proc/{pid}/cmdline").read_text() == wanted for pid in below(shown)):
        assert time.monotonic() < end, f"{argv} does not run"
        time.sleep(0.02)


def below(shown: Terminal) -> list[int]:
    """The command's process, its children and theirs."""
    found = [shown.process.pid]
    for pid in found:
        found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return found


def test_three_times_ctrl_c_end_what_does_not_listen(screen):
    shown = screen("-it", "busybox", "sh", "-c", "echo ready; exec sleep 600")
    shown.expect("ready")
    await_program(shown, "sleep", "600")
    for _ in range(3):
        shown.type("\x03")
        time.sleep(0.2)
    shown.expect("got 3 Ctrl-C")
    assert shown.process.wait(120) == 137
    assert termios.tcgetattr(shown.slave) == shown.before
    shown.close()


def test_any_number_of_ctrl_c_does_not_end_what_listens(screen):
    shown = screen("-it", "busybox", "sh")
    shown.expect("# ")
    shown.type("echo a$((40+2))b; sleep 0.5\n")
    shown.expect("a42b")
    for _ in range(6):
        shown.type("\x03")
        time.sleep(0.1)
    shown.type("stty raw -echo; echo c$((40+3))d; head -c 4 | tail -c 1; stty cooked\n")
    shown.expect("c43d")
    shown.type("\x03\x03\x03E")
    shown.expect("E")
    shown.type("\nexit 9\n")
    assert shown.close() == 9


def test_a_closed_terminal_ends_the_container(screen, store):
    """sleep has no handler, so SIGHUP alone does nothing to it as process 1."""
    for flags in (("-it",), ("-t",), ()):
        shown = screen(*flags, "busybox", "sh", "-c", "echo ready; exec sleep 600")
        shown.expect("ready")
        os.close(shown.master)
        os.close(shown.slave)
        assert shown.process.wait(120) == 137
        assert os.listdir(store.root / "containers") == []


def test_a_command_hears_that_its_terminal_is_closed(screen, tmp_path):
    script = "trap 'echo hup >/out/hup; exit 5' HUP; echo ready; while :; do sleep 0.05; done"
    shown = screen("-it", "-v", f"{tmp_path}:/out", "busybox", "sh", "-c", script)
    shown.expect("ready")
    os.close(shown.master)
    os.close(shown.slave)
    assert shown.process.wait(120) == 5
    assert (tmp_path / "hup").read_text() == "hup\n"
