"""Owners whose ids do not exist, recorded and found again: layers with one id."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from rootless import owners, permissions
from rootless.archive import apply, diff, xattrs
from rootless.store import belonging
from tests.support import child, layers, one_id

pytestmark = [
    pytest.mark.needs("userns"),
    pytest.mark.skipif(os.geteuid() == 0, reason="root has every id"),
]

KINDS = (
    ("d", tarfile.DIRTYPE, 0o3775, 1000, 8),
    ("d/file", tarfile.REGTYPE, 0o4755, 33, 0),
    ("d/fifo", tarfile.FIFOTYPE, 0o620, 0, 5),
    ("d/link", tarfile.SYMTYPE, 0o777, 101, 999_999_999),
    ("d/null", tarfile.CHRTYPE, 0o666, 7, 4_294_967_294),
    ("root", tarfile.REGTYPE, 0o600, 0, 0),
    ("rootlink", tarfile.SYMTYPE, 0o777, 0, 0),
)


def _tar(members=KINDS, mtime: int = 1_700_000_000) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, mode, uid, gid in members:
            one = tarfile.TarInfo(name)
            one.type, one.mode, one.uid, one.gid, one.mtime = kind, mode, uid, gid, mtime
            one.linkname = "file" if kind == tarfile.SYMTYPE else ""
            archive.addfile(one)
        first = next(name for name, kind, *_ in members if kind == tarfile.REGTYPE)
        also = tarfile.TarInfo(f"{first}-too")
        also.type, also.linkname = tarfile.LNKTYPE, first
        archive.addfile(also)
    return out.getvalue()


def _owners(content: bytes) -> dict[str, tuple[int, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {one.name: (one.mode, one.uid, one.gid) for one in archive}


def _written(directory) -> bytes:
    pieces: list[bytes] = []
    diff.write(str(directory), pieces.append)
    return b"".join(pieces)


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    child.remove_tree(folder)


def _unpacked(work, content: bytes, **options):
    directory = work / f"layer{len(os.listdir(work))}"
    directory.mkdir()
    one_id.in_child(lambda: apply.unpack(io.BytesIO(content).read, str(directory), **options))
    return directory


def test_every_kind_of_file_keeps_its_owner(work):
    directory = _unpacked(work, _tar())
    assert {os.lstat(directory / name).st_uid for name, *_ in KINDS} == {os.getuid()}
    content = one_id.in_child(lambda: _written(directory))
    expected = {name: (mode, uid, gid) for name, _, mode, uid, gid in KINDS}
    assert _owners(content) == {**expected, "d/file-too": (0o4755, 33, 0)}
    again = _unpacked(work, content)
    assert one_id.in_child(lambda: _written(again)) == content


@pytest.mark.needs("subids")
def test_the_bytes_are_those_that_a_range_of_ids_gives(work):
    members = [one for one in KINDS if max(one[3:]) < 65_000]
    directory = work / "range"
    layers.unpack(_tar(members), directory)
    one = _unpacked(work, _tar(members))
    assert one_id.in_child(lambda: _written(one)) == layers.write(directory)
    assert layers.write(one) == layers.write(directory)  # also written with a range, later


def test_what_is_root_s_again_is_recorded_no_more(work):
    """In a tree that is there an archive goes over what had an owner."""
    directory = _unpacked(work, _tar())
    rootly = [(name, kind, mode, 0, 0) for name, kind, mode, *_ in KINDS]

    def over() -> None:
        content = _tar(rootly)
        apply.unpack(io.BytesIO(content).read, str(directory), whiteouts=False)

    one_id.in_child(over)
    assert set(os.listxattr(directory / "d")) == set()
    found = _owners(one_id.in_child(lambda: _written(directory)))
    assert {owner[1:] for owner in found.values()} == {(0, 0)}


def test_a_time_in_a_distant_future_is_no_owner(work):
    """2³² seconds and more are how a link's owner is told: an archive's own times are not."""
    links = [("link", tarfile.SYMTYPE, 0o777, 0, 0), ("x", tarfile.REGTYPE, 0o644, 0, 0)]
    directory = _unpacked(work, _tar(links, mtime=(1 << 32) + 33))
    content = one_id.in_child(lambda: _written(directory))
    assert _owners(content)["link"] == (0o777, 0, 0)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert archive.getmember("link").mtime == (1 << 32) + 33


def test_a_record_follows_renames_and_links(work):
    directory = _unpacked(work, _tar())
    os.rename(directory / "d" / "link", directory / "moved")
    os.link(directory / "moved", directory / "hard", follow_symlinks=False)
    os.readlink(directory / "hard")
    os.rename(directory / "d", directory / "e")
    found = _owners(one_id.in_child(lambda: _written(directory)))
    assert found["moved"][1:] == found["hard"][1:] == (101, 999_999_999)
    assert found["e"][1:] == (1000, 8)


@pytest.mark.parametrize(
    "text", [b"", b"33", b"33 33 33", b"a b", b"-1 0", b"4294967295 0", b"1" * 11 + b" 0"]
)
def test_a_record_that_nobody_of_ours_wrote_says_nothing(tmp_path, text):
    path = tmp_path / "file"
    path.touch()
    os.setxattr(path, owners.ATTRIBUTE, text)
    with open(path) as file:
        assert owners.of_open(file.fileno()) == (os.getuid(), os.getgid())


def test_minus_one_keeps_what_was_recorded(work):
    path = work / "file"
    path.touch()

    def body():
        found = []
        fd = os.open(path, os.O_RDONLY)
        for uid, gid in ((33, 8), (-1, 9), (44, owners.KEEP), (0, 0)):
            owners.give(fd, uid, gid)
            found.append(owners.of_open(fd))
        owners.give(fd, 33, 33)
        owners.give(str(path), 0, 0, recorded=True)
        return [*found, owners.of_open(fd)]

    assert one_id.in_child(body) == [(33, 8), (33, 9), (44, 9), (0, 0), (0, 0)]


def test_an_owner_that_a_link_cannot_carry_is_an_error(work):
    os.symlink("x", work / "link")
    with pytest.raises(OSError, match="cannot be recorded"):
        one_id.in_child(lambda: owners.give(str(work / "link"), 0, 10**9))


CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service, as a layer has it."""
CALLS = ("fchown", "fchmod", "setxattr", "removexattr")


