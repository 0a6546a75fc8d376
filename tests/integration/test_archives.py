"""Archives: odd and hostile ones come in or are refused; other tools read what we write."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from rootless import linux, process
from rootless.errors import IntegrityError, RootlessError
from rootless.image import archives, imports
from rootless.image import save as saving
from rootless.oci import manifest as manifests
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import Store, images, layers, removal, staging
from rootless.store.check import check
from tests.support import machine
from tests.support.child import in_child, remove_tree
from tests.support.images import layer, write_layout

pytestmark = [
    pytest.mark.needs("userns"),
    pytest.mark.skipif(os.geteuid() == 0, reason="stores belong to ordinary users"),
]

ARCHIVES = machine.SHARED / "archives"
GOOGLE = "go-containerregistry/pkg/v1"
PODMAN = "podman/test/e2e/testdata"

# archive → image id and names of each image in it
WHOLE = {
    "dive/test-oci-estargz-image.tar": ["5c153971f5fe"],
    "dive/test-oci-gzip-image.tar": ["3eaccc100f86"],
    "dive/test-oci-uncompressed-image.tar": ["3eaccc100f86"],
    "dive/test-oci-zstd-image.tar": ["3eaccc100f86"],
    f"{GOOGLE}/mutate/testdata/overwritten_file.tar": [
        "68f6eb746cdb bazel/pkg/v1/mutate:overwritten_file"
    ],
    f"{GOOGLE}/mutate/testdata/whiteout_dir.tar": ["92f1e3d53acd localhost:5000/whiteout:latest"],
    f"{GOOGLE}/mutate/testdata/whiteout_image.tar": [
        "decb630649c3 bazel/pkg/v1/mutate:whiteout_image"
    ],
    f"{GOOGLE}/tarball/testdata/hello-world-v25.tar": ["ee301c921b8a"],
    f"{GOOGLE}/tarball/testdata/test_bundle.tar": [
        "930705ce23e3 test_image_2:latest",
        "6e0b05049ed9 test_image_1:latest",
    ],
    f"{GOOGLE}/tarball/testdata/test_link.tar": [
        "6e0b05049ed9 bazel/v1/tarball:test_image_1",
        "d4c9adacde69 bazel/v1/tarball:test_image_3",
    ],
    f"{PODMAN}/docker-name-only.tar.xz": ["ec9293436c2e pretty-empty:latest"],
    f"{PODMAN}/docker-registry-name.tar.xz": ["ec9293436c2e example.com/empty:latest"],
    f"{PODMAN}/docker-two-images.tar.xz": [
        "ec9293436c2e example.com/empty:latest",
        "5a7ef13e1893 example.com/empty/but:different",
    ],
    f"{PODMAN}/docker-two-names.tar.xz": [
        "ec9293436c2e pretty-empty:latest example.com/empty:latest"
    ],
    f"{PODMAN}/docker-unnamed.tar.xz": ["ec9293436c2e"],
    f"{PODMAN}/oci-name-only.tar.gz": ["5c8aca8137ac pretty-empty:latest"],
    f"{PODMAN}/oci-non-docker-name.tar.gz": ["5c8aca8137ac"],
    f"{PODMAN}/oci-registry-name.tar.gz": ["5c8aca8137ac example.com/empty:latest"],
    f"{PODMAN}/oci-unnamed.tar.gz": ["5c8aca8137ac"],
}
REFUSED = {
    "dive/test-gzip-image.tar": "holds no image",
    f"{GOOGLE}/tarball/testdata/content.tar": "holds no image",
    f"{GOOGLE}/tarball/testdata/no_manifest.tar": "holds no image",
    f"{GOOGLE}/tarball/testdata/null_manifest.tar": "not a list of images",
}


@pytest.fixture
def store(tmp_path):
    yield Store(str(tmp_path / "store"))
    remove_tree(tmp_path / "store")


def load(store, path):
    with open(path, "rb", buffering=0) as file:
        return archives.load(store, file.read)


def import_file(store, path, name):
    with open(path, "rb", buffering=0) as file:
        return imports.import_tar(
            store, file.read, Reference.parse(name), created="2020-01-02T03:04:05Z"
        )


def save(store, names, path, form="docker-archive"):
    with open(path, "wb") as file:
        saving.save(store, names, file.write, form)


def listed(image):
    return " ".join([image.id.short, *(one.familiar for one in image.references)])


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", WHOLE)
def test_archives_of_every_age_load(store, name):
    def body():
        loaded = load(store, ARCHIVES / name)
        for image in loaded:
            for one in images.layers_of(store, image):
                assert layers.measure(one.path)
        assert check(store) == ()
        return [listed(image) for image in loaded]

    assert in_child(body) == WHOLE[name]


@pytest.mark.needs("shared")
@pytest.mark.parametrize("name", REFUSED)
def test_archives_that_hold_no_image(store, name):
    with pytest.raises(IntegrityError, match=REFUSED[name]):
        in_child(lambda: load(store, ARCHIVES / name))


def test_an_image_is_loaded_by_the_names_it_has_in_the_archive(store, tmp_path):
    """Not by those it has already: they are not what was loaded."""
    (tmp_path / "root.tar").write_bytes(layer({"f": b"x"}))
    archive = tmp_path / "saved.tar"

    def body():
        image = import_file(store, tmp_path / "root.tar", "here:1")
        save(store, ["here:1"], archive)
        images.tag(store, Reference.parse("also:2"), image.descriptor)
        (named,) = load(store, archive)
        save(store, [str(image.id)], archive)
        (unnamed,) = load(store, archive)
        return [one.familiar for one in named.references], unnamed.references

    assert in_child(body) == (["here:1"], ())


# hostile archives: a good OCI archive with one thing changed


def pack(members):
    """A tar of name → bytes (file), str (symlink) or TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


