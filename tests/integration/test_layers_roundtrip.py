"""Layers there and back, and beside what GNU tar, Python's tarfile and umoci make of them."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import subprocess
import tarfile

import pytest

from rootless.archive import codecs, diff
from rootless.errors import RootlessError
from tests.support import child, evil_tars, layers, machine

MTIME = 1_700_000_000 * 10**9
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service


@pytest.fixture
def work(tmp_path):
    """A folder whose content may belong to ids of the namespace."""
    if os.geteuid() != 0:
        machine.require("userns")
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    if os.geteuid() != 0:
        child.remove_tree(folder)


@pytest.fixture
def tree(work):
    """A layer directory with one of everything, made by its own root."""
    machine.require("subids") if os.geteuid() != 0 else None
    layers.as_root(lambda: _make(work / "tree"))
    return work / "tree"


def _make(root):
    os.umask(0)
    (root / "d" / "sub").mkdir(parents=True)
    root.chmod(0o755)
    (root / "d" / "file").write_bytes(b"content " * 200_000)
    (root / "d" / "empty").touch()
    os.link(root / "d" / "file", root / "a-link")
    os.chown(root / "d" / "file", 33, 1000)
    (root / "d" / "file").chmod(0o4755)
    (root / "sticky").mkdir()
    os.chown(root / "sticky", 0, 8)
    (root / "sticky").chmod(0o3775)
    (root / "sticky" / "inside").write_bytes(b"of root's group, in a set-group-id directory")
    os.chown(root / "sticky" / "inside", 0, 0)
    os.symlink("/nowhere/" + "x" * 150, root / "d" / "symlink")
    os.mkfifo(root / "d" / "fifo", 0o600)
    os.mknod(root / "d" / "gone", stat.S_IFCHR, 0)
    os.setxattr(root / "d", "user.overlay.opaque", b"y")
    os.setxattr(root / "d", "user.overlay.origin", b"noise")
    os.setxattr(root / "d" / "empty", "user.mine", b"\0\xff value\n")
    (root / "capable").write_bytes(b"#!")
    os.setxattr(root / "capable", "security.capability", CAPABILITY)
    (root / "null").touch()
    os.setxattr(root / "null", "user.rootless.node", b"c 1 3")
    (root / ("n" * 120)).mkdir()
    (root / ("n" * 120) / ("m" * 130)).write_bytes(b"long")
    open(os.fsencode(root) + b"/\xff\n", "wb").close()
    for parent, folders, files in os.walk(os.fsencode(root), topdown=False):
        for name in folders + files:
            os.utime(os.path.join(parent, name), ns=(MTIME, MTIME), follow_symlinks=False)


def _portable(listing):
    """Without what belongs to one machine only."""
    return {
        path: node._replace(
            xattrs={k: v for k, v in node.xattrs.items() if k != "user.overlay.origin"},
            mtime=0 if node.content == b"whiteout" else node.mtime,
        )
        for path, node in listing.items()
    }


def test_there_and_back_is_the_same_and_gives_the_same_bytes(tree, work):
    first = layers.write(tree)
    layers.unpack(first, work / "copy")
    before, after = layers.listing(tree), layers.listing(work / "copy")
    assert _portable(after) == _portable(before)
    assert "user.overlay.origin" not in after[b"d"].xattrs
    assert layers.write(work / "copy") == first
    assert layers.write(tree) == first


def test_the_tar_says_what_the_directory_meant(tree):
    with tarfile.open(fileobj=io.BytesIO(layers.write(tree))) as archive:
        members = {member.name: member for member in archive.getmembers()}
        names = archive.getnames()
    assert names == [
        *("a-link", "capable", "d", "d/.wh..wh..opq", "d/.wh.gone", "d/empty", "d/fifo", "d/file"),
        *("d/sub", "d/symlink", "n" * 120, "n" * 120 + "/" + "m" * 130, "null", "sticky"),
        *("sticky/inside", "\udcff\n"),
    ]
    assert members["d/file"].linkname == "a-link"
    assert members["d/file"].islnk()
    link = members["a-link"]
    assert (link.mode, link.uid, link.gid, link.mtime) == (0o4755, 33, 1000, MTIME // 10**9)
    assert members["null"].ischr()
    assert (members["null"].devmajor, members["null"].devminor) == (1, 3)
    assert members["d/symlink"].linkname == "/nowhere/" + "x" * 150
    headers = members["capable"].pax_headers
    assert headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == (
        CAPABILITY
    )
    assert {member.uname + member.gname for member in members.values()} == {""}
    assert not [key for member in members.values() for key in member.pax_headers if "over" in key]


def test_a_capability_set_in_a_namespace_leaves_it_in_its_portable_form(tree):
    """Seen from outside it carries the namespace's root id: a layer must not."""

    def body():
        pieces = []
        diff.write(str(tree), pieces.append)
        return b"".join(pieces)

    raw = os.getxattr(tree / "capable", "security.capability")
    assert len(raw) == (20 if os.geteuid() == 0 else 24)
    if os.geteuid() != 0:
        assert raw[3] == 3
    assert CAPABILITY in layers.as_root(body)


