"""`-o type=local` where the disk is full: what is told, and what is left."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from rootless import linux
from rootless.build.export import local
from rootless.errors import RootlessError
from tests.support.child import in_child

pytestmark = pytest.mark.needs("userns")


def test_a_full_disk_is_the_destination_s_matter(tmp_path, monkeypatch):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        member = tarfile.TarInfo("big")
        member.size = 1 << 20
        tar.addfile(member, io.BytesIO(bytes(1 << 20)))
    monkeypatch.setattr(local.trees, "write", lambda _store, _wanted, put, _how: put(made))
    made = content.getvalue()

    def body():
        linux.mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=400k,mode=700")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "big").write_text("before")
        with pytest.raises(RootlessError) as caught:
            local.write(None, (), str(tmp_path / "out"))
        left = os.listdir(tmp_path / "out"), (tmp_path / "out" / "big").read_text()
        return caught.value.message, caught.value.hint, left

    message, hint, left = in_child(body)
    assert message == "the disk is full: 'big' could not be unpacked"
    assert hint == "make room there, or name another place"
    assert left == (["big"], "before")