@pytest.fixture
def members(tmp_path):
    """A good archive's members: one layer, one file."""
    layout = write_layout(tmp_path / "layout", "docker.io/library/x:1", [layer({"file": b"text"})])
    files = [path for path in layout.layout.rglob("*") if path.is_file()]
    return {str(path.relative_to(layout.layout)): path.read_bytes() for path in files}


def edit(members, name, change):
    document = json.loads(members[name])
    change(document)
    members[name] = json.dumps(document).encode()


def as_docker(members):
    """The same with only docker's manifest.json to go by; that document's only image."""
    members.pop("index.json")
    return json.loads(members["manifest.json"])[0]


def wrong_blob(members):
    name = max((n for n in members if n.startswith("blobs/")), key=lambda n: len(members[n]))
    members[name] = members[name][:-1] + b"?"


def missing_blob(members):
    del members[as_docker(members)["Layers"][0]]


def wrong_size(members):
    edit(members, "index.json", lambda index: index["manifests"][0].update(size=1))


def config_outside(members):
    image = as_docker(members)
    members["manifest.json"] = json.dumps([{**image, "Config": "../../../../etc/passwd"}]).encode()


def linked_layer_outside(members):
    image = as_docker(members)
    members["evil/layer.tar"] = "../../../../../../../etc/passwd"
    members["manifest.json"] = json.dumps([{**image, "Layers": ["evil/layer.tar"]}]).encode()


def link_loop(members):
    image = as_docker(members)
    members |= {"a": "b", "b": "a"}
    members["manifest.json"] = json.dumps([{**image, "Layers": ["a"]}]).encode()


def climbing_member(members):
    members["../../../../tmp/evil"] = b"evil"


def fewer_layers(members):
    image = as_docker(members)
    members["manifest.json"] = json.dumps([{**image, "Layers": []}]).encode()


def other_layer(members):
    image = as_docker(members)
    members["layer.tar"] = layer({"file": b"evil"})
    members["manifest.json"] = json.dumps([{**image, "Layers": ["layer.tar"]}]).encode()


def bad_name(members):
    image = as_docker(members)
    members["manifest.json"] = json.dumps([{**image, "RepoTags": ["../../x:1"]}]).encode()


def not_json(members):
    members["index.json"] = b"{" * 100_000


def blob_with_a_bad_digest(members):
    members["blobs/sha256/" + "g" * 64] = b"{}"


