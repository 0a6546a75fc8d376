"""A terminal with a program on it, for tests that type and read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time


class Terminal:
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

    def expect(self, words: str, patience: float = 120) -> str:
        """Read on until `words` are there; what came before them."""
        end = time.monotonic() + patience
        while words not in self.text:
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                self.text += os.read(self.master, 4096).decode(errors="replace")
            assert time.monotonic() < end, f"{words!r} did not come: {self.text!r}"
        before, _, self.text = self.text.partition(words)
        return before

    def close(self) -> int:
        try:
            return self.process.wait(120)
        finally:
            self.process.kill()
            os.close(self.master)
            os.close(self.slave)
