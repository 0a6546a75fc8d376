"""`copy` between registry, store, layout, dir and archives; skopeo reads and writes the same."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import tarfile
import threading

import pytest

from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "registry", "skopeo")
PLACES = (
    "oci:{}/layout:app",
    "dir:{}/dir",
    "oci-archive:{}/o.tar:app",
    "docker-archive:{}/d.tar:app:1",
)


def skopeo(*argv):
    done = subprocess.run(
        ["skopeo", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree(folder):
    """Every file below, by its path: what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def served(registry, tmp_path):
    """An image of two layers in the registry: (its name, its manifest's digest)."""
    base = layer({"bin/": b"", "etc/": b"", "etc/a": b"one"})
    image = write_layout(tmp_path / "made", "x:1", [base, layer({"etc/b": b"two"})])
    return registry.push(image, f"copy/{tmp_path.name.lower()}:1"), image.manifest_digest


@pytest.mark.parametrize("place", PLACES)
def test_a_registrys_image_goes_anywhere_and_skopeo_reads_it(rootless, served, place, tmp_path):
    name, digest = served
    there = place.format(tmp_path)
    said = rootless("copy", "--src-tls-verify=false", f"docker://{name}", there)
    assert (said.exit, said.stdout) == (0, f"{digest}\n"), said.stderr
    read = json.loads(skopeo("inspect", "--raw", there))
    sent = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    if not there.startswith("docker-archive"):  # which skopeo gives a manifest of its own
        assert read == sent
    assert len(read["layers"]) == 2
    back = f"oci:{tmp_path}/back:x"
    skopeo("copy", "-q", there, back)
    diff_ids = json.loads(skopeo("inspect", "--config", back))["rootfs"]["diff_ids"]
    origin = json.loads(skopeo("inspect", "--config", "--tls-verify=false", f"docker://{name}"))
    assert diff_ids == origin["rootfs"]["diff_ids"]


@pytest.mark.parametrize("place", PLACES)
def test_what_skopeo_wrote_comes_into_the_store_and_runs(
    rootless, registry, busybox_image, place, tmp_path
):
    name = registry.push(busybox_image, f"copy/{tmp_path.name.lower()}:bb")
    there = place.format(tmp_path)
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", there)
    rootless.ok("copy", there, "mine:2")
    assert rootless.ok("run", "--rm", "--network", "none", "mine:2", "echo", "hi") == "hi\n"
    assert rootless.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == "mine:2\n"
    assert rootless.ok("system", "check") == "nothing in the store is damaged\n"


def test_dir_is_byte_for_byte_skopeos(rootless, served, tmp_path):
    name, _ = served
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/theirs")
    rootless.ok("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/ours")
    assert tree(tmp_path / "ours") == tree(tmp_path / "theirs")


def test_a_built_image_goes_from_registry_to_registry_by_digest(rootless, registry, busybox_image):
    rootless.ok("load", "-i", busybox_image.archive(rootless.root.parent / "b.tar"))
    rootless.ok("build", "-t", "app", "-", stdin="FROM busybox\nRUN echo 1 > /f\n")
    first = f"{registry.address}/copy/first:1"
    one = rootless.ok("copy", "-q", "--dest-tls-verify=false", "app", f"docker://{first}")
    other = f"{registry.address}/copy/second:1"
    tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
    assert rootless.ok("copy", *tls, f"docker://{first}", f"docker://{other}") == one
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{other}")
    assert f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}\n" == one


@pytest.fixture
def index(registry, tmp_path):
    """An index of two platforms in the registry."""
    entries = []
    repository = f"copy/{tmp_path.name.lower()}"
    for architecture in ("amd64", "s390x"):
        image = write_layout(
            tmp_path / architecture, "x:1", [layer({architecture: b"x"})], architecture=architecture
        )
        registry.push(image, f"{repository}:{architecture}")
        content = image.blob(image.manifest_digest)
        platform = {"os": "linux", "architecture": architecture}
        media_type = "application/vnd.oci.image.manifest.v1+json"
        entries.append(
            {"mediaType": media_type, "digest": image.manifest_digest, "size": len(content),
             "platform": platform}
        )  # fmt: skip
    media_type = "application/vnd.oci.image.index.v1+json"
    value = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    registry.put_manifest(repository, "all", json.dumps(value).encode(), media_type)
    return f"{registry.address}/{repository}:all"


@pytest.mark.parametrize("kind", ["oci:{}/{}:x", "dir:{}/{}"])
def test_all_of_an_index_as_skopeo_copies_it(rootless, index, kind, tmp_path):
    theirs, ours = kind.format(tmp_path, "theirs"), kind.format(tmp_path, "ours")
    skopeo("copy", "-q", "--all", "--src-tls-verify=false", f"docker://{index}", theirs)
    rootless.ok("copy", "--all", "--src-tls-verify=false", f"docker://{index}", ours)
    raw = skopeo("inspect", "--raw", ours)
    assert raw == skopeo("inspect", "--raw", theirs)
    assert set(tree(tmp_path / "ours")) >= set(tree(tmp_path / "theirs"))


