"""Pushing from a store: to a registry that takes everything, and to ones that fail in every way."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from rootless import userns
from rootless.archive.compression import Compression
from rootless.errors import IntegrityError, NotFoundError
from rootless.image import archives, imports
from rootless.image.pull import pull
from rootless.image.push import Wishes, push
from rootless.oci import media_types
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.registry.client import Client
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError
from rootless.registry.http import Access, Patience
from rootless.registry.push import Uploads
from rootless.registry.session import Session
from rootless.store import Store, blobs, gc, images, layers
from tests.support import child, machine
from tests.support.hostile_registry import digest
from tests.support.images import layer, write_layout
from tests.support.taking import Fault, Taking

pytestmark = [
    pytest.mark.needs("userns"),
    pytest.mark.skipif(os.geteuid() == 0, reason="stores belong to ordinary users"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

PATIENCE = Patience(connect=2, read=5, attempts=4, backoff=0.01, longest_wait=0.5)
NOISE = os.urandom(3 << 20)


class Pushed(NamedTuple):
    """What a push did: the digest under the tag now, and (layer, state) of each event."""

    digest: str
    states: list[tuple[str, str]]


@pytest.fixture
def root(tmp_path):
    """A store with two layers that were made here: `app`, and `plain` with a small one."""
    folder = tmp_path / "store"
    child.in_child(lambda: make(folder))
    yield folder
    child.remove_tree(folder)


def make(folder):
    store = Store(str(folder))
    for name, files in (("plain", {"one": b"1"}), ("app", {"big": NOISE, "two": b"2"})):
        stream = io.BytesIO(layer(files))
        imports.import_tar(
            store, stream.read, Reference.parse(name), created="2020-01-02T03:04:05Z"
        )


def push_in_child(root, name, target, *, compression=None, platform=None, login=None, twins=None):
    """What `rootless push NAME TARGET` does."""

    def body():
        store, reference = Store(str(root)), Reference.parse(target)
        session = Session(reference.registry, login, Access(patience=PATIENCE))
        uploads = Uploads(session, reference.repository)
        events = []
        wishes = Wishes(userns.enter, compression, platform, twins or {})
        image = images.resolve(store, name)
        document = push(store, image, reference, uploads, wishes, events.append)
        return Pushed(str(document.digest), [(one.layer, one.state) for one in events])

    return child.in_child(body, enter=False)


def states(pushed):
    return sorted({state for _, state in pushed.states} - {"waiting"})


def files_of(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isreg()}


# --- what works -----------------------------------------------------------------------------


def test_what_was_made_here_arrives_compressed(root):
    with Taking() as registry:
        pushed = push_in_child(root, "app", f"{registry.address}/a/b:1")
    (content,) = registry.layers("a/b", "1")
    assert content.startswith(b"\x1f\x8b")
    assert files_of(content) == {"big": NOISE, "two": b"2"}
    manifest = registry.image("a/b", "1")
    config = json.loads(registry.blobs["a/b", manifest["config"]["digest"]])
    assert config["rootfs"]["diff_ids"] == [digest(gzip.decompress(content))]
    assert pushed.digest == digest(registry.manifests["a/b", "1"])
    assert states(pushed) == ["done", "packing", "uploading"] or states(pushed) == [
        "done",
        "uploading",
    ]


def test_the_second_push_asks_two_things(root):
    with Taking() as registry:
        first = push_in_child(root, "app", f"{registry.address}/a/b:1")
        del registry.requests[:]
        second = push_in_child(root, "app", f"{registry.address}/a/b:1")
        asked = [(one.method, one.path) for one in registry.requests]
    assert asked == [("GET", "/v2/"), ("HEAD", "/v2/a/b/manifests/1")]
    assert second.digest == first.digest
    assert states(second) == ["exists"]


def test_another_tag_sends_a_manifest_only(root):
    with Taking() as registry:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        del registry.requests[:]
        push_in_child(root, "app", f"{registry.address}/a/b:2")
        assert registry.asked("POST", "PATCH", "PUT") == ["PUT /v2/a/b/manifests/2"]


def test_a_blob_that_the_registry_has_is_never_made_again(root):
    """Not even when the store has forgotten it."""
    with Taking() as registry:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        child.in_child(lambda: gc.collect(Store(str(root))))
        pushed = push_in_child(root, "app", f"{registry.address}/a/b:2")
        assert states(pushed) == ["exists"]
        (content,) = registry.layers("a/b", "2")
        store = Store(str(root))
        assert digest(content).removeprefix("sha256:") not in os.listdir(root / "blobs/sha256")
        (known,) = layers.packed(store, images.resolve(store, "app").config.diff_ids[0])
    assert str(known.digest) == digest(content)


def test_another_repository_of_the_registry_gives_it(root):
    with Taking() as registry:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        pushed = push_in_child(root, "app", f"{registry.address}/c/d:1")
        registry.layers("c/d", "1")
    assert "mounted" in states(pushed)
    assert not registry.asked("PATCH")[1:]


def test_another_registry_does_not(root):
    with Taking() as registry, Taking() as other:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        pushed = push_in_child(root, "app", f"{other.address}/c/d:1")
        assert [path for path in other.asked("POST") if "mount=" in path] == []
        assert other.layers("c/d", "1") == registry.layers("a/b", "1")
    assert "packing" not in states(pushed)  # the store still has the blob


def test_what_was_pulled_is_mounted_from_where_it_was(tmp_path):
    root = tmp_path / "store"
    image = write_layout(tmp_path / "layout", "x", [layer({"a": b"1"}), layer({"b": NOISE})])
    with Taking() as registry:
        manifest = image.blob(image.manifest_digest)
        for one in [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]:
            registry.blobs["base/x", one["digest"]] = image.blob(one["digest"])
        registry.manifests["base/x", "1"] = manifest

        def body():
            reference = Reference.parse(f"{registry.address}/base/x:1")
            client = Client(reference.registry, None, Access(patience=PATIENCE))
            pull(
                Store(str(root)),
                reference,
                platform=Platform.host(),
                client=client,
                report=lambda _: None,
            )

        child.in_child(body)
        name = f"{registry.address}/base/x:1"
        pushed = push_in_child(root, name, f"{registry.address}/mine/x:7")
    child.remove_tree(root)
    assert registry.manifests["mine/x", "7"] == manifest
    assert states(pushed) == ["mounted"]


def test_zstd_when_asked_for(root):
    with Taking() as registry:
        how = Compression("zstd", 3)
        push_in_child(root, "app", f"{registry.address}/a/b:1", compression=how)
        (content,) = registry.layers("a/b", "1")
        (listed,) = registry.image("a/b", "1")["layers"]
        gzipped = push_in_child(root, "app", f"{registry.address}/a/b:2")
    assert content.startswith(b"\x28\xb5\x2f\xfd")
    assert listed["mediaType"].endswith("tar+zstd")
    assert registry.layers("a/b", "2")[0].startswith(b"\x1f\x8b")
    assert "exists" not in states(gzipped)


def test_an_image_of_dockers_kind_stays_one(root, tmp_path):
    """And its layer, listed as a plain tar by whoever made the archive, gets docker's type."""

    def body():
        store = Store(str(root))
        image = images.resolve(store, "app")
        kind = "application/vnd.docker"
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}.distribution.manifest.v2+json",
            "config": {
                **image.manifest.config.encode(),
                "mediaType": f"{kind}.container.image.v1+json",
            },
            "layers": [
                {**one.encode(), "mediaType": f"{kind}.image.rootfs.diff.tar"}
                for one in image.manifest.layers
            ],
        }
        content = json.dumps(manifest).encode()
        images.add(store, content, manifest["mediaType"], [Reference.parse("dockers")])

    child.in_child(body)
    with Taking() as registry:
        push_in_child(root, "dockers", f"{registry.address}/a/b:1")
        manifest = registry.image("a/b", "1")
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert [one["mediaType"] for one in manifest["layers"]] == [
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    ]


