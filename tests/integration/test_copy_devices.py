"""COPY of real devices: where a RUN may make one, the next stage gets it, as one of a layer."""

from __future__ import annotations

import os
import stat
import tarfile

import pytest

from rootless.archive import diff
from rootless.build.carry.copy import Placement, Target
from rootless.build.inputs import contents, tree
from tests.support import child

pytestmark = pytest.mark.needs("userns")


@pytest.fixture(autouse=True)
def folder_of_other_ids(tmp_path):
    yield
    child.remove_tree(tmp_path)


def layer_of(folder) -> dict[str, tuple[bytes, int, int, int, int, int]]:
    def body():
        with open(folder / "layer.tar", "wb") as file:
            diff.write(str(folder / "root"), file.write)

    child.in_child(body)
    with tarfile.open(folder / "layer.tar") as archive:
        return {
            one.name: (one.type, one.devmajor, one.devminor, one.mode, one.uid, one.gid)
            for one in archive.getmembers()
        }


def copied(folder, pattern: str, destination: str, how: Placement) -> None:
    """From the devices of this machine."""

    def body():
        os.umask(0)
        (folder / "root").mkdir()
        root_fd = os.open(folder / "root", os.O_RDONLY)
        source_fd = os.open("/dev", os.O_RDONLY)
        sources = tuple(one.replace(stat=own(one.stat)) for one in tree.select(source_fd, pattern))
        Target(root_fd, how).place(sources, source_fd, destination)
        return contents.of_image(source_fd, sources)

    return child.in_child(body)


def own(found: os.stat_result) -> os.stat_result:
    """As if it were root's: another's id may not be mapped."""
    values = list(found)
    values[stat.ST_UID] = values[stat.ST_GID] = 0
    more = {name: getattr(found, name) for name in ("st_rdev", "st_mtime_ns", "st_atime_ns")}
    return os.stat_result(values, more)


def test_one_by_its_name(tmp_path):
    copied(tmp_path, "null", "/made", Placement(is_image=True))
    assert layer_of(tmp_path)["made"] == (tarfile.CHRTYPE, 1, 3, 0o666, 0, 0)


def test_owner_and_mode_as_is_said(tmp_path):
    from rootless.build.plan.mode import Mode

    copied(tmp_path, "zero", "/d/", Placement(owner=(7, 8), mode=Mode.parse("640")))
    assert layer_of(tmp_path)["d/zero"] == (tarfile.CHRTYPE, 1, 5, 0o640, 7, 8)


def test_those_of_a_pattern(tmp_path):
    digests = [
        copied(tmp_path / name, pattern, "/d/", Placement(is_image=True))
        for name, pattern in (("a", "[nz][ue][lr][lo]"), ("b", "null"), ("c", "zero"))
        if not (tmp_path / name).mkdir()
    ]
    found = layer_of(tmp_path / "a")
    assert [found[f"d/{name}"][1:3] for name in ("null", "zero")] == [(1, 3), (1, 5)]
    assert len(set(digests)) == 3


def test_its_content_is_which_it_is():
    """Two of one name are not the same, though nothing can be read of either."""
    fd = os.open("/dev", os.O_RDONLY)
    read = [contents.read(fd, name, os.stat(name, dir_fd=fd)) for name in ("null", "zero")]
    os.close(fd)
    assert read == ["1:3", "1:5"]
