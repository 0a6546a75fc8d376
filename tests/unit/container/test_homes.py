"""What a full disk leaves of a container's record: the old one."""

from __future__ import annotations

import os

import pytest

from rootless.container import homes
from rootless.errors import RootlessError


def test_a_full_disk_is_named_and_the_old_record_stays(tmp_path):
    path = tmp_path / "container.json"
    path.write_text("old")
    os.symlink("/dev/full", f"{path}.new")
    with pytest.raises(RootlessError, match=r"the disk is full: .*container\.json") as failed:
        homes._write(str(path), {"name": "new"})
    assert "system prune" in str(failed.value.hint)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["container.json"]
