"""Turns in a folder that others may read, and so lock."""

from __future__ import annotations

import fcntl
import os

import pytest

from rootless.errors import RootlessError
from rootless.image import folder
from rootless.registry import turns


def test_a_folder_that_somebody_keeps_locked_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.2)
    held = os.open(tmp_path, os.O_RDONLY)
    with folder.Folder(str(tmp_path)) as opened:
        fcntl.flock(held, fcntl.LOCK_SH)
        open_before = os.listdir("/proc/self/fd")
        with (
            pytest.raises(RootlessError, match=f"{tmp_path} is kept locked") as caught,
            opened.alone(),
        ):
            pass
        assert caught.value.hint
        assert os.listdir("/proc/self/fd") == open_before
        os.close(held)
        with opened.alone():
            pass
