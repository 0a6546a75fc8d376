"""`build -o` and its like: what comes out, where, whose it is, and what others make of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import subprocess
import tarfile
import threading
import time

import pytest

from tests.support.images import layer, write_layout
from tests.support.taking import Taking

pytestmark = pytest.mark.needs("userns", "overlay")

TIME = 1_000_000_000
DOCKERFILE = 'FROM base\nCOPY a /a\nCOPY --chown=5:6 d /d/\nCMD ["/a"]\n'


@pytest.fixture
def store(rootless, tmp_path):
    """A store with `base`, which has one file; files that are written stay in tmp_path."""
    base = write_layout(tmp_path / "base", "docker.io/library/base:latest", [layer({"b": b"base"})])
    rootless.load(base, tmp_path)
    return rootless


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "a").write_text("hi\n")
    (folder / "d" / "e" / "f").write_text("x\n")
    (folder / "d" / "e" / "l").symlink_to("f")
    (folder / "d" / "e" / "f").chmod(0o640)
    for path in ("a", "d/e/f", "d/e", "d"):
        os.utime(folder / path, (TIME, TIME))
    return folder


def tree(folder):
    """Path → kind, permissions, content or target, of all below a folder; and its owners."""
    found, owners = {}, set()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        owners.add((status.st_uid, status.st_gid))
        is_link, is_file = path.is_symlink(), stat.S_ISREG(status.st_mode)
        content = os.readlink(path) if is_link else path.read_bytes() if is_file else b""
        name = str(path.relative_to(folder))
        found[name] = (oct(status.st_mode & 0o7777) if not is_link else "", content)
    return found, owners


def names_in(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return set(tar.getnames())


FILES = {
    "a": ("0o644", b"hi\n"),
    "b": ("0o755", b"base"),
    "d": ("0o755", b""),
    "d/e": ("0o755", b""),
    "d/e/f": ("0o640", b"x\n"),
    "d/e/l": ("", "f"),
}


def blobs_of(archive):
    """The files of an archive, and its index.json."""
    with tarfile.open(archive) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}
    return files, json.loads(files["index.json"])


def member(files, descriptor):
    content = files["blobs/" + descriptor["digest"].replace(":", "/")]
    assert len(content) == descriptor["size"]
    assert "sha256:" + hashlib.sha256(content).hexdigest() == descriptor["digest"]
    return content


def test_a_folder_is_the_callers(store, context, tmp_path):
    out = tmp_path / "new" / "out"
    store.ok("build", "-o", out, context)
    found, owners = tree(out)
    assert found == FILES
    assert owners == {(os.getuid(), os.getgid())}
    assert (out / "d/e/f").stat().st_mtime == TIME
    assert os.listdir(out.parent) == ["out"]
    assert len(store.ok("images", "-q").split()) == 1, "an image that nobody asked for"


def test_a_relative_path_counts_from_where_one_is(store, context, tmp_path):
    """Also when steps were carried out, which go elsewhere meanwhile."""
    store.ok("build", "-o", "out", "--metadata-file", "m", context, cwd=tmp_path)
    store.ok("build", "-q", "--iidfile", "i", "-t", "x", "--no-cache", context, cwd=tmp_path)
    assert tree(tmp_path / "out")[0] == FILES
    assert (tmp_path / "m").read_text() == "{}"
    assert (tmp_path / "i").read_text().startswith("sha256:")


def test_a_folder_that_is_there_gets_the_files(store, context, tmp_path):
    """Whatever has their names gives way, no link is followed; the rest stays."""
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "e").write_text("untouched")
    for name in ("keep", "b/full"):
        (out / name).mkdir(parents=True)
    (out / "a").symlink_to(victim / "e")
    (out / "d").symlink_to(victim)
    (out / "keep" / "it").write_text("kept")
    for _ in range(2):
        store.ok("build", "-o", out, context)
        found, _ = tree(out)
        assert {name: item for name, item in found.items() if name in FILES} == FILES
        assert found.keys() - FILES.keys() == {"keep", "keep/it"}
    assert (victim / "e").read_text() == "untouched"
    assert os.listdir(victim) == ["e"]


def test_a_link_to_a_folder_is_that_folder(store, context, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    store.ok("build", "-o", tmp_path / "link", context)
    assert tree(tmp_path / "real")[0] == FILES
    assert (tmp_path / "link").is_symlink()


@pytest.mark.needs("busybox")
def test_what_only_root_could_have_is_left_out(store, busybox_image, tmp_path, context):
    store.load(busybox_image, tmp_path)
    node = tarfile.TarInfo("dev")
    node.type, node.devmajor, node.devminor = tarfile.CHRTYPE, 1, 3
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(node)
    name = "docker.io/library/base:latest"
    store.load(write_layout(tmp_path / "nodes", name, [content.getvalue()]), tmp_path)
    (context / "Dockerfile").write_text(
        "FROM busybox AS made\n"
        "RUN mkdir -p /o/ro && cd /o && echo s >suid && chmod 4755 suid && mkfifo fifo && "
        "echo h >h1 && ln h1 h2 && mkdir tmp && chmod 1777 tmp && "
        "echo z >none && chmod 0 none && echo r >ro/f && chmod 500 ro\n"
        "FROM base\nCOPY --from=made /o /\n"
    )
    out = tmp_path / "out"
    for _ in range(2):  # the second time over what nobody may write
        store.ok("build", "-o", out, context)
        modes = {one.name: stat.filemode(one.lstat().st_mode) for one in out.iterdir()}
        assert modes == {
            "fifo": "prw-r--r--",
            "h1": "-rw-r--r--",
            "h2": "-rw-r--r--",
            "none": "----------",
            "ro": "dr-x------",
            "suid": "-rwsr-xr-x",
            "tmp": "drwxrwxrwt",
        }
        assert (out / "h1").stat().st_ino == (out / "h2").stat().st_ino
    with tarfile.open(fileobj=io.BytesIO(in_a_pipe(store, "build", "-o", "-", context))) as tar:
        assert tar.getmember("dev").type == tarfile.CHRTYPE


def in_a_pipe(store, *words):
    """The bytes on standard output."""
    done = subprocess.run(
        store.command(*words), env=store.environment, capture_output=True, check=True
    )
    return done.stdout


def test_a_tar_has_the_owners_of_the_image(store, context, tmp_path):
    content = in_a_pipe(store, "build", "-o", "-", context)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        owners = {one.name: (one.uid, one.gid, one.mode) for one in tar}
    assert owners == {
        "a": (0, 0, 0o644),
        "b": (0, 0, 0o755),
        "d": (5, 6, 0o755),
        "d/e": (5, 6, 0o755),
        "d/e/f": (5, 6, 0o640),
        "d/e/l": (5, 6, 0o777),
    }
    (tmp_path / "link.tar").symlink_to("real.tar")
    store.ok("build", "-o", f"type=tar,dest={tmp_path}/link.tar", context)
    assert (tmp_path / "real.tar").read_bytes() == content
    assert (tmp_path / "link.tar").is_symlink()


def test_a_tar_into_a_fifo(store, context, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    read = []
    thread = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_bytes()))
    thread.start()
    store.ok("build", "-o", f"type=tar,dest={tmp_path}/fifo", context)
    thread.join()
    assert "d/e/f" in names_in(read[0])
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


@pytest.mark.parametrize(
    ("word", "media_type"),
    [
        ("", "application/vnd.oci.image.layer.v1.tar+gzip"),
        (",compression=zstd,compression-level=5", "application/vnd.oci.image.layer.v1.tar+zstd"),
        (",compression=uncompressed", "application/vnd.oci.image.layer.v1.tar"),
    ],
)
@pytest.mark.needs("skopeo")
def test_an_oci_archive_is_what_skopeo_reads(store, context, tmp_path, word, media_type):
    names = ["-t", "one:1", "-t", "two:2"]
    target = f"type=oci,dest={tmp_path}/x.tar{word}"
    store.ok("build", "-o", target, *names, "--metadata-file", tmp_path / "m", context)
    files, index = blobs_of(tmp_path / "x.tar")
    manifest = json.loads(member(files, index["manifests"][0]))
    assert [one["mediaType"] for one in manifest["layers"][1:]] == [media_type] * 2
    for one in manifest["layers"]:
        member(files, one)
    listed = [one["annotations"]["io.containerd.image.name"] for one in index["manifests"]]
    assert listed == ["docker.io/library/one:1", "docker.io/library/two:2"]
    told = json.loads((tmp_path / "m").read_text())
    assert told["containerimage.digest"] == index["manifests"][0]["digest"]
    assert told["containerimage.config.digest"] == manifest["config"]["digest"]
    assert told["image.name"] == ",".join(listed)
    copied = f"dir:{tmp_path}/copied"
    source = f"oci-archive:{tmp_path}/x.tar:docker.io/library/one:1"
    subprocess.run(["skopeo", "copy", "--insecure-policy", source, copied], check=True)
    assert len(store.ok("images", "-q").split()) == 1, "an archive names nothing in the store"


def test_an_archive_is_loaded_again(store, context, tmp_path):
    store.ok("build", "-o", f"type=docker,dest={tmp_path}/x.tar", "-t", "one:1", context)
    store.ok("build", "-q", "-t", "here", context)
    files, _ = blobs_of(tmp_path / "x.tar")
    (listed,) = json.loads(files["manifest.json"])
    assert listed["RepoTags"] == ["one:1"]
    store.ok("load", "-i", tmp_path / "x.tar")
    identity = store.ok("images", "-q", "--no-trunc", "one:1")
    assert identity == store.ok("images", "-q", "--no-trunc", "here")


@pytest.mark.needs("skopeo")
def test_a_layout_is_a_folder_of_many(store, context, tmp_path):
    for name in ("one:1", "two:2"):
        target = f"type=oci,dest={tmp_path}/layout,tar=false"
        store.ok("build", "-o", target, "-t", name, "--label", f"n={name}", context)
    for name, tag in (("one:1", "1"), ("two:2", "2")):
        command = ["skopeo", "inspect", "--config", f"oci:{tmp_path}/layout:{tag}"]
        config = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert config["config"]["Labels"] == {"n": name}


def test_several_outputs_of_one_build(store, context, tmp_path):
    words = ["-o", tmp_path / "d", "-o", f"type=tar,dest={tmp_path}/t", "--load", "-t", "x"]
    store.ok("build", *words, context)
    assert tree(tmp_path / "d")[0] == FILES
    assert set(FILES) <= names_in((tmp_path / "t").read_bytes())
    assert store.ok("images", "-q", "x")
    quiet = store("build", "-q", "-o", tmp_path / "d", context)
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_nothing_at_all_comes_out(store, context):
    before = store.ok("images", "-q")
    store.ok("build", "-o", "type=cacheonly", "-t", "x", context)
    assert store.ok("images", "-q") == before
    assert "#2 CACHED" in store("build", "-o", "type=cacheonly", context).stderr


def test_labels_and_annotations(store, context, tmp_path):
    (context / "Dockerfile").write_text("FROM base\nLABEL kept=1 gone=2\nCOPY a /\n")
    store.ok("build", "-t", "base", "-f", context / "Dockerfile", context)
    (context / "Dockerfile").write_text("FROM base\nCOPY a /x\n")
    words = ["--label", "new=3", "--label", "bare", "--unsetlabel", "gone"]
    words += ["--annotation", "a=b", "--annotation", "manifest-descriptor:e=f", "-t", "x"]
    store.ok("build", *words, "-o", f"type=oci,dest={tmp_path}/x.tar", "--load", context)
    labels = json.loads(store.ok("inspect", "-f", "{{json .Config.Labels}}", "x"))
    assert labels == {"kept": "1", "new": "3", "bare": ""}
    files, index = blobs_of(tmp_path / "x.tar")
    assert json.loads(member(files, index["manifests"][0]))["annotations"] == {"a": "b"}
    assert index["manifests"][0]["annotations"]["e"] == "f"
    refused = store("build", "--annotation", "index:a=b", context)
    assert refused.exit == 1
    assert "index annotations not supported for single platform" in refused.stderr


@pytest.mark.needs("shared")
def test_all_that_is_written_keeps_the_schemas(store, context, tmp_path):
    """Of an image and of a list, compressed in each way, with annotations, squashed or not."""
    pytest.importorskip("jsonschema")
    from tests.support.schemas import validator

    words = ["--annotation", "a=b", "--annotation", "manifest-descriptor:c=d", "-t", "x:1"]
    lists = ["--annotation", "index:e=f", "--platform", "linux/arm64,linux/s390x"]
    (context / "list").write_text("FROM scratch\nCOPY a /\nHEALTHCHECK CMD x\n")
    kinds = set()
    for number, more in enumerate(
        (
            [",compression=zstd", "--squash"],
            [",compression=uncompressed", "--label", "l=m"],
            ["", "-f", context / "list", *lists],
        )
    ):
        path = tmp_path / f"{number}.tar"
        store.ok("build", "-o", f"type=oci,dest={path}{more[0]}", *words, *more[1:], context)
        files, index = blobs_of(path)
        validator("image-index").validate(index)
        validator("image-layout").validate(json.loads(files["oci-layout"]))
        pending = list(index["manifests"])
        while pending:
            entry = pending.pop()
            found = json.loads(member(files, entry))
            kind = "image-index" if "manifests" in found else "image-manifest"
            kinds.add(kind)
            validator(kind).validate(found)
            pending += found.get("manifests", [])
            if "config" in found:
                validator("config").validate(json.loads(member(files, found["config"])))
    assert kinds == {"image-index", "image-manifest"}


def test_docker_media_types(store, context, tmp_path):
    words = ["--format", "docker", "--annotation", "a=b", "--metadata-file", tmp_path / "m"]
    store.ok("build", *words, "-t", "x", context)
    told = json.loads((tmp_path / "m").read_text())
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    assert told["containerimage.descriptor"]["mediaType"] == docker
    store.ok("save", "-o", tmp_path / "x.tar", "x")
    files, index = blobs_of(tmp_path / "x.tar")
    manifest = json.loads(member(files, index["manifests"][0]))
    assert {manifest["config"]["mediaType"]} | {one["mediaType"] for one in manifest["layers"]} == {
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
    assert "annotations" not in manifest


def test_push_of_a_build(store, context, tmp_path):
    with Taking() as registry:
        name = f"{registry.address}/course/app"
        words = ["-t", f"{name}:1", "-t", f"{name}:2", "--metadata-file", tmp_path / "m"]
        said = store("build", "--push", *words, "--compression", "zstd", context)
        assert said.exit == 0, said.stderr
        told = json.loads((tmp_path / "m").read_text())
        manifest = registry.manifests["course/app", "1"]
        assert "sha256:" + hashlib.sha256(manifest).hexdigest() == told["containerimage.digest"]
        assert registry.manifests["course/app", "2"] == manifest
        kinds = [one["mediaType"].rpartition("+")[2] for one in json.loads(manifest)["layers"]]
        assert kinds == ["gzip", "zstd", "zstd"], "a base's layer goes as it came"
        forced = f"type=image,name={name}:3,push=true,compression=zstd,force-compression=true"
        store.ok("build", "-o", forced, context)
        layers = json.loads(registry.manifests["course/app", "3"])["layers"]
        assert {one["mediaType"].rpartition("+")[2] for one in layers} == {"zstd"}
        nameless = f"type=image,name={name},push=true,push-by-digest=true"
        store.ok("build", "-o", nameless, "--metadata-file", tmp_path / "m", "--no-cache", context)
        digest = json.loads((tmp_path / "m").read_text())["containerimage.digest"]
        assert ("course/app", digest) in registry.manifests
        assert ("course/app", "latest") not in registry.manifests
    assert store("build", "--push", context).stderr.startswith(
        "error: tag is needed when pushing to registry"
    )


def test_squashed(store, context, tmp_path):
    """One layer of ours, or one of all, has the files that all of them show, and hides as many."""
    (context / "Dockerfile").write_text(
        "FROM base\nCOPY a /x/one\nCOPY a /x/two\nCOPY d /x/\nCOPY a /y/e\n"
    )
    counts = {}
    for flag in ("--layers=true", "--squash", "--layers=false", "--squash-all"):
        out = tmp_path / flag.replace("=", "")
        store.ok("build", "-t", "x", flag, "-o", out, "--load", context)
        layers = json.loads(store.ok("inspect", "-f", "{{json .RootFS.Layers}}", "x"))
        history = store.ok("history", "--format", "{{.CreatedBy}}", "x")
        counts[flag] = (len(layers), len(history.splitlines()), tree(out)[0])
    files = counts["--layers=true"][2]
    assert {"x/one", "x/two", "x/e/f", "y/e", "b"} < files.keys()
    assert {flag: (count, lines) for flag, (count, lines, _) in counts.items()} == {
        "--layers=true": (5, 5),
        "--squash": (2, 5),
        "--layers=false": (2, 5),
        "--squash-all": (1, 5),
    }
    assert all(found == files for _, _, found in counts.values())
    store.ok("system", "check")


@pytest.mark.needs("busybox", "umoci")
def test_what_is_deleted_stays_deleted_when_squashed(store, busybox_image, context, tmp_path):
    store.load(busybox_image, tmp_path)
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN mkdir -p /k /gone /opq && echo 1 >/k/a && echo 1 >/gone/a && "
        "echo 2 >/opq/old && echo f >/file\n"
    )
    store.ok("build", "-t", "under", context)
    (context / "Dockerfile").write_text(
        "FROM under\n"
        "RUN echo x >/k/b && rm -r /gone /opq && mkdir /opq && echo n >/opq/new && mkdir /own && "
        "echo 1 >/own/1 && echo 2 >/own/2 && ln /own/2 /own/3\n"
        "RUN rm /own/1 /file && mkdir /file && echo z >/file/z && chmod 700 /own && rm -r /opq && "
        "mkdir -p /opq/sub && ln -s x /link\n"
        "RUN mkdir /gone && rm /k/a && echo t >/tmpfile && rm /tmpfile\n"
    )
    store.ok("build", "-o", tmp_path / "plain", context)
    expected = tree(tmp_path / "plain")[0]
    assert "opq/old" not in expected
    for flag in ("--squash", "--squash-all"):
        layout = tmp_path / f"layout{flag}"
        target = f"type=oci,dest={layout},tar=false"
        store.ok("build", flag, "-t", "s:1", "-o", target, "-o", tmp_path / flag, context)
        assert tree(tmp_path / flag)[0] == expected
        bundle = tmp_path / f"bundle{flag}"
        command = ["umoci", "unpack", "--rootless", "--image", f"{layout}:1", str(bundle)]
        subprocess.run(command, check=True, capture_output=True)
        assert set(tree(bundle / "rootfs")[0]) == set(expected), "umoci sees the same"
    assert not [name for name in names_in(top_layer(layout)) if ".wh." in name], (
        "one layer has nothing to hide"
    )


def top_layer(layout):
    """The topmost layer's bytes of the only image in a layout."""

    def read(digest):
        return (layout / "blobs" / digest.replace(":", "/")).read_bytes()

    index = json.loads((layout / "index.json").read_text())
    return read(json.loads(read(index["manifests"][0]["digest"]))["layers"][-1]["digest"])


