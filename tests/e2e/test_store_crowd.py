"""Removing and pruning without end, beside pulls, builds, containers and saves, some killed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import tarfile
import time

import pytest

from rootless.store import Store, blobs, images, layers, removal
from rootless.store.check import check
from tests.support.child import in_child
from tests.support.hostile_registry import INDEX, HostileRegistry, serving, serving_parts

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

DOCKERFILE = "FROM busybox\nRUN echo made >/made\nCOPY f /f\nRUN cat /f /made >/both\n"
SECONDS = 6


@pytest.fixture
def box(rootless, busybox_image, tmp_path):
    rootless.archive = busybox_image.archive(tmp_path / "base.tar")
    rootless.ok("load", "-i", rootless.archive)
    rootless.context = tmp_path / "context"
    rootless.context.mkdir()
    (rootless.context / "f").write_text("content\n")
    (rootless.context / "Dockerfile").write_text(DOCKERFILE)
    return rootless


def start(box, *argv):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(box.command(*argv), env=box.environment, **pipes)


def whole(box):
    assert in_child(lambda: check(Store(str(box.root)))) == ()
    box.ok("load", "-i", box.archive)
    box.ok("build", "-t", "app", box.context)
    assert box.ok("run", "--rm", "--network=none", "app", "cat", "/both") == "content\nmade\n"


def test_a_container_keeps_all_files_while_its_image_is_removed_and_pruned(box):
    names = "for turn in 1 2 3 4 5 6; do ls /bin | wc -l; cat /etc/passwd; sleep 0.1; done"
    for _ in range(4):
        box.ok("load", "-i", box.archive)
        running = start(box, "run", "--rm", "--network=none", "busybox", "sh", "-c", names)
        while running.poll() is None:
            box("rmi", "-f", "busybox", timeout=120)
            box.ok("system", "prune", "-a", "-f", timeout=120)
        told, errors = running.communicate(timeout=120)
        if running.returncode == 125:  # removed before it was found
            assert "o such image" in errors or "Unable to find image" in errors, errors
            continue
        assert (running.returncode, errors) == (0, "")
        lines = told.splitlines()
        assert len(lines) == 18
        assert set(lines[3:]) <= set(lines[:3]), "each turn saw the same files"
    whole(box)


@pytest.mark.needs("strace", "unshare")
def test_an_image_removed_while_a_container_of_it_starts(box, tmp_path):
    """Each directory that the start makes takes its time; nothing of the image may go meanwhile."""
    # A user's newuidmap is not set-uid under strace: root of a namespace needs none.
    trace = tmp_path / "trace"
    slowly = ("unshare", "--map-root-user", "strace", "-f", "-qq", "-o", trace)
    calls = "mkdir,mkdirat"
    traced = (*slowly, f"--trace={calls},openat", f"--inject={calls}:delay_enter=300000")
    script = "echo up; sleep 1; ls /bin | grep -cx busybox; cat /etc/group"
    command = box.command("run", "--rm", "--network=none", "busybox", "sh", "-c", script)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = subprocess.Popen([*traced, *command], env=box.environment, **pipes)
    while not trace.exists() or "index.json" not in trace.read_text():
        time.sleep(0.002)
    while running.poll() is None:
        box("rmi", "-f", "busybox", timeout=120)
        box("image", "prune", "-a", "-f", timeout=120)
    told, errors = running.communicate(timeout=120)
    if running.returncode == 125:  # removed before it was found
        assert "o such image" in errors or "Unable to find image" in errors, errors
    else:
        assert (running.returncode, told[:12], errors) == (0, "up\n1\nroot:x:", "")
    whole(box)


@pytest.fixture
def pulled(busybox_image):
    """The name of the same image in a registry: other commands make and take its layers."""
    with HostileRegistry(serving(busybox_image, "crowd/busybox")) as registry:
        yield f"{registry.address}/crowd/busybox:1"


def is_whole_archive(path):
    """Every blob has its digest, and what index.json names is there."""
    digests = set()
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if member.name.startswith("blobs/sha256/") and content:
                found = hashlib.sha256(content.read()).hexdigest()
                assert member.name == f"blobs/sha256/{found}"
                digests.add(found)
        (entry,) = json.load(archive.extractfile("index.json"))["manifests"]
        manifest = json.load(archive.extractfile(f"blobs/{entry['digest'].replace(':', '/')}"))
    named = {one["digest"][7:] for one in (entry, manifest["config"], *manifest["layers"])}
    return named == digests


def test_removing_and_pruning_beside_everything_with_some_killed(box, tmp_path, pulled):
    chance = random.Random(1)
    saves = {tmp_path / "loaded.tar": "busybox", tmp_path / "pulled.tar": pulled}
    works = [
        ("build", "-q", "-t", "app", box.context),
        ("build", "-q", "--no-cache", "-t", "other", box.context),
        ("run", "--rm", "--network=none", "busybox", "cat", "/etc/passwd"),
        *(("save", "-o", path, name) for path, name in saves.items()),
        ("pull", "-q", "--tls-verify=false", pulled),
        ("run", "--rm", "--network=none", "--tls-verify=false", pulled, "cat", "/etc/passwd"),
        ("rmi", "-f", "app", "other", "busybox", pulled),
        ("system", "prune", "-f"),
        ("image", "prune", "-a", "-f"),
        ("load", "-i", box.archive),
    ]
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        crowd = [(work, start(box, *work)) for work in chance.sample(works, 5)]
        killed = crowd[0][1]
        time.sleep(chance.uniform(0.02, 0.4))
        os.kill(killed.pid, signal.SIGKILL)
        for work, process in crowd:
            _, errors = process.communicate(timeout=120)
            assert "Traceback" not in errors, (work, errors)
            if work[0] == "save" and process.returncode == 0:
                assert is_whole_archive(work[2])
            if process is not killed and process.returncode:
                gone = ("o such image", "Unable to find image", "cannot be reached", "registry")
                assert any(word in errors for word in gone), (work, errors)
        box.ok("load", "-i", box.archive)
    box.ok("pull", "-q", "--tls-verify=false", pulled)
    whole(box)


@pytest.mark.needs("skopeo")
def test_an_index_that_another_tool_has_named_here(box, busybox_image, tmp_path):
    """One name for several platforms is an image, and all of it stays while it has the name."""
    host = json.loads((busybox_image.layout / "index.json").read_bytes())["manifests"][0]
    content = busybox_image.blob(host["digest"])
    config = json.loads(busybox_image.blob(json.loads(content)["config"]["digest"]))
    platforms = [{"os": "linux", "architecture": one} for one in (config["architecture"], "mips64")]
    entries = [{**host, "annotations": {}, "platform": platform} for platform in platforms]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    known = {"1": json.dumps(index).encode(), host["digest"]: content}
    with HostileRegistry(serving_parts("a/b", known, _blobs(busybox_image))) as registry:
        source = f"docker://{registry.address}/a/b:1"
        place = f"oci:{box.root}:docker.io/library/many:1"
        argv = ["skopeo", "copy", "-q", "--all", "--src-tls-verify=false", source, place]
        subprocess.run(argv, check=True)
    box.ok("rmi", "-f", "busybox")
    for words in (("images",), ("image", "prune", "-f"), ("system", "prune", "-f"), ("images",)):
        done = box(*words)
        assert (done.exit, done.stderr) == (0, "")
    assert done.stdout.split()[6:8] == ["many", "1"]
    assert box.ok("run", "--rm", "--network=none", "many:1", "cat", "/etc/group")[:7] == "root:x:"
    inside = subprocess.run(
        ["skopeo", "inspect", "--raw", place], check=True, capture_output=True, text=True
    )
    assert json.loads(inside.stdout)["manifests"] == entries
    assert "Untagged: many:1" in box.ok("rmi", "many:1")
    assert box.ok("images", "-aq") == ""


def _blobs(image):
    parts = json.loads(image.blob(image.manifest_digest))
    return {one["digest"]: image.blob(one["digest"]) for one in (parts["config"], *parts["layers"])}


def test_a_container_needs_no_manifest(box):
    """A removal by force that does not see it being started takes names and manifest: no more."""
    box.ok("run", "--name", "kept", "--network=none", "busybox", "true")
    image = images.resolve(Store(str(box.root)), "busybox")

    def remove_unseen():
        removal.remove(Store(str(box.root)), ["busybox"], force=True, users={})

    in_child(remove_unseen)
    store = Store(str(box.root))
    assert not blobs.has(store, image.descriptor.digest)
    assert blobs.has(store, image.id)
    assert all(layers.find(store, diff_id) for _, diff_id in image.layers)
    assert check(store) == ()
    assert "kept" in box.ok("ps", "-a")
    assert "No such" in box("run", "--rm", "--pull=never", "busybox", "true").stderr
    box.ok("load", "-i", box.archive)
    assert images.resolve(store, "busybox").id == image.id
    box.ok("rmi", "-f", "busybox")
    box.ok("rm", "kept")
    box.ok("image", "prune", "-f")
    assert os.listdir(store.path("layers")) == os.listdir(store.path("blobs/sha256")) == []