def test_sockets_are_left_out(work):
    import socket

    (work / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(work / "tree" / "socket"))
        assert layers.write(work / "tree") == bytes(1024)


def test_a_file_named_like_a_whiteout_becomes_one(work):
    """As in docker: whoever unpacks the layer takes it for what it is called."""
    (work / "tree").mkdir()
    (work / "tree" / ".wh.x").touch()
    with tarfile.open(fileobj=io.BytesIO(layers.write(work / "tree"))) as archive:
        assert archive.getnames() == [".wh.x"]


def test_a_directory_named_like_a_whiteout_is_refused(work):
    (work / "tree" / ".wh.x").mkdir(parents=True)
    with pytest.raises(RootlessError, match=r"'\.wh\.x'"):
        layers.write(work / "tree")


def test_the_empty_file_form_of_a_whiteout_is_understood(work):
    (work / "tree").mkdir()
    (work / "tree" / "gone").touch()
    os.setxattr(work / "tree" / "gone", "user.overlay.whiteout", b"")
    os.setxattr(work / "tree", "user.overlay.opaque", b"x")
    with tarfile.open(fileobj=io.BytesIO(layers.write(work / "tree"))) as archive:
        assert archive.getnames() == [".wh.gone"]


@pytest.mark.parametrize("first", ["whiteout", "entry"])
def test_an_entry_wins_over_a_whiteout_of_its_name(work, first):
    gone, new = evil_tars.file(b".wh.f", b""), evil_tars.file(b"f", b"new")
    layers.unpack((gone + new if first == "whiteout" else new + gone), work / "layer")
    assert {p: n.content for p, n in layers.listing(work / "layer").items()} == {b"f": b"new"}


@pytest.mark.parametrize("shape", ["whiteout-dir", "dir-whiteout", "whiteout-child", "file-dir"])
def test_a_directory_in_the_place_of_what_is_gone_starts_empty(work, shape):
    gone, new = evil_tars.file(b".wh.d", b""), evil_tars.directory(b"d")
    layers.unpack(
        {
            "whiteout-dir": gone + new,
            "dir-whiteout": new + gone,
            "whiteout-child": gone + evil_tars.file(b"d/f"),
            "file-dir": evil_tars.file(b"d") + new,
        }[shape],
        work / "layer",
    )
    assert layers.listing(work / "layer")[b"d"].xattrs == {"user.overlay.opaque": b"y"}


def test_opaque_hides_lower_layers_wherever_it_stands(work):
    layers.unpack(
        evil_tars.file(b"d/f") + evil_tars.file(b"d/.wh..wh..opq", b"") + evil_tars.directory(b"d"),
        work / "layer",
    )
    found = layers.listing(work / "layer")
    assert found[b"d"].xattrs == {"user.overlay.opaque": b"y"}
    assert found[b"d/f"].content == b"evil"
    with tarfile.open(fileobj=io.BytesIO(layers.write(work / "layer"))) as archive:
        assert archive.getnames() == ["d", "d/.wh..wh..opq", "d/f"]


def test_an_opaque_root_is_kept(work):
    layers.unpack(evil_tars.file(b".wh..wh..opq", b"") + evil_tars.file(b"new"), work / "layer")
    with tarfile.open(fileobj=io.BytesIO(layers.write(work / "layer"))) as archive:
        assert archive.getnames() == [".wh..wh..opq", "new"]


@pytest.mark.needs("subids")
def test_the_group_of_the_store_does_not_come_through(work):
    (work / "layer").mkdir()

    def share():
        os.chown(work / "layer", 0, 5)
        (work / "layer").chmod(0o2775)

    layers.as_root(share)
    content = evil_tars.directory(b"d") + evil_tars.directory(b"e", mode=0o2775, gid=7)
    content += evil_tars.file(b"d/f") + evil_tars.file(b"e/f") + evil_tars.symlink(b"e/l", b"f")
    layers.unpack(content, work / "layer")
    found = layers.listing(work / "layer")
    assert {path: (node.mode, node.gid) for path, node in found.items()} == {
        b"d": (0o755, 0),
        b"d/f": (0o644, 0),
        b"e": (0o2775, 7),
        b"e/f": (0o644, 0),
        b"e/l": (0o777, 0),
    }


