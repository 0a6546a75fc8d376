"""Being asked to end, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys
from rootless import interrupts
for name in sys.argv[2:]:
    signal.signal(signal.Signals[name], signal.SIG_IGN)
interrupts.catch()
interrupts.catch()
first = signal.Signals[sys.argv[1]]
try:
    os.kill(os.getpid(), first)
except KeyboardInterrupt:
    print("interrupted", interrupts.exit_code())
os.kill(os.getpid(), signal.SIGTERM)
os.kill(os.getpid(), signal.SIGHUP)
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("again", interrupts.exit_code())
"""


def said(*words: str) -> str:
    argv = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGHUP", 129), ("SIGTERM", 143)])
def test_the_first_interrupts_and_only_ctrl_c_does_so_again(name: str, code: int) -> None:
    assert said(name) == f"interrupted {code}\nagain {code}\n"


def test_what_was_ignored_stays_so() -> None:
    assert said("SIGHUP", "SIGHUP", "SIGTERM") == "again 130\n"