def odd_types(members):
    as_docker(members)
    members["manifest.json"] = b'[{"Config": {}, "Layers": 5}]'


FAULTS = [
    *(wrong_blob, missing_blob, wrong_size, config_outside, linked_layer_outside, link_loop),
    *(climbing_member, fewer_layers, other_layer, bad_name, not_json, blob_with_a_bad_digest),
    odd_types,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_hostile_archive_is_refused_and_changes_nothing(store, members, tmp_path, fault):
    good = tmp_path / "good.tar"
    good.write_bytes(pack(members))
    fault(members)
    evil = tmp_path / "evil.tar"
    evil.write_bytes(pack(members))

    def body():
        with pytest.raises(RootlessError) as caught:
            load(store, evil)
        assert images.listing(store) == ()
        assert os.listdir(store.path("tmp")) == []
        load(store, good)
        removal.prune(store)
        assert check(store) == ()
        return str(caught.value)

    assert in_child(body)
    assert not Path("/tmp/evil").exists()


def test_layer_that_is_there_already_must_be_brought_all_the_same(store, members, tmp_path):
    """Else an archive could have any layer by knowing its diff_id."""
    (tmp_path / "good.tar").write_bytes(pack(members))
    other_layer(members)
    (tmp_path / "evil.tar").write_bytes(pack(members))

    def body():
        load(store, tmp_path / "good.tar")
        load(store, tmp_path / "evil.tar")

    with pytest.raises(IntegrityError, match="other contents"):
        in_child(body)


@pytest.mark.parametrize("length", [0, 100, 512, 1000, 2048])
def test_truncated_archive(store, members, tmp_path, length):
    (tmp_path / "cut.tar").write_bytes(pack(members)[:length])
    with pytest.raises(RootlessError):
        in_child(lambda: load(store, tmp_path / "cut.tar"))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_compressed_archive_from_a_pipe(store, members, compress):
    read_fd, write_fd = os.pipe()
    if os.fork() == 0:
        os.close(read_fd)
        with open(write_fd, "wb") as pipe:
            pipe.write(compress(pack(members)))
        os._exit(0)
    os.close(write_fd)
    with open(read_fd, "rb", buffering=0) as pipe:
        loaded = in_child(lambda: [listed(image) for image in archives.load(store, pipe.read)])
    os.wait()
    assert [text.split()[1] for text in loaded] == ["x:1"]


# what we write


@pytest.fixture
def rootfs(tmp_path):
    """A root filesystem's tar with owners, modes and links that are easy to lose."""
    path = tmp_path / "rootfs.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, mode, uid in (
            *(("./", 0o755, 0), ("bin/", 0o755, 0), ("home/", 0o750, 1000), ("tmp/", 0o1777, 0)),
            *(("bin/su", 0o4755, 0), ("home/secret", 0o600, 1000), ("home/" + "n" * 150, 0o644, 7)),
        ):
            info = tarfile.TarInfo(name.rstrip("/"))
            info.mode, info.uid, info.gid, info.mtime = mode, uid, uid + 1, 1_600_000_000
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = 0 if info.isdir() else 5
            archive.addfile(info, io.BytesIO(b"bytes"))
        for kind, name, target in (
            (tarfile.LNKTYPE, "bin/su2", "bin/su"),
            (tarfile.SYMTYPE, "bin/sh", "/bin/su"),
            (tarfile.FIFOTYPE, "tmp/fifo", ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mtime = kind, target, 1_600_000_000
            archive.addfile(info)
    return path


def tree(folder):
    """Every path below: type, mode, owners, size, target, mtime, number of links."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            status = os.lstat(path)
            found[os.path.relpath(path, folder)] = (
                *(oct(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime)),
                (status.st_size, status.st_nlink) if not os.path.isdir(path) else None,
                os.readlink(path) if os.path.islink(path) else None,
            )
    return found


def run(*command):
    answer = subprocess.run(list(map(str, command)), check=False, capture_output=True)
    assert answer.returncode == 0, answer.stderr.decode(errors="replace")
    return answer.stdout


CUT = layer({"etc/": b"", "etc/os": b"one"})[:1536]  # two headers and a file, no blocks of zeros


@pytest.mark.parametrize("packed", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(("content", "files"), [(b"", []), (CUT, ["etc"])], ids=["empty", "cut"])
def test_a_layer_may_end_before_a_tar_does(store, tmp_path, content, files, packed):
    """An empty file is a layer without files; the zeros at a tar's end are often left out."""
    config = {
        "architecture": Platform.host().architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(content))]},
    }
    manifest = [{"Config": "config", "RepoTags": ["end:1"], "Layers": ["layer.tar"]}]
    members = {"config": config, "manifest.json": manifest}
    members = {name: json.dumps(value).encode() for name, value in members.items()}
    archive = tmp_path / "end.tar"
    archive.write_bytes(pack({**members, "layer.tar": packed(content)}))

    def body():
        [loaded] = load(store, archive)
        return [sorted(os.listdir(one.path)) for one in images.layers_of(store, loaded)]

    assert in_child(body) == [files]