@pytest.mark.needs("overlay")
def test_the_kernel_sees_what_the_layer_says(work):
    """Two layers stacked: whiteout, opaque directory, and a placeholder."""
    from rootless import linux

    low = evil_tars.file(b"keep", b"1") + evil_tars.file(b"gone") + evil_tars.file(b"d/old")
    top = evil_tars.file(b".wh.gone", b"") + evil_tars.file(b"d/new")
    top += evil_tars.file(b"d/.wh..wh..opq", b"") + evil_tars.member(b"keep2", b"3")
    layers.unpack(low, work / "low")
    layers.unpack(top, work / "top")
    (work / "merged").mkdir()

    def body():
        options = f"userxattr,lowerdir={work}/top:{work}/low"
        linux.mount("overlay", str(work / "merged"), "overlay", 0, options)
        return sorted(os.listdir(work / "merged")), os.listdir(work / "merged" / "d")

    assert layers.as_root(body) == (["d", "keep", "keep2"], ["new"])


def test_an_archive_goes_over_a_tree(work):
    base = evil_tars.directory(b"real", mode=0o2775) + evil_tars.symlink(b"app", b"/real")
    base += evil_tars.file(b"real/old", b"old") + evil_tars.file(b"real/same", b"before")
    layers.unpack(base, work / "root")
    archive = evil_tars.directory(b"./") + evil_tars.file(b"same", b"after")
    archive += evil_tars.file(b"bin/tool", b"tool") + evil_tars.file(b".wh.old", b"plain")
    archive += evil_tars.hardlink(b"again", b"bin/tool") + evil_tars.symlink(b"l", b"../real/old")
    archive += evil_tars.file(b"l", b"not through the link")
    layers.unpack(archive, work / "root", whiteouts=False, into=b"/app/")
    found = layers.listing(work / "root")
    assert {path: node.content for path, node in found.items()} == {
        b"app": b"-> /real",
        b"real": None,
        b"real/.wh.old": b"plain",
        b"real/again": b"tool",
        b"real/bin": None,
        b"real/bin/tool": b"tool",
        b"real/l": b"not through the link",
        b"real/old": b"old",
        b"real/same": b"after",
    }
    assert found[b"real"].mode == 0o2775
    assert {found[b"real/" + name].gid for name in (b"same", b"bin/tool", b"old")} == {0}


@pytest.mark.needs("shared", "subids")
def test_real_layers_of_all_compressions_give_one_tree(work):
    """The same image saved plain, as gzip, eStargz (many gzip members) and zstd."""
    trees = []
    for path in sorted((machine.SHARED / "archives" / "dive").glob("test-oci-*.tar")):
        with tarfile.open(path) as archive:
            for number, content in enumerate(_layers(archive)):
                read = codecs.decompress(io.BytesIO(content).read)
                plain = b"".join(iter(lambda read=read: read(1 << 20), b""))
                layers.unpack(plain, work / f"{path.stem}-{number}")
                found = layers.listing(work / f"{path.stem}-{number}")
                trees.append({p: n for p, n in found.items() if b"stargz" not in p})
    assert len(trees) >= 4
    kinds = {frozenset((p, n.content, n.mode, n.uid, n.gid) for p, n in t.items()) for t in trees}
    assert len(kinds) * 4 == len(trees)


def _layers(archive):
    def blob(descriptor):
        member = archive.extractfile("blobs/" + descriptor["digest"].replace(":", "/"))
        return member.read()

    described = json.load(archive.extractfile("index.json"))["manifests"][0]
    while "layers" not in (described := json.loads(blob(described))):
        described = described["manifests"][0]
    return [blob(layer) for layer in described["layers"]]