def test_killed_in_the_middle(store, context, tmp_path):
    """No half folder and no half file is ever seen; the next build clears up."""
    (context / "Dockerfile").write_text("FROM base\nCOPY . /\n")
    (context / "big").mkdir()
    for number in range(3000):
        (context / "big" / str(number)).write_text(str(number))
    store.ok("build", "-q", "-t", "x", context)
    out, archive = tmp_path / "o" / "out", tmp_path / "o" / "x.tar"
    out.parent.mkdir()
    caught = 0
    for seconds in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
        words = ["build", "-o", str(out), "-o", f"type=tar,dest={archive}", str(context)]
        child = subprocess.Popen(store.command(*words), env=store.environment,
                                 stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if out.exists():
            assert len(list((out / "big").iterdir())) == 3000
        else:
            caught += 1
        if archive.exists():
            names_in(archive.read_bytes())
    assert caught
    store.ok("build", *words[1:])
    assert not [name for name in os.listdir(out.parent) if name.startswith(".rootless")]


def test_full_is_told_and_leaves_the_folder(store, context, tmp_path):
    (context / "a").write_bytes(bytes(3 << 20))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("before")
    store.ok("build", "-q", "-t", "x", context)
    store.prefix = ("prlimit", "--fsize=1000000")
    failed = store("build", "-o", tmp_path / "out", context)
    assert failed.exit == 1
    assert "File too large" in failed.stderr
    assert os.listdir(tmp_path / "out") == ["a"]
    assert (tmp_path / "out" / "a").read_text() == "before"