# --- several platforms ----------------------------------------------------------------------


def index_archive(tmp_path, *, leave_out=""):
    """An archive of an index for two platforms and an attestation; `leave_out` one of them."""
    top = tmp_path / "index"
    entries = []
    for architecture in ("amd64", "s390x"):
        part = write_layout(tmp_path / architecture, "x", [layer({"arch": architecture.encode()})])
        manifest = json.loads(part.blob(part.manifest_digest))
        config = json.loads(part.blob(manifest["config"]["digest"]))
        config["architecture"] = architecture
        put = [part.blob(one["digest"]) for one in manifest["layers"]]
        put.append(json.dumps(config).encode())
        manifest["config"].update(digest=digest(put[-1]), size=len(put[-1]))
        put.append(json.dumps(manifest).encode())
        entries.append(
            {
                "mediaType": manifest["mediaType"],
                "digest": digest(put[-1]),
                "size": len(put[-1]),
                "platform": {"os": "linux", "architecture": architecture},
            }
        )
        if architecture != leave_out:
            write_blobs(top, put)
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries,
    }
    content = json.dumps(index).encode()
    write_blobs(top, [content])
    listed = {
        "mediaType": index["mediaType"],
        "digest": digest(content),
        "size": len(content),
        "annotations": {"io.containerd.image.name": "docker.io/library/both:1"},
    }
    (top / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    (top / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    path = tmp_path / "index.tar"
    with tarfile.open(path, "w") as tar:
        for entry in sorted(top.iterdir()):
            tar.add(entry, entry.name)
    return path, content


def write_blobs(top, contents):
    folder = top / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    for content in contents:
        (folder / digest(content).removeprefix("sha256:")).write_bytes(content)


def load(root, path):
    def body():
        with open(path, "rb", buffering=0) as file:
            archives.load(Store(str(root)), file.read)

    child.in_child(body)


def test_a_whole_index_goes_with_all_its_images(root, tmp_path):
    path, index = index_archive(tmp_path)
    load(root, path)
    with Taking() as registry:
        push_in_child(root, "both:1", f"{registry.address}/a/b:1")
    assert registry.manifests["a/b", "1"] == index
    for entry in json.loads(index)["manifests"]:
        assert ("a/b", entry["digest"]) in registry.manifests
        registry.layers("a/b", entry["digest"])


def test_of_a_part_of_an_index_the_one_image_goes(root, tmp_path):
    path, index = index_archive(tmp_path, leave_out="s390x")
    load(root, path)
    with Taking() as registry:
        pushed = push_in_child(root, "both:1", f"{registry.address}/a/b:1")
    assert pushed.digest == json.loads(index)["manifests"][0]["digest"]
    assert len(registry.manifests) == 2  # by tag and by digest


def test_the_image_for_a_platform_alone(root, tmp_path):
    path, index = index_archive(tmp_path)
    load(root, path)
    with Taking() as registry:
        wanted = Platform.parse("linux/s390x")
        pushed = push_in_child(root, "both:1", f"{registry.address}/a/b:1", platform=wanted)
        with pytest.raises(NotFoundError, match="no image for linux/riscv64"):
            other = Platform.parse("linux/riscv64")
            push_in_child(root, "both:1", f"{registry.address}/a/b:1", platform=other)
    assert pushed.digest == json.loads(index)["manifests"][1]["digest"]


@pytest.mark.parametrize("name", ["app", "both:1"])
def test_an_image_in_dockers_form_and_back(root, tmp_path, name):
    path, _ = index_archive(tmp_path)
    load(root, path)
    with Taking() as registry:
        address = registry.address
        oci = push_in_child(root, name, f"{address}/a/b:oci")
        push_in_child(root, name, f"{address}/a/b:1", twins=media_types.DOCKER_TWINS)
        docker = registry.image("a/b", "1")
        kinds = {docker["mediaType"]}
        for one in docker.get("manifests", [docker]):
            part = registry.image("a/b", one["digest"]) if "digest" in one else one
            kinds |= {one["mediaType"], part["config"]["mediaType"]}
            kinds |= {layer["mediaType"] for layer in part["layers"]}
        again = push_in_child(root, name, f"{address}/a/b:2", twins=media_types.OCI_TWINS)
    assert all(kind.startswith("application/vnd.docker.") for kind in kinds)
    assert again.digest == oci.digest


def test_a_registry_that_is_too_old_is_told_apart(root):
    with Taking() as registry:
        registry.refuses = {media_types.OCI_MANIFEST}
        with pytest.raises(RegistryError, match="status 400") as caught:
            push_in_child(root, "app", f"{registry.address}/a/b:1")
        push_in_child(root, "app", f"{registry.address}/a/b:1", twins=media_types.DOCKER_TWINS)
    assert "push --format docker" in caught.value.hint


# --- what breaks ----------------------------------------------------------------------------

BROKEN = {
    "the connection breaks in the middle": ("PATCH", [Fault(keep=1 << 20)]),
    "it breaks again and again": ("PATCH", [Fault(keep=1 << 20)] * 2),
    "it breaks at once": ("PATCH", [Fault()]),
    "an answer is lost": ("PATCH", [Fault(after=True)]),
    "the upload is forgotten": ("PATCH", [Fault(keep=1 << 20, forget=True)]),
    "it fails with 500": ("PATCH", [Fault(500, keep=5)]),
    "too many requests": ("POST", [Fault(429, headers={"Retry-After": "0"})] * 2),
    "no upload begins": ("POST", [Fault(503)]),
    "the end fails": ("PUT", [Fault(500)]),
    "the end's answer is lost": ("PUT", [Fault(after=True)]),
    "the manifest's answer is lost": ("PUT", [Fault(after=True)] * 3),
    "a question fails": ("HEAD", [Fault(502)] * 3),
}


@pytest.mark.parametrize("how", BROKEN)
def test_passing_trouble_is_overcome(root, how):
    method, faults = BROKEN[how]
    with Taking() as registry:
        registry.fail(method, *faults)
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        assert registry.fault(method) is None  # all of them were met
    (content,) = registry.layers("a/b", "1")
    assert files_of(content)["big"] == NOISE


def test_a_broken_upload_goes_on_where_it_broke(root):
    with Taking() as registry:
        registry.fail("PATCH", Fault(keep=1 << 20))
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        _, second = (one for one in registry.requests if one.method == "PATCH")
    (content,) = registry.layers("a/b", "1")
    assert second.headers["Content-Range"] == f"{1 << 20}-{len(content) - 1}"
    assert second.size == len(content) - (1 << 20)
    assert registry.asked("POST")[1:] == ["POST /v2/a/b/blobs/uploads/"]  # the config's


def test_lasting_trouble_is_the_end(root):
    with Taking() as registry:
        registry.fail("PATCH", *[Fault(500)] * 20)
        with pytest.raises(RegistryError, match="status 500"):
            push_in_child(root, "app", f"{registry.address}/a/b:1")
        assert registry.manifests == {}


def test_a_registry_that_forgets_again_and_again_is_left(root):
    """However much it takes in between."""
    with Taking() as registry:
        for _ in range(40):
            registry.fail("PATCH", Fault(keep=2 << 20), Fault(forget=True))
        with pytest.raises(RegistryError):
            push_in_child(root, "app", f"{registry.address}/a/b:1")
        assert len(registry.asked("PATCH")) < 15


def test_smaller_pieces_where_a_proxy_refuses_large_ones(root):
    with Taking(limit=1 << 20) as registry:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
    (content,) = registry.layers("a/b", "1")
    assert files_of(content)["big"] == NOISE


def test_what_even_small_pieces_cannot_pass_is_the_end(root):
    with Taking(limit=1000) as registry, pytest.raises(RegistryError, match="status 413"):
        push_in_child(root, "app", f"{registry.address}/a/b:1")


@pytest.mark.parametrize("what", ["blob", "manifest"])
def test_a_registry_that_took_something_else(root, what):
    with Taking() as registry:
        registry.lies[what] = digest(b"other")
        with pytest.raises(IntegrityError, match="and says that it is"):
            push_in_child(root, "app", f"{registry.address}/a/b:1")


def test_a_layer_whose_files_have_changed_is_not_pushed(root):
    def change():
        store = Store(str(root))
        found = layers.find(store, images.resolve(store, "app").config.diff_ids[0])
        Path(found.path, "two").write_bytes(b"3")

    child.in_child(change)
    with Taking() as registry:
        with pytest.raises(IntegrityError, match="changed since it was made"):
            push_in_child(root, "app", f"{registry.address}/a/b:1")
        assert registry.manifests == {}
        assert len(registry.blobs) == 0


def test_a_blob_that_was_cut_short_is_not_pushed(root):
    with Taking() as registry, Taking() as other:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        (content,) = registry.layers("a/b", "1")
        path = root / "blobs/sha256" / digest(content).removeprefix("sha256:")
        os.truncate(path, 2 << 20)
        with pytest.raises(IntegrityError, match="any more"):
            push_in_child(root, "app", f"{other.address}/a/b:1")
        assert other.manifests == {}


def test_a_blob_that_is_gone_is_named(root, tmp_path):
    image = write_layout(tmp_path / "layout", "docker.io/library/x:1", [layer({"a": b"1"})])
    load(root, image.archive(tmp_path / "x.tar"))
    (blob,) = images.resolve(Store(str(root)), "x:1").manifest.layers
    os.unlink(blobs.path(Store(str(root)), blob.digest))
    with Taking() as registry:
        with pytest.raises(NotFoundError, match=str(blob.digest)):
            push_in_child(root, "x:1", f"{registry.address}/a/b:1")
        assert registry.manifests == {}


# --- who may push ---------------------------------------------------------------------------


def test_tokens_are_asked_for_by_the_set_of_what_they_are_for(root):
    with Taking(tokens=True) as registry:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        pushed = push_in_child(root, "app", f"{registry.address}/c/d:1")
    assert "mounted" in states(pushed)
    assert registry.scopes == [
        ["repository:a/b:pull,push"],
        ["repository:c/d:pull,push"],
        ["repository:a/b:pull", "repository:c/d:pull,push"],
    ]


def test_a_token_that_ends_in_the_middle_of_a_layer_is_renewed(root):
    with Taking(tokens=True) as registry:
        realm = f'Bearer realm="http://{registry.address}/token",service="taking"'
        registry.fail("PATCH", Fault(401, 1 << 30, {"WWW-Authenticate": realm}))
        push_in_child(root, "app", f"{registry.address}/a/b:1")
    (content,) = registry.layers("a/b", "1")
    assert files_of(content)["big"] == NOISE
    assert len(registry.scopes) == 2


def test_a_login_does_not_follow_an_upload_to_another_host(root):
    with Taking(tokens=True) as registry, Taking() as elsewhere:
        registry.absolute = f"http://{elsewhere.address}"

        login = Credentials("me", "secret")
        with pytest.raises(RegistryError):
            push_in_child(root, "app", f"{registry.address}/a/b:1", login=login)
        assert elsewhere.requests
        assert not [one for one in elsewhere.requests if "Authorization" in one.headers]


def test_layers_are_not_sent_to_what_only_this_machine_reaches(root):
    with Taking() as registry:
        registry.absolute = "http://169.254.169.254"
        with pytest.raises(RegistryError, match="an address of this machine's own; refused"):
            push_in_child(root, "app", f"{registry.address}/a/b:1")


def test_who_may_not_push_is_told_so(root):
    with Taking() as registry:
        registry.fail("HEAD", Fault(403))
        with pytest.raises(RegistryError, match="does not let you push to a/b") as caught:
            push_in_child(root, "app", f"{registry.address}/a/b:1")
    assert "login" in caught.value.hint


def test_a_refused_mount_becomes_an_upload(root):
    with Taking() as registry:
        push_in_child(root, "app", f"{registry.address}/a/b:1")
        registry.blobs = {key: one for key, one in registry.blobs.items() if key[0] != "a/b"}
        del registry.requests[:]
        pushed = push_in_child(root, "app", f"{registry.address}/c/d:1")
        registry.layers("c/d", "1")
        begun = [path for path in registry.asked("POST") if "mount=" in path]
        registry.fail("POST", Fault(403))
        push_in_child(root, "app", f"{registry.address}/e/f:1")
        registry.layers("e/f", "1")
    assert "uploading" in states(pushed)
    assert len(begun) == 1
    assert len(registry.asked("PATCH")) == 2


# --- sudden ends and memory -------------------------------------------------------------------

PUSH = """
import sys
from rootless import userns
from rootless.image.push import Wishes, push
from rootless.oci.reference import Reference
from rootless.registry.push import Uploads
from rootless.registry.session import Session
from rootless.store import Store, images
store, reference = Store(sys.argv[1]), Reference.parse(sys.argv[3])
uploads = Uploads(Session(reference.registry), reference.repository)
def report(event):
    print(event.layer, event.state, flush=True)
push(store, images.resolve(store, sys.argv[2]), reference, uploads, Wishes(userns.enter), report)
"""
MEMORY = """
import resource
own = open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def start_push(root, name, target, **options):
    return subprocess.Popen(
        [sys.executable, "-c", PUSH + MEMORY, str(root), name, target],
        env={**os.environ, "PYTHONPATH": str(machine.PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("after", [0, 1, 2, 4])
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_push_can_be_made_again(root, kill, after):
    with Taking() as registry:
        victim = start_push(root, "app", f"{registry.address}/a/b:1", stderr=subprocess.DEVNULL)
        for _ in range(after):
            victim.stdout.readline()
        victim.send_signal(kill)
        victim.communicate(timeout=120)
        push_in_child(root, "app", f"{registry.address}/a/b:1")
    (content,) = registry.layers("a/b", "1")
    assert files_of(content)["big"] == NOISE
    child.in_child(lambda: gc.collect(Store(str(root))))
    assert not [entry for entry in (root / "tmp").iterdir() if entry.is_dir()]


def test_pushes_at_once_do_not_disturb_each_other(root):
    with Taking() as registry:
        targets = [f"{registry.address}/a/{number}:1" for number in range(3)]
        running = [start_push(root, "app", target) for target in targets]
        assert [one.communicate(timeout=120) and one.returncode for one in running] == [0, 0, 0]
        assert len({registry.manifests[f"a/{number}", "1"] for number in range(3)}) == 1


def test_the_image_may_be_removed_meanwhile(root):
    """What a push needs is held until it is through."""
    with Taking() as registry:
        running = start_push(root, "app", f"{registry.address}/a/b:1")
        running.stdout.readline()
        machine_environment = {**os.environ, "PYTHONPATH": str(machine.PROJECT)}
        remove = [sys.executable, "-m", "rootless", "--root", str(root), "rmi", "-f", "app"]
        subprocess.run(remove, env=machine_environment, check=True, stdout=subprocess.DEVNULL)
        running.communicate(timeout=120)
    assert running.returncode == 0
    assert files_of(registry.layers("a/b", "1")[0])["big"] == NOISE


def test_a_large_layer_needs_little_memory(root, tmp_path):
    """The registry of this test keeps all of it; who pushes holds a few megabytes."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        for _ in range(24):
            file.write(os.urandom(4 << 20) + bytes(4 << 20))

    def make_big():
        with tarfile.open(tmp_path / "big.tar", "w") as tar:
            tar.add(big, "big")
        with open(tmp_path / "big.tar", "rb", buffering=0) as file:
            imports.import_tar(
                Store(str(root)), file.read, Reference.parse("big"), created="2020-01-02T03:04:05Z"
            )

    child.in_child(make_big)
    with Taking() as registry:
        running = start_push(root, "big", f"{registry.address}/a/b:1")
        told, _ = running.communicate(timeout=120)
    assert running.returncode == 0
    assert len(registry.layers("a/b", "1")[0]) > 96 << 20
    own, packer = map(int, told.split()[-2:])  # in KiB
    assert own < 64 << 10
    assert packer < 64 << 10