@pytest.mark.needs("subids")
def test_imported_filesystem_is_that_of_gnu_tar(store, rootfs, tmp_path):
    def body():
        image = import_file(store, rootfs, "base:1")
        (one,) = images.layers_of(store, image)
        with staging.Staging(store, ("tar",)) as staged:
            run("tar", "-C", f"{staged.path}/tar", "--delay-directory-restore", "-xpf", rootfs)
            assert tree(one.path) == tree(f"{staged.path}/tar")
            assert layers.measure(one.path) == layers.measure(f"{staged.path}/tar")
        return listed(image), image.created

    name, created = in_child(body)
    assert name.endswith(" base:1")
    assert created == "2020-01-02T03:04:05Z"


@pytest.mark.needs("subids")
@pytest.mark.parametrize("form", [saving.DOCKER_ARCHIVE, saving.OCI_ARCHIVE])
def test_saved_and_loaded_image_is_the_same(store, rootfs, tmp_path, form):
    other = Store(str(tmp_path / "other"))

    def body():
        image = import_file(store, rootfs, "base:1")
        save(store, ["base:1"], tmp_path / "one.tar", form)
        (again,) = load(other, tmp_path / "one.tar")
        assert again == image
        assert [tree(one.path) for one in images.layers_of(other, again)] == [
            tree(one.path) for one in images.layers_of(store, image)
        ]
        save(other, ["base:1"], tmp_path / "two.tar", form)

    in_child(body)
    remove_tree(tmp_path / "other")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


@pytest.mark.needs("subids", "umoci")
def test_umoci_unpacks_what_we_save(store, rootfs, tmp_path):
    def body():
        image = import_file(store, rootfs, "base:1")
        save(store, ["base:1"], tmp_path / "saved.tar", saving.OCI_ARCHIVE)
        (one,) = images.layers_of(store, image)
        with staging.Staging(store, ("layout",)) as staged:
            run("tar", "-C", f"{staged.path}/layout", "-xf", tmp_path / "saved.tar")
            name = f"{staged.path}/layout:docker.io/library/base:1"
            run("umoci", "raw", "unpack", "--image", name, f"{staged.path}/umoci")
            assert tree(f"{staged.path}/umoci") == tree(one.path)

    in_child(body)


@pytest.mark.needs("subids", "skopeo")
def test_skopeo_reads_the_archive_in_both_forms(store, rootfs, tmp_path):
    def body():
        image = import_file(store, rootfs, "base:1")
        save(store, ["base:1"], tmp_path / "saved.tar")
        return image.id, image.descriptor.digest, str(image.config.diff_ids[0])

    image_id, digest, diff_id = in_child(body)
    for name in (
        f"oci-archive:{tmp_path}/saved.tar:docker.io/library/base:1",
        f"docker-archive:{tmp_path}/saved.tar:base:1",
    ):
        assert json.loads(run("skopeo", "inspect", name))["Layers"] == [diff_id]
        assert Digest.of(run("skopeo", "inspect", "--config", "--raw", name)) == image_id
    raw = run("skopeo", "inspect", "--raw", f"oci-archive:{tmp_path}/saved.tar")
    assert Digest.of(raw) == digest