def _made_for_another(path, mode: int, given: int) -> None:
    """A program of 33:0 with a capability, as it lies where nobody is root."""
    path.touch()
    os.chmod(path, given)
    os.setxattr(path, owners.ATTRIBUTE, b"33 0")
    os.setxattr(path, xattrs.RECORD, CAPABILITY)
    if given != mode:
        os.setxattr(path, permissions.ATTRIBUTE, b"%o %o" % (mode, given))


def _is(path) -> tuple[int, int, bytes, set[str]]:
    status, found = os.stat(path), xattrs.read(os.fsencode(path))
    capability = xattrs.portable(found).get(xattrs.CAPABILITY, b"")
    return status.st_uid, status.st_mode & 0o7777, capability, set(os.listxattr(path))


@pytest.mark.needs("subids")
@pytest.mark.parametrize("calls", range(10))
@pytest.mark.parametrize(("mode", "given"), [(0o4755, 0o4755), (0o511, 0o711)])
def test_who_gives_files_to_their_owners_and_is_killed_loses_nothing(
    work, monkeypatch, calls, mode, given
):
    """Before any of its calls: whoever comes next ends it."""
    _made_for_another(work / "file", mode, given)

    def body():
        left = [calls]

        def counted(call):
            def tried(*words, **options):
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                return call(*words, **options)

            return tried

        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, counted(getattr(os, name)))
            try:
                belonging.fit(str(work), recorded=False)
            except KeyboardInterrupt:
                pass
        belonging.fit(str(work), recorded=False)
        return _is(work / "file")

    assert child.in_child(body) == (33, mode, CAPABILITY, {"security.capability"})


@pytest.mark.needs("subids")
def test_a_capability_of_a_file_of_roots_is_given_too(work):
    (work / "file").touch(0o755)
    os.setxattr(work / "file", xattrs.RECORD, CAPABILITY)

    def body():
        belonging.fit(str(work), recorded=False)
        return _is(work / "file")

    assert child.in_child(body)[2:] == (CAPABILITY, {"security.capability"})