@pytest.mark.needs("tar")
@pytest.mark.parametrize("form", ["gnu", "pax", "ustar"])
def test_gnu_tar_and_we_unpack_the_same(work, form):
    source = work / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "file").write_bytes(os.urandom(100_000))
    os.link(source / "deep" / "er" / "file", source / "link")
    os.symlink("deep/er", source / "symlink")
    if form != "ustar":
        (source / "deep" / ("é" * 90)).write_text("long")
        (source / ("d" * 200)).mkdir()
        os.symlink("t" * 300, source / "long-link")
    (source / "link").chmod(0o641)
    content = subprocess.run(
        ["tar", f"--format={form}", "--owner=0", "--group=0", "-C", source, "-c", "."],
        check=True,
        capture_output=True,
    ).stdout
    layers.unpack(content, work / "ours")
    (work / "theirs").mkdir()
    layers.as_root(
        lambda: subprocess.run(
            ["tar", "-C", work / "theirs", "-xp", "--delay-directory-restore"],
            input=content,
            check=True,
        )
    )
    assert layers.listing(work / "ours") == layers.listing(work / "theirs")


@pytest.mark.needs("tar")
def test_gnu_tar_reads_what_we_write(tree, work):
    listed = subprocess.run(
        ["tar", "--numeric-owner", "--xattrs", "-tvf", "-"],
        input=layers.write(tree),
        check=True,
        capture_output=True,
    )
    assert listed.stderr == b""
    assert b"-rwsr-xr-x  33/1000  " in listed.stdout
    assert b" 1,3 2023-11-14 22:13 null" in listed.stdout


@pytest.mark.needs("umoci")
def test_umoci_unpacks_what_we_write(tree, work, tmp_path):
    """Our layer as the only one of an image; umoci makes the same owners, modes and content."""
    import hashlib

    layer = layers.write(tree)
    blobs = work / "layout" / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content, kind):
        name = hashlib.sha256(content).hexdigest()
        (blobs / name).write_bytes(content)
        return {
            "mediaType": f"application/vnd.oci.image.{kind}",
            "digest": f"sha256:{name}",
            "size": len(content),
        }

    described = put(layer, "layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [described["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": [described],
    }
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    (work / "layout" / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    index = {"schemaVersion": 2, "manifests": [entry]}
    (work / "layout" / "index.json").write_text(json.dumps(index))

    command = ["umoci", "raw", "unpack", "--image", f"{work}/layout:x", f"{work}/theirs"]
    answer = layers.as_root(
        lambda: subprocess.run(
            [*command[:3], *(["--rootless"] if os.geteuid() else []), *command[3:]],
            check=False,
            capture_output=True,
            text=True,
        )
    )
    assert answer.returncode == 0, answer.stderr
    theirs = layers.listing(work / "theirs")
    ours = layers.listing(tree)
    del ours[b"d/gone"], ours[b"null"]
    theirs.pop(b"null", None)
    assert theirs.keys() == ours.keys()
    for path, node in ours.items():
        assert (path, theirs[path][:5]) == (path, node[:5])


@pytest.mark.needs("subids")
def test_capabilities_survive_a_change_of_owner(work):
    """chown(2) takes them away: they must be set after it."""
    attribute = evil_tars.xattr(b"security.capability", CAPABILITY)
    content = attribute + evil_tars.file(b"ping", uid=7, gid=8, mode=0o4755) + evil_tars.END
    layers.unpack(content, work / "layer")
    node = layers.listing(work / "layer")[b"ping"]
    assert (node.uid, node.gid, node.mode) == (7, 8, 0o4755)
    assert "security.capability" in node.xattrs
    with tarfile.open(fileobj=io.BytesIO(layers.write(work / "layer"))) as archive:
        headers = archive.getmember("ping").pax_headers
    again = headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape")
    assert again == CAPABILITY


@pytest.mark.needs("subids")
@pytest.mark.parametrize(
    ("mode", "owner", "attributes"),
    [
        (0o1777, (0, 0), {}),
        (0o755, (0, 7), {}),
        (0o755, (7, 0), {}),
        (0o755, (0, 0), {"user.a": b"b"}),
    ],
)
def test_the_root_of_a_layer_has_an_entry_where_it_is_special(work, mode, owner, attributes):
    def make():
        os.umask(0)
        (work / "layer").mkdir()
        os.chown(work / "layer", *owner)
        (work / "layer").chmod(mode)
        for name, value in attributes.items():
            os.setxattr(work / "layer", name, value)

    layers.as_root(make)
    written = layers.write(work / "layer")
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        (member,) = archive.getmembers()
        assert (member.name, member.isdir(), member.mode) == (".", True, mode)
        assert (member.uid, member.gid) == owner
    layers.unpack(written, work / "again")
    assert layers.write(work / "again") == written


def test_a_plain_root_has_no_entry(work):
    layers.unpack(evil_tars.directory(b"./") + evil_tars.END, work / "layer")
    with tarfile.open(fileobj=io.BytesIO(layers.write(work / "layer"))) as archive:
        assert archive.getmembers() == []