@pytest.mark.needs("skopeo", "subids")
def test_skopeo_reads_and_writes_the_store_as_a_layout(store, members, tmp_path):
    (tmp_path / "good.tar").write_bytes(pack(members))
    loaded = in_child(lambda: listed(load(store, tmp_path / "good.tar")[0]))
    name = f"oci:{store.root}:docker.io/library/x:1"
    assert Digest.of(run("skopeo", "inspect", "--config", "--raw", name)).short in loaded
    run("skopeo", "copy", name, f"docker-archive:{tmp_path}/copied.tar:x:1")
    other = Store(str(tmp_path / "other"))
    assert in_child(lambda: listed(load(other, tmp_path / "copied.tar")[0])).endswith(" x:1")
    remove_tree(tmp_path / "other")


@pytest.mark.needs("subids", "podman")
def test_podman_loads_what_we_save(store, rootfs, tmp_path):
    def body():
        image = import_file(store, rootfs, "base:1")
        save(store, ["base:1"], tmp_path / "saved.tar")
        (one,) = images.layers_of(store, image)
        return image.id.hex, tree(one.path)

    image_id, expected = in_child(body)
    uid = str(os.getuid())  # it names podman's locks in /dev/shm
    short = tempfile.mkdtemp()  # podman's runroot may not be longer than 50 characters
    podman = ["podman", "--root", tmp_path / "p", "--runroot", short]
    podman += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]

    def load_and_save():
        """In our namespace, where podman needs none of its own, nor a process to keep it."""
        os.environ |= {"_CONTAINERS_USERNS_CONFIGURED": "init", "_CONTAINERS_ROOTLESS_UID": uid}
        os.environ |= {"HOME": short, "XDG_RUNTIME_DIR": short}
        run(*podman, "load", "-i", tmp_path / "saved.tar")
        shown = run(*podman, "images", "-q", "--no-trunc").decode().strip()
        run(*podman, "save", "-o", tmp_path / "again.tar", "docker.io/library/base:1")
        return shown

    try:
        assert in_child(load_and_save) == f"sha256:{image_id}"
    finally:
        remove_tree(tmp_path / "p")
        remove_tree(short)
    other = Store(str(tmp_path / "other"))

    def again():
        (image,) = load(other, tmp_path / "again.tar")
        (one,) = images.layers_of(other, image)
        return image.id.hex, tree(one.path)

    assert in_child(again) == (image_id, expected)
    remove_tree(tmp_path / "other")


# archives of several platforms


HOST = Platform.host().architecture
OTHER, THIRD = [one for one in ("arm64", "riscv64", "s390x") if one != HOST][:2]
PLATFORMS = (HOST, OTHER, THIRD)


def blob_of(members, content, kind, **more):
    digest = hashlib.sha256(content).hexdigest()
    members[f"blobs/sha256/{digest}"] = content
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": f"sha256:{digest}",
        "size": len(content),
        **more,
    }


def image_for(members, architecture, *, brought=True):
    """The entry of an image whose one layer says what it is for; without `brought`, a claim."""
    tar = layer({"for": architecture.encode()})
    config = {
        "architecture": architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
    }
    blobs = members if brought else {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob_of(blobs, json.dumps(config).encode(), "config.v1+json"),
        "layers": [blob_of(blobs, gzip.compress(tar, mtime=0), "layer.v1.tar+gzip")],
    }
    platform = {"architecture": architecture, "os": "linux"}
    return blob_of(blobs, json.dumps(manifest).encode(), "manifest.v1+json", platform=platform)


def archive_of_platforms(*architectures, missing=(), claimed=()):
    """An OCI archive whose one name, many:1, stands for an index."""
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    entries = [image_for(members, one) for one in architectures]
    entries += [image_for(members, one, brought=False) for one in (*missing, *claimed)]
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    }
    names = {"org.opencontainers.image.ref.name": "docker.io/library/many:1"}
    top = blob_of(members, json.dumps(index).encode(), "index.v1+json", annotations=names)
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    return members, top["digest"]


def first_file(store, image):
    (one,) = images.layers_of(store, image)
    return Path(one.path, "for").read_text()


