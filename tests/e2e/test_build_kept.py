"""What a COPY keeps of a file beside its content: capabilities, and times."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from tests.support.images import write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay")

CAPABILITY = "SCHILY.xattr.security.capability"
NET_RAW = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"  # version 2, effective
OLD = 1_000_000_000


@pytest.fixture
def capable(rootless, tmp_path):
    """An image with /d/ping, which has a capability, /d/also, a hard link to it, and /d/sub."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in (("d", tarfile.DIRTYPE), ("d/sub", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = kind, 0o755, OLD
            tar.addfile(member)
        member = tarfile.TarInfo("d/ping")
        member.mode, member.size, member.mtime, member.uid = 0o755, 4, OLD, 9
        member.pax_headers = {CAPABILITY: NET_RAW, "SCHILY.xattr.user.note": "kept"}
        tar.addfile(member, io.BytesIO(b"ping"))
        member = tarfile.TarInfo("d/also")
        member.type, member.linkname = tarfile.LNKTYPE, "d/ping"
        tar.addfile(member)
    image = write_layout(tmp_path / "capable", "capable:1", [buffer.getvalue()])
    return rootless.load(image, tmp_path)


@pytest.fixture
def build(rootless, tmp_path):
    """`build(text, context)` → the members of the last layer by name."""

    def run(text, context="-"):
        rootless.ok("build", "-q", "-t", "test", "-f", "-", context, stdin=text)
        rootless.ok("save", "-o", tmp_path / "saved.tar", "test")
        with tarfile.open(tmp_path / "saved.tar") as outer:
            (entry,) = json.load(outer.extractfile("manifest.json"))
            with tarfile.open(fileobj=outer.extractfile(entry["Layers"][-1])) as layer:
                return {member.name.strip("/"): member for member in layer}

    return run


@pytest.mark.parametrize(
    ("flags", "owner"),
    [("", 9), ("--chown=7:8", 7), ("--chmod=4755", 9), ("--chown=7:8 --chmod=6755 --link", 7)],
)
@pytest.mark.parametrize(("source", "place"), [("/d/ping", "/new/p"), ("/d", "/new")])
def test_capabilities_outlive_owner_and_mode(capable, build, tmp_path, flags, owner, source, place):
    """The kernel takes a capability off a file that is chowned or written."""
    (tmp_path / "context").mkdir()
    text = f"FROM scratch\nCOPY --from={capable} {flags} {source} {place}\n"
    found = build(text, tmp_path / "context")
    file = found["new/p" if source == "/d/ping" else "new/ping"]
    if file.islnk():
        file = found[file.linkname.strip("/")]
    assert file.pax_headers[CAPABILITY] == NET_RAW
    assert file.pax_headers["SCHILY.xattr.user.note"] == "kept"
    assert file.uid == owner


def test_files_and_directories_keep_their_times(capable, build, tmp_path):
    """The directory that a COPY fills, which is not the source, is as old as the newest of them;
    nobody knows how old an image is that does not say so.
    """
    context = tmp_path / "context"
    (context / "a" / "b" / "c").mkdir(parents=True)
    (context / "a" / "b" / "file").write_text("")
    os.symlink("file", context / "a" / "b" / "link")
    for path in ("a/b/file", "a/b/link", "a/b/c", "a/b", "a"):
        os.utime(context / path, (OLD, OLD), follow_symlinks=False)
    unknown = 315_532_800
    for text, new in (("COPY a /new/", OLD), (f"COPY --from={capable} /d /new", unknown)):
        found = build(f"FROM scratch\n{text}\n", context)
        times = {name: int(member.mtime) for name, member in found.items()}
        kept = {name for name, time in times.items() if time == OLD}
        assert kept | {"new", ""} == times.keys() | {"new", ""}
        assert times["new"] == new
        assert len(kept) >= 3