def test_one_platform_of_an_index(rootless, index, tmp_path):
    place = f"oci:{tmp_path}/one:x"
    rootless.ok("copy", "--platform", "s390x", "--src-tls-verify=false", f"docker://{index}", place)
    assert json.loads(skopeo("inspect", "--config", place))["architecture"] == "s390x"


def test_a_layout_keeps_its_other_images_and_gives_a_name_anew(rootless, served, tmp_path):
    name, digest = served
    for label in ("a", "b", "a"):
        rootless.ok(
            "copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/l:{label}"
        )
    listed = json.loads((tmp_path / "l/index.json").read_bytes())["manifests"]
    names = sorted(one["annotations"]["org.opencontainers.image.ref.name"] for one in listed)
    assert names == ["a", "b"]
    assert {one["digest"] for one in listed} == {digest}


def corrupt_content(path):
    path.write_bytes(b"y" * path.stat().st_size)


def corrupt_kind(path):
    path.unlink()
    os.mkfifo(path)


def corrupt_link(path):
    secret = path.parent.parent.parent.parent / "secret"
    secret.write_bytes(b"s" * path.stat().st_size)
    path.unlink()
    path.symlink_to(secret)


@pytest.mark.parametrize("harm", [corrupt_content, corrupt_kind, corrupt_link])
@pytest.mark.parametrize("target", ["mine", "dir:{}/out", "oci-archive:{}/out.tar"])
def test_a_damaged_or_hostile_layout_goes_nowhere(rootless, served, harm, target, tmp_path):
    name, _ = served
    rootless.ok("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/l:x")
    manifest = json.loads(skopeo("inspect", "--raw", f"oci:{tmp_path}/l:x"))
    digest = manifest["layers"][0]["digest"]
    harm(tmp_path / "l" / "blobs" / digest.replace(":", "/"))
    said = rootless("copy", f"oci:{tmp_path}/l:x", target.format(tmp_path), timeout=120)
    assert said.exit == 1, said
    assert digest.partition(":")[2][:12] in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "out.tar").exists()
    assert rootless.ok("images", "-q") == ""


def test_what_the_store_has_is_compared_with_what_a_layout_brings(rootless, served, tmp_path):
    name, _ = served
    rootless.ok("pull", "-q", "--tls-verify=false", name)
    rootless.ok("copy", "-q", name, f"oci:{tmp_path}/l:x")
    rootless.ok("copy", "-q", f"oci:{tmp_path}/l:x", "same")
    manifest = json.loads(skopeo("inspect", "--raw", f"oci:{tmp_path}/l:x"))
    digest = manifest["layers"][0]["digest"]
    corrupt_content(tmp_path / "l/blobs" / digest.replace(":", "/"))
    said = rootless("copy", f"oci:{tmp_path}/l:x", "mine")
    assert said.exit == 1
    assert f"{digest} has other contents" in said.stderr
    assert "mine" not in rootless.ok("images")


def test_an_archive_cannot_claim_what_only_the_store_has(rootless, served, tmp_path):
    """A layout that lists a layer by its digest alone, which the store has from elsewhere."""
    name, _ = served
    rootless.ok("pull", "-q", "--tls-verify=false", name)
    rootless.ok("copy", "--src-tls-verify=false", f"docker://{name}", f"oci:{tmp_path}/l:x")
    manifest = json.loads(skopeo("inspect", "--raw", f"oci:{tmp_path}/l:x"))
    (tmp_path / "l/blobs" / manifest["layers"][0]["digest"].replace(":", "/")).unlink()
    said = rootless("copy", f"oci:{tmp_path}/l:x", "mine")
    assert said.exit == 1
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        tar.add(tmp_path / "l", "")
    said = rootless("copy", f"oci-archive:{tmp_path}/l.tar", "mine")
    assert said.exit == 1
    assert "mine" not in rootless.ok("images")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("docker-daemon:x", "docker save"),
        ("oci:", "no path"),
        ("oci:/nowhere", "no folder /nowhere"),
        ("oci-archive:/nowhere", "open /nowhere: no such file"),
        ("nosuch", "nosuch"),
        ("doker://x", "did you mean docker?"),
        ("dri:/x", "did you mean dir?"),
        ("zip:./x", "places are docker, containers-storage, oci, dir"),
    ],
)
def test_a_place_that_is_none(rootless, place, words, tmp_path):
    said = rootless("copy", place, f"dir:{tmp_path}/d")
    assert said.exit in {1, 125}
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_between_repositories_of_one_registry_layers_are_mounted(rootless, registry, served):
    name, digest = served
    other = f"{registry.address}/copy/promoted:1"
    tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
    said = rootless("copy", *tls, f"docker://{name}", f"docker://{other}")
    assert (said.exit, said.stdout) == (0, f"{digest}\n"), said.stderr
    assert said.stderr.count("Mounted from copy/") == 2
    assert "Pushed" not in said.stderr