def test_a_name_for_many_platforms_is_loaded_with_all_that_the_archive_has(store, tmp_path):
    members, digest = archive_of_platforms(*PLATFORMS, missing=["mips"])
    (tmp_path / "many.tar").write_bytes(pack(members))

    def body():
        (image,) = load(store, tmp_path / "many.tar")
        assert [one.familiar for one in image.references] == ["many:1"]
        assert str(image.descriptor.digest) == digest
        assert image.config.platform == Platform.host()
        removal.prune(store)
        assert check(store) == ()
        return [
            first_file(store, images.resolve(store, "many:1", Platform("linux", one)))
            for one in PLATFORMS
        ]

    assert in_child(body) == list(PLATFORMS)


def test_an_index_cannot_claim_an_image_of_the_store(store, tmp_path):
    """Then its name is that of the image that was brought, alone."""
    members, _ = archive_of_platforms(THIRD)
    (tmp_path / "own.tar").write_bytes(pack(members).replace(b"many:1", b"mine:1"))
    members, digest = archive_of_platforms(HOST, claimed=[THIRD])
    (tmp_path / "evil.tar").write_bytes(pack(members))

    def body():
        load(store, tmp_path / "own.tar")
        (image,) = load(store, tmp_path / "evil.tar")
        assert str(image.descriptor.digest) != digest
        return first_file(store, images.resolve(store, "many:1", Platform("linux", THIRD)))

    assert in_child(body) == HOST


def test_an_image_of_an_index_that_lacks_a_layer_is_not_kept(store, tmp_path):
    members, digest = archive_of_platforms(HOST)
    whole = set(members)
    members, digest = archive_of_platforms(HOST, OTHER)
    biggest = max(set(members) - whole, key=lambda name: b"\x1f\x8b" in members[name][:2])
    del members[biggest]
    (tmp_path / "many.tar").write_bytes(pack(members))

    def body():
        (image,) = load(store, tmp_path / "many.tar")
        assert str(image.descriptor.digest) != digest
        assert check(store) == ()
        return first_file(store, image)

    assert in_child(body) == HOST


@pytest.mark.needs("skopeo")
def test_skopeo_and_we_agree_on_an_index(store, tmp_path):
    """Loaded, saved, copied with --all by skopeo and loaded again, it is the same."""
    members, digest = archive_of_platforms(*PLATFORMS)
    (tmp_path / "many.tar").write_bytes(pack(members))
    saved, copied = tmp_path / "saved.tar", tmp_path / "copied.tar"

    def body():
        load(store, tmp_path / "many.tar")
        save(store, ["many:1"], saved, "oci-archive")
        name = "docker.io/library/many:1"
        raw = skopeo("inspect", "--raw", f"oci-archive:{saved}:{name}")
        assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == digest
        skopeo("copy", "--all", f"oci-archive:{saved}:{name}", f"oci-archive:{copied}:{name}")
        removal.remove(store, ["many:1"])
        (image,) = load(store, copied)
        assert str(image.descriptor.digest) == digest
        return first_file(store, images.resolve(store, "many:1", Platform("linux", THIRD)))

    assert in_child(body) == THIRD


