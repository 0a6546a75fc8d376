"""Hostile layers change nothing outside, and fail with a sentence that names the entry."""

from __future__ import annotations

import io
import os

import pytest

from rootless import rung
from rootless.archive import apply
from rootless.errors import IntegrityError, RootlessError
from tests.support import child, evil_tars, layers, machine


@pytest.fixture(autouse=True, params=["root", "plain"])
def who(request, monkeypatch):
    """Who has another root, and an ordinary user, who may not and asks the kernel for each path."""
    if request.param == "plain":
        forced = rung.Rung(rung.NONE, "for this test")
        monkeypatch.setattr("rootless.rung._Standing.forced", forced)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A victim beside the layer, and a secret in the working directory; both must stay as is."""
    if os.geteuid() != 0:
        machine.require("userns")
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o750)
    (victim / "file").write_bytes(b"precious")
    (victim / "file").chmod(0o640)
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    (cwd / "secret-in-cwd").write_bytes(b"secret")
    for path in (victim / "file", victim, cwd / "secret-in-cwd", cwd):
        os.utime(path, ns=(1_000_000_000, 1_000_000_000))
    monkeypatch.chdir(cwd)
    before = _state(tmp_path)
    yield victim
    assert _state(tmp_path) == before
    if os.geteuid() != 0:
        child.remove_tree(tmp_path / "layer")


def _state(folder):
    return {
        path: (
            *(path.lstat()[:4]),
            path.lstat().st_uid,
            path.lstat().st_gid,
            path.lstat().st_mtime_ns,
            os.listxattr(path),
            path.read_bytes() if path.is_file() else sorted(os.listdir(path)),
        )
        for name in ("victim", "cwd")
        for path in (folder / name, *(folder / name).iterdir())
    }


@pytest.mark.parametrize("name", evil_tars.REFUSED)
def test_refused(name, outside, tmp_path):
    entries = evil_tars.REFUSED[name](os.fsencode(outside))
    cut = name.startswith(("truncated", "size-2pow62"))
    with pytest.raises(IntegrityError) as caught:
        layers.unpack(entries if cut else entries + evil_tars.END, tmp_path / "layer")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600


def test_what_is_refused_leaves_nothing_open(outside, tmp_path):
    good, bad = evil_tars.file(b"a/b/c"), evil_tars.REFUSED["dotdot"](os.fsencode(outside))

    def lowest_free() -> int:
        os.close(fd := os.open("/", os.O_PATH))
        return fd

    def body():
        before = lowest_free()
        with pytest.raises(IntegrityError):
            apply.unpack(io.BytesIO(good + bad + evil_tars.END).read, str(tmp_path / "layer"))
        return before, lowest_free()

    (tmp_path / "layer").mkdir()
    before, after = layers.as_root(body)
    assert before == after


@pytest.mark.parametrize("name", evil_tars.CONTAINED)
def test_contained(name, outside, tmp_path):
    attack, expected = evil_tars.CONTAINED[name]
    victim = os.fsencode(outside)
    entries = attack(victim)
    if name not in {"empty-file", "no-end-blocks"}:
        entries += evil_tars.END
    layers.unpack(entries, tmp_path / "layer")
    inside = victim.lstrip(b"/")
    expected = {
        path.replace(b"VICTIM", inside): content and content.replace(b"VICTIM", victim)
        for path, content in expected.items()
    }
    found = {
        path: node.content
        for path, node in layers.listing(tmp_path / "layer").items()
        if not (inside + b"/").startswith(path + b"/")
    }
    assert found == expected


@pytest.mark.parametrize(
    "name", ["dotdot", "hardlink-abs", "symlink-rel-write", "symlink-for-parent"]
)
def test_refused_over_a_tree_as_well(name, outside, tmp_path):
    entries = evil_tars.REFUSED[name](os.fsencode(outside)) + evil_tars.END
    with pytest.raises(IntegrityError):
        layers.unpack(entries, tmp_path / "layer", whiteouts=False, into=b"/a/b")


def test_a_link_over_a_tree_leads_to_a_folder_in_it(outside, tmp_path):
    """As docker does it, what is not there is made; nothing is written outside."""
    entries = evil_tars.REFUSED["symlink-abs-write"](os.fsencode(outside)) + evil_tars.END
    layers.unpack(entries, tmp_path / "layer", whiteouts=False, into=b"/a/b")
    names = layers.listing(tmp_path / "layer")
    assert any(one.startswith(b"a/b/") and one.endswith(b"/victim/file") for one in names)


@pytest.mark.parametrize("into", [b"../victim", b"file", b"a\0b"])
def test_a_folder_that_cannot_be_entered_is_named(into, outside, tmp_path):
    base = evil_tars.file(b"file")
    layers.unpack(base, tmp_path / "layer")
    with pytest.raises(RootlessError, match="cannot unpack into"):
        layers.unpack(evil_tars.file(b"f"), tmp_path / "layer", whiteouts=False, into=into)


def test_forged_attributes_of_overlayfs_and_of_ours_are_dropped(outside, tmp_path):
    attack, _ = evil_tars.CONTAINED["xattr-overlay"]
    layers.unpack(attack(b"") + evil_tars.END, tmp_path / "layer")
    assert [node.xattrs for node in layers.listing(tmp_path / "layer").values()] == [{}] * 4


def test_an_owner_outside_the_range_names_the_file_and_the_way_out(outside, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("real root has every id")
    if rung.forced():
        pytest.skip("an ordinary user records any owner")
    entries = evil_tars.pax(uid=b"3000000000") + evil_tars.file(b"etc/own") + evil_tars.END
    with pytest.raises(RootlessError, match=r"'etc/own' belongs to 3000000000:0") as caught:
        layers.unpack(entries, tmp_path / "layer")
    assert "/etc/subuid" in caught.value.hint


def test_a_chain_of_hard_links_is_one_file(outside, tmp_path):
    chain = b"".join(evil_tars.hardlink(b"%d" % (n + 1), b"%d" % n) for n in range(1000))
    layers.unpack(evil_tars.file(b"0") + chain + evil_tars.END, tmp_path / "layer")
    found = layers.listing(tmp_path / "layer")
    assert len(found) == 1001
    assert {node.links for node in found.values()} == {1001}


def test_deep_trees_are_removed_when_replaced(outside, tmp_path):
    deep = evil_tars.pax(path=b"d/" * 1900 + b"f") + evil_tars.file(b"f")
    layers.unpack(deep + evil_tars.file(b"d") + evil_tars.END, tmp_path / "layer")
    assert {path: node.content for path, node in layers.listing(tmp_path / "layer").items()} == {
        b"d": b"evil"
    }


def test_no_code_is_imported_from_the_layer(outside, tmp_path):
    """A module planted where the interpreter looks must not be found from inside."""

    def body():
        import io
        import sys

        from rootless.archive import apply

        sys.path.insert(0, "/plant")
        content = evil_tars.file(b"plant/planted.py", b"raise SystemExit") + evil_tars.END
        apply.unpack(io.BytesIO(content).read, str(tmp_path / "layer"))
        try:
            import planted  # noqa: F401  # type: ignore[import-not-found]
        except ImportError:
            return "not found"

    (tmp_path / "layer").mkdir()
    assert layers.as_root(body) == "not found"


def test_the_stream_is_read_to_its_end(outside, tmp_path):
    """Whoever digests the stream must have seen the bytes after the archive too."""

    def body():
        import io

        from rootless.archive import apply

        stream = io.BytesIO(evil_tars.file(b"f") + evil_tars.END + b"tail" * 100_000)
        apply.unpack(stream.read, str(tmp_path / "layer"))
        return stream.read()

    (tmp_path / "layer").mkdir()
    assert layers.as_root(body) == b""