def test_a_digest_is_no_name_to_copy_to(rootless, served, registry, tmp_path):
    """It would be the tag latest that changes."""
    name, digest = served
    repository = name.rpartition(":")[0]
    target = f"docker://{repository}@{digest}"
    tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
    said = rootless("copy", *tls, f"docker://{name}", target)
    assert said.exit != 0
    assert "cannot copy to a digest" in said.stderr
    assert "latest" not in skopeo("list-tags", "--tls-verify=false", f"docker://{repository}")


def test_blobs_of_another_algorithm_are_in_the_archive(rootless, tmp_path):
    content = layer({"f": b"x"})
    made = write_layout(tmp_path / "l", "x:1", [content])
    manifest = json.loads(made.blob(made.manifest_digest))
    packed = made.blob(manifest["layers"][0]["digest"])
    digest = hashlib.sha512(packed).hexdigest()
    (tmp_path / "l/blobs/sha512").mkdir()
    (tmp_path / "l/blobs/sha512" / digest).write_bytes(packed)
    (tmp_path / "l/blobs" / manifest["layers"][0]["digest"].replace(":", "/")).unlink()
    manifest["layers"][0]["digest"] = f"sha512:{digest}"
    text = json.dumps(manifest).encode()
    top = hashlib.sha256(text).hexdigest()
    (tmp_path / "l/blobs/sha256" / top).write_bytes(text)
    entry = {"mediaType": manifest["mediaType"], "digest": f"sha256:{top}", "size": len(text)}
    index = {"schemaVersion": 2, "manifests": [entry]}
    (tmp_path / "l/index.json").write_text(json.dumps(index))
    rootless.ok("copy", f"oci:{tmp_path}/l", f"oci-archive:{tmp_path}/a.tar:x")
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert f"blobs/sha512/{digest}" in tar.getnames()
    rootless.ok("copy", f"oci-archive:{tmp_path}/a.tar", "back")


def test_a_store_is_no_layout_to_write_into(rootless, served, tmp_path):
    name, _ = served
    rootless.ok("pull", "-q", "--tls-verify=false", name)
    said = rootless("copy", name, f"oci:{rootless.root}:other")
    assert said.exit != 0
    assert f"--root {rootless.root}" in said.stderr
    assert b"rootlessStore" in (rootless.root / "oci-layout").read_bytes()


def test_what_lies_in_the_way_in_a_folder_is_a_sentence(rootless, served, tmp_path):
    name, _ = served
    (tmp_path / "d/manifest.json").mkdir(parents=True)
    (tmp_path / "l").mkdir()
    (tmp_path / "l/blobs").touch()
    for target in (f"dir:{tmp_path}/d", f"oci:{tmp_path}/l:x"):
        said = rootless("copy", "-q", "--src-tls-verify=false", f"docker://{name}", target)
        assert said.exit == 1
        assert "Traceback" not in said.stderr
        assert str(tmp_path) in said.stderr


def test_a_copy_past_the_store_needs_none(rootless, served, tmp_path):
    name, digest = served
    argv = ("copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/d")
    done = rootless("--root", "/proc/nothing/here", *argv)
    assert (done.exit, done.stdout) == (0, f"{digest}\n"), done.stderr


def test_what_a_killed_copy_left_beside_its_archive_is_swept(rootless, served, tmp_path):
    """Not what belongs to a copy that is still under way."""
    name, _ = served
    target = tmp_path / "o.tar"
    folders = [tmp_path / f".rootless-o.tar-{kind}" for kind in ("dead", "alive")]
    others = [tmp_path / ".rootless-other.tar-x", tmp_path / ".rootless-o.tar-file"]
    for folder in (*folders, others[0]):
        (folder / "blobs").mkdir(parents=True)
    others[1].write_text("")
    alive = os.open(folders[1], os.O_RDONLY)
    fcntl.flock(alive, fcntl.LOCK_EX)
    copy = ("copy", "--src-tls-verify=false", f"docker://{name}", f"oci-archive:{target}:app")
    rootless.ok(*copy)
    assert [path.exists() for path in (*folders, *others)] == [False, True, True, True]
    os.close(alive)
    rootless.ok(*copy)
    assert [path.exists() for path in (*folders, *others)] == [False, False, True, True]


def test_a_copy_that_is_killed_leaves_what_the_next_one_sweeps(rootless, tmp_path):
    image = write_layout(tmp_path / "made", "x:1", [layer({"f": os.urandom(50_000)})])
    honest, reached = serving(image, "a/b"), threading.Event()

    def respond(request):
        if "/blobs/" in request.path and not reached.is_set():
            reached.set()
            return Answer(200, honest(request).body, stall=30, cut=1000)
        return honest(request)

    with HostileRegistry(respond) as registry:
        place = f"oci-archive:{tmp_path}/o.tar:app"
        argv = rootless.command("copy", f"docker://{registry.address}/a/b:1", place)
        running = subprocess.Popen(argv, env=rootless.environment)
        assert reached.wait(120)
        running.kill()
        running.wait()
        assert len(list(tmp_path.glob(".rootless-*"))) == 1
        rootless.ok("copy", f"docker://{registry.address}/a/b:1", place)
    assert list(tmp_path.glob(".rootless-*")) == []
    assert (tmp_path / "o.tar").exists()