def attestation(members, subject):
    """The entry that BuildKit puts beside an image: its layers are documents, its platform none."""
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1","predicate":{}}'
    config = {"architecture": "unknown", "os": "unknown", "config": {}}
    document = blob_of(members, statement, "x")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob_of(members, json.dumps(config).encode(), "config.v1+json"),
        "layers": [{**document, "mediaType": "application/vnd.in-toto+json"}],
    }
    about = {
        "vnd.docker.reference.digest": subject["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    }
    platform = {"architecture": "unknown", "os": "unknown"}
    content = json.dumps(manifest).encode()
    return blob_of(members, content, "manifest.v1+json", platform=platform, annotations=about)


@pytest.mark.needs("skopeo")
def test_what_is_attested_about_an_image_is_left_behind(store, tmp_path):
    """As docker's classic store does; the index keeps its digest, and what it lists is no image."""
    members, _ = archive_of_platforms(HOST)
    index = json.loads(members["index.json"])
    old = f"blobs/{index['manifests'][0]['digest'].replace(':', '/')}"
    listed = json.loads(members.pop(old))
    listed["manifests"].append(attestation(members, listed["manifests"][0]))
    names = {"org.opencontainers.image.ref.name": "docker.io/library/many:1"}
    top = blob_of(members, json.dumps(listed).encode(), "index.v1+json", annotations=names)
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    (tmp_path / "attested.tar").write_bytes(pack(members))
    saved = tmp_path / "saved.tar"

    def body():
        for archive in (tmp_path / "attested.tar", tmp_path / "attested.tar", saved):
            (image,) = load(store, archive)
            assert str(image.descriptor.digest) == top["digest"]
            assert image.config.platform == Platform.host()
            assert first_file(store, image) == HOST
            save(store, ["many:1"], saved)
        name = "docker.io/library/many:1"
        for source in (f"oci-archive:{saved}:{name}", f"docker-archive:{saved}"):
            copied = tmp_path / source.partition(":")[0]
            skopeo("copy", source, f"dir:{copied}")
            assert len(json.loads((copied / "manifest.json").read_bytes())["layers"]) == 1
        removal.prune(store)
        assert check(store) == ()
        with tarfile.open(saved) as tar:
            kept = sum(name.startswith("blobs/sha256/") for name in tar.getnames())
        store.let_go()
        removal.remove(store, ["many:1"])
        left = len(os.listdir(store.path("blobs/sha256")))
        return kept, left

    assert in_child(body) == (4, 0)  # index, manifest, config, layer


def skopeo(*words):
    return subprocess.run(["skopeo", *words], check=True, capture_output=True).stdout


# archives of many layers and many entries


def test_many_layers_are_unpacked_by_few_processes_and_few_waits_for_the_disk(store, tmp_path):
    name = "docker.io/library/many:1"
    tars = [layer({f"f{number}": b"%d" % number}) for number in range(150)]
    write_layout(tmp_path / "layout", name, tars).archive(tmp_path / "many.tar")
    calls = {"fork": 0, "syncfs": 0, "fsync": 0}

    def counted(kind, real):
        def call(*given, **named):
            calls[kind] += 1
            return real(*given, **named)

        return call

    def body():
        process.fork = counted("fork", process.fork)
        linux.syncfs = counted("syncfs", linux.syncfs)
        os.fsync = counted("fsync", os.fsync)
        (image,) = load(store, tmp_path / "many.tar")
        assert check(store) == ()
        assert len(images.layers_of(store, image)) == 150
        return [calls["fork"] <= 4, calls["syncfs"] <= 8, calls["fsync"] <= 16]

    assert in_child(body) == [True, True, True]


def test_a_wrong_layer_among_many_leaves_nothing(store, tmp_path):
    tars = [layer({f"f{number}": b"%d" % number}) for number in range(100)]
    claimed = [*tars[:90], layer({"other": b""}), *tars[91:]]
    layout = write_layout(tmp_path / "layout", "docker.io/library/many:1", tars, claimed=claimed)
    layout.archive(tmp_path / "many.tar")

    def body():
        with pytest.raises(IntegrityError, match="other contents"):
            load(store, tmp_path / "many.tar")
        return [os.listdir(store.path(name)) for name in ("layers", "blobs/sha256", "tmp")]

    assert in_child(body) == [[], [], []]


def test_an_index_that_is_listed_many_times_is_decoded_once(store, tmp_path):
    members, digest = archive_of_platforms(*PLATFORMS)
    listing = json.loads(members["index.json"])
    (entry,) = listing["manifests"]
    listing["manifests"] = [entry] * 500
    members["index.json"] = json.dumps(listing).encode()
    (tmp_path / "many.tar").write_bytes(pack(members))

    def body():
        decode, decoded = manifests.decode, []

        def counted(content, media_type=""):
            decoded.append(media_type)
            return decode(content, media_type)

        manifests.decode = counted
        loaded = load(store, tmp_path / "many.tar")
        assert {str(image.descriptor.digest) for image in loaded} == {digest}
        return [len(loaded), len(decoded) < 20]

    assert in_child(body) == [500, True]
