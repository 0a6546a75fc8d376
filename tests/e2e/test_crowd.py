"""Several commands at once on one store, some of them killed: a short scripts/crowd."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.machine import PROJECT


@pytest.mark.needs("userns", "subids", "overlay", "busybox", "registry")
def test_nothing_is_lost_and_nothing_is_left():
    crowd = [sys.executable, PROJECT / "scripts" / "crowd.py", "--rounds", "32"]
    answer = subprocess.run(crowd, capture_output=True, text=True, timeout=280, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
