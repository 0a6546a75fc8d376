"""`image compare`: every kind of difference has its line, and what is the same has none."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay")


def member(name, content=b"", **facts):
    one = tarfile.TarInfo(name)
    one.size = len(content)
    for key, value in {"mode": 0o644, **facts}.items():
        setattr(one, key, value)
    return one, content


@pytest.fixture
def make(rootless, tmp_path):
    """make("name", members, *changes): an image of one layer."""

    def make(name, members, *changes):
        path = tmp_path / "layer.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for one, content in members:
                tar.addfile(one, io.BytesIO(content))
        options = [word for change in changes for word in ("-c", change)]
        return rootless.ok("import", *options, path, name).strip()

    return make


FILES = {
    "same": member("same", b"same"),
    "mode": member("mode", b"x"),
    "owner": member("owner", b"x"),
    "size": member("size", b"12"),
    "content": member("content", b"a" * 70_000 + b"1"),
    "link": member("link", type=tarfile.SYMTYPE, linkname="here"),
    "kind": member("kind", b"x"),
    "attribute": member("attribute", b"x", pax_headers={"SCHILY.xattr.user.a": "1"}),
    "device": member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "dir": member("dir", type=tarfile.DIRTYPE, mode=0o755),
    "dir/first": member("dir/first", b"x"),
}
OTHERS = {
    **FILES,
    "same": member("same", b"same", mtime=99),
    "mode": member("mode", b"x", mode=0o4755),
    "owner": member("owner", b"x", uid=5, gid=6),
    "size": member("size", b"1"),
    "content": member("content", b"a" * 70_000 + b"2"),
    "link": member("link", type=tarfile.SYMTYPE, linkname="there"),
    "kind": member("kind", type=tarfile.FIFOTYPE),
    "attribute": member("attribute", b"x", pax_headers={"SCHILY.xattr.user.b": "2"}),
    "device": member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "new\nline": member("new\nline", b"x"),
}
OTHERS.pop("dir/first")
LINES = {
    "/attribute: attribute user.a: 0x31 != none",
    "/attribute: attribute user.b: none != 0x32",
    "/content: content: 0x31 at byte 70000 != 0x32 at byte 70000",
    "/device: device: 1:3 != 1:5",
    "/dir/first: only in one",
    "/kind: kind: file != fifo",
    "/link: target: here != there",
    "/mode: mode: 0644 != 4755",
    "/new\\nline: only in two",
    "/owner: owner: 0:0 != 5:6",
    "/size: size: 2 != 1",
}


def test_every_kind_of_difference(rootless, make):
    make("one", FILES.values())
    make("two", OTHERS.values())
    answer = rootless("image", "compare", "one", "two")
    assert (answer.exit, answer.stderr) == (1, "")
    lines = answer.stdout.splitlines()
    assert {line for line in lines if line.startswith("/")} == LINES
    assert [line for line in lines if line.startswith("layers[0]: value: ")] != []
    back = rootless("image", "compare", "two", "one").stdout
    assert "/owner: owner: 5:6 != 0:0\n" in back
    assert "/dir/first: only in one\n" in back


def test_the_same_image_has_none(rootless, make):
    made = make("one", FILES.values())
    rootless.ok("tag", "one", "other")
    assert rootless.ok("image", "compare", "one", made[:20]) == ""
    value = json.loads(rootless.ok("image", "compare", "--format", "json", "one", "other"))
    assert value == {"First": "one", "Second": "other", "Same": True, "Differences": []}


def test_configs_field_by_field(rootless, make):
    make("one", FILES.values(), "ENV A=1", "CMD x")
    make("two", FILES.values(), "ENV A=1", "ENV B=2", 'CMD ["x"]')
    answer = rootless("image", "compare", "one", "two")
    assert answer.exit == 1
    assert 'config.Env[1]: value: none != "B=2"\n' in answer.stdout
    assert 'config.Cmd[0]: value: "/bin/sh" != "x"\n' in answer.stdout
    assert "\n/" not in answer.stdout, "no file differs"
    shown = rootless("image", "compare", "-f", "{{len .Differences}} {{.Same}}", "one", "two")
    count, same = shown.stdout.split()
    assert (int(count), same) == (len(answer.stdout.splitlines()), "false")


def test_whiteouts_and_layers_that_are_shared(rootless, make, tmp_path):
    """Only what differs is told, whatever layers it comes from."""
    make("base", FILES.values())
    (tmp_path / "f").write_text("f")
    (tmp_path / "Dockerfile").write_text("FROM base\nCOPY f /dir/second\n")
    rootless.ok("build", "-q", "-t", "more", tmp_path)
    lines = rootless("image", "compare", "base", "more").stdout.splitlines()
    assert [line for line in lines if line.startswith("/")] == ["/dir/second: only in more"]


def test_mistakes_are_told_from_differences(rootless, make):
    make("one", FILES.values())
    missing = rootless("image", "compare", "one", "nothing")
    assert missing.exit == 2
    assert "No such image: nothing:latest" in missing.stderr
    assert rootless("image", "compare", "one").exit == 1
