"""The second wall around what unpacks: the kernel refuses changes outside of one directory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rootless import linux
from rootless.archive import landlock, unpacking
from rootless.store.unpackers import Unpacker
from tests.support import child

pytestmark = pytest.mark.needs("userns")


@pytest.fixture(autouse=True)
def _kernel():
    try:
        version = linux.landlock_version()
    except OSError as error:
        pytest.skip(f"the kernel has no Landlock: {error}")
    if version < 2:
        pytest.skip("the kernel's Landlock refuses links between directories")


@pytest.fixture
def places(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "file").write_text("intact")
    return inside, outside


def changes(place: Path, target: Path) -> dict[str, object]:
    """What changes something in `place`, which has file."""
    return {
        "write": lambda: (place / "file").write_text("changed"),
        "truncate": lambda: os.truncate(place / "file", 1),
        "make": lambda: (place / "new").write_text("x"),
        "mkdir": (place / "folder").mkdir,
        "symlink": lambda: (place / "link").symlink_to("file"),
        "fifo": lambda: os.mkfifo(place / "fifo"),
        "link": lambda: os.link(place / "file", target / "hard"),
        "rename": lambda: os.rename(place / "file", target / "moved"),
        "unlink": (place / "file").unlink,
    }


def refused(tried: dict[str, object]) -> list[str]:
    found = []
    for name, change in tried.items():
        try:
            change()
        except PermissionError:
            found.append(name)
        except OSError as error:  # EXDEV where a link would need the right in both places
            found.append(name if error.errno == errno.EXDEV else f"{name}: {error}")
    return found


def test_changes_inside_are_made_and_outside_are_refused(places):
    inside, outside = places
    (inside / "file").write_text("old")
    (inside / "sub").mkdir()

    def body():
        assert landlock.keep_changes_in(str(inside))
        allowed = changes(inside, inside / "sub")
        allowed["unlink"] = (inside / "sub" / "moved").unlink
        return refused(allowed), refused(changes(outside, inside)), (outside / "file").read_text()

    made, kept, text = child.in_child(body)
    assert made == []
    assert kept == list(changes(outside, inside)), "all of them"
    assert text == "intact", "it may be read"
    assert os.listdir(outside) == ["file"]
    assert sorted(os.listdir(inside)) == ["fifo", "folder", "link", "new", "sub"]
    assert (inside / "sub" / "hard").read_text() == "c"


def test_nothing_is_executed(places):
    def body():
        landlock.keep_changes_in(str(places[0]))
        try:
            os.execv("/bin/true", ["true"])
        except PermissionError:
            return "refused"

    assert child.in_child(body) == "refused"


def test_an_unpacker_that_is_led_astray_changes_nothing(places, monkeypatch):
    """Whatever hole its own walls had: for each of its layers, also the second one."""
    tmp, outside = places
    for name in ("one", "two"):
        (tmp / name / "diff").mkdir(parents=True)
    blob = tmp / "blob"
    blob.write_bytes(b"")

    def astray(_, directory, __, *, durable):
        Path(directory, "mine").write_text("x")
        return {"refused": refused(changes(outside, tmp))}

    monkeypatch.setattr(unpacking, "unpack_layer", astray)

    def body():
        unpacker = Unpacker()
        try:
            found = []
            for name in ("one", "two"):
                unpacker.begin(str(blob), str(blob), 0, str(tmp / name / "diff"), "sha256")
                found.append(unpacker.result()["refused"])
            return found
        finally:
            unpacker.stop()

    assert child.in_child(body) == [list(changes(outside, tmp))] * 2
    assert (outside / "file").read_text() == "intact"
    assert (tmp / "two" / "diff" / "mine").exists()


def test_without_it_nothing_is_said(places, monkeypatch):
    def missing():
        raise linux.SyscallError(38, "landlock_create_ruleset", "version")

    monkeypatch.setattr(linux, "landlock_version", missing)
    assert landlock.keep_changes_in(str(places[0])) is False
    (places[1] / "file").write_text("still mine")
