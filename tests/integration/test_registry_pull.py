"""Pulling into a store: from Docker's own registry, and from one that lies."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rootless import linux
from rootless.archive import unpacking
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.image.pull import pull
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.registry.client import Client
from rootless.registry.credentials import Credentials
from rootless.registry.errors import RegistryError
from rootless.registry.http import Access, Patience
from rootless.store import Store, blobs, images
from tests.support import child, machine
from tests.support.hostile_registry import (
    INDEX,
    MANIFEST,
    Answer,
    HostileRegistry,
    Request,
    digest,
    serving,
    serving_parts,
)
from tests.support.images import layer, write_layout
from tests.support.registry import Registry

pytestmark = [
    pytest.mark.needs("userns"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

QUICK = Patience(connect=2, read=1, attempts=3, backoff=0.01, longest_wait=0.5)
HTPASSWD = "me:$2b$05$1N7Ngt096qTJAkUTn9s82O4QJn/lOwHvbHMhewT6FmCPstUw2kxD.\n"  # hunter2


@pytest.fixture
def root(tmp_path):
    """A store's folder, deleted afterwards as only the namespace's root can."""
    folder = tmp_path / "store"
    yield folder
    child.remove_tree(folder)


def pull_in_child(root, name, *, platform=None, credentials=None):
    """What a `rootless pull` does: the image, the layers' paths, and all events."""

    def body():
        reference = Reference.parse(name)
        client = Client(reference.registry, credentials, Access(patience=QUICK))
        store = Store(str(root))
        events = []
        wanted = platform or Platform.host()
        image = pull(store, reference, platform=wanted, client=client, report=events.append)
        paths = [one.path for one in images.layers_of(store, image)]
        return image, paths, [(event.layer, event.state) for event in events]

    return child.in_child(body)


def two_layers(tmp_path):
    files = {"etc/": b"", "etc/os": b"one", "etc/link": "os", "gone": b"x"}
    return write_layout(
        tmp_path / "layout",
        "two",
        [layer(files), layer({"etc/os": b"two", ".wh.gone": b"", "big": os.urandom(3 << 20)})],
    )


def nothing_named(root):
    """No image, and no blob or layer under a wrong name; nothing left of the work."""
    store = Store(str(root))
    assert images.listing(store) == ()
    for blob in (root / "blobs" / "sha256").iterdir():
        assert digest(blob.read_bytes()) == f"sha256:{blob.name}"
    assert not [entry for entry in (root / "tmp").iterdir() if entry.is_dir()]
    return True


# --- what works -----------------------------------------------------------------------------


@pytest.mark.needs("registry")
def test_pull_from_a_registry(registry, root, tmp_path):
    name = registry.push(two_layers(tmp_path), "pull/two:1")
    image, paths, events = pull_in_child(root, name)
    assert [str(one) for one in image.references] == [name]
    assert Path(paths[0], "etc/os").read_bytes() == b"one"
    assert Path(paths[1], "etc/os").read_bytes() == b"two"
    assert Path(paths[0], "etc/link").readlink() == Path("os")
    short = [one.digest.short for one in image.manifest.layers]
    for one in short:
        states = [state for layer_id, state in events if layer_id == one]
        assert list(dict.fromkeys(states)) == ["waiting", "downloading", "unpacking", "done"]
    assert list((root / "tmp").iterdir()) == []
    again = pull_in_child(root, name)
    assert again[0] == image
    assert again[2] == [(one, "exists") for one in short]


@pytest.mark.needs("registry", "skopeo")
def test_the_store_is_a_layout_that_skopeo_reads(registry, root, tmp_path):
    name = registry.push(two_layers(tmp_path), "pull/skopeo:1")
    image, _, _ = pull_in_child(root, name)
    copied = tmp_path / "copy"
    policy = ["skopeo", "--insecure-policy", "copy", "--quiet"]
    subprocess.run([*policy, f"oci:{root}:{name}", f"dir:{copied}"], check=True)
    assert digest((copied / "manifest.json").read_bytes()) == str(image.descriptor.digest)


@pytest.mark.needs("registry", "umoci", "pypi")
def test_a_real_image_unpacks_as_umoci_unpacks_it(registry, root, tmp_path, python_image):
    name = registry.push(python_image, "pull/python:3.12-alpine")
    _, paths, _ = pull_in_child(root, name)

    def compare():
        command = ["umoci", "raw", "unpack", "--image", f"{root}:{name}", str(tmp_path / "other")]
        subprocess.run(command, check=True, capture_output=True)
        ours = {}
        for path in paths:  # without whiteouts in this image, upper files cover lower ones
            ours.update(_listing(Path(path)))
        return ours, _listing(tmp_path / "other")

    try:
        ours, theirs = child.in_child(compare)
    finally:
        child.remove_tree(tmp_path / "other")
    assert ours == theirs


def _listing(root):
    found = {}
    for folder, names, files in os.walk(root):
        for name in [*names, *files]:
            path = Path(folder, name)
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else ""
            if path.is_file() and not path.is_symlink():
                content = digest(path.read_bytes())
            ids = (status.st_mode, status.st_uid, status.st_gid)
            found[str(path.relative_to(root))] = (*ids, content)
    return found


@pytest.mark.needs("registry")
def test_registry_with_a_password(root, tmp_path):
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    extra = f"auth: {{htpasswd: {{realm: r, path: {tmp_path}/htpasswd}}}}"
    image = two_layers(tmp_path)
    open_one = Registry(tmp_path / "registry")
    with open_one:
        open_one.push(image, "a/b:1")
    with Registry(tmp_path / "registry", extra=extra) as closed:
        name = f"{closed.address}/a/b:1"
        with pytest.raises(RegistryError, match="or is private"):
            pull_in_child(root, name)
        with pytest.raises(RegistryError, match="does not let this login"):
            pull_in_child(root, name, credentials=Credentials("me", "wrong"))
        pulled, _, _ = pull_in_child(root, name, credentials=Credentials("me", "hunter2"))
    assert str(pulled.descriptor.digest) == image.manifest_digest


def test_platform_is_chosen_from_an_index(root, tmp_path):
    image = two_layers(tmp_path)
    manifest = image.blob(image.manifest_digest)
    index = _index(
        _entry(b"attestation", "unknown", "unknown"),
        _entry(b"other", "linux", "s390x"),
        _entry(manifest, "linux", Platform.host().architecture),
    )
    respond = serving(image, "a/b")
    index_bytes = json.dumps(index).encode()

    def with_index(request):
        if request.path == "/v2/a/b/manifests/2":
            return Answer(200, index_bytes, {"Content-Type": INDEX})
        return respond(request)

    with HostileRegistry(with_index) as registry:
        name = f"{registry.address}/a/b:2"
        pulled, _, _ = pull_in_child(root, name)
        with pytest.raises(NotFoundError, match="no image for linux/riscv64"):
            pull_in_child(root, name, platform=Platform.parse("linux/riscv64"))
    assert str(pulled.descriptor.digest) == image.manifest_digest
    assert [str(one.digest) for one in pulled.repo_digests] == [digest(index_bytes)]


def test_an_index_that_lies_about_the_platform(root):
    """What the image's own config says counts."""
    respond = _packed(None, {"architecture": "s390x"})
    manifest = respond(Request("GET", "/v2/a/b/manifests/1", {}, b"")).body
    lie = _index(_entry(manifest, "linux", Platform.host().architecture))

    def lying(request):
        if request.path == "/v2/a/b/manifests/2":
            return Answer(200, json.dumps(lie).encode(), {"Content-Type": INDEX})
        if request.path.endswith(digest(manifest)):
            return Answer(200, manifest, {"Content-Type": MANIFEST})
        return respond(request)

    with HostileRegistry(lying) as registry:
        with pytest.raises(NotFoundError, match="no image for"):
            pull_in_child(root, f"{registry.address}/a/b:2")
        assert not [path for path in registry.paths() if path.endswith(LAYER_BLOB)]
    assert nothing_named(root)


def test_a_tag_that_changes_with_every_look_is_one_of_its_images(root, tmp_path):
    """Whole: manifest, config and layers of one and the same, by the digest that is recorded."""
    one, other = (
        write_layout(tmp_path / name, name, [layer({"name": name.encode()})])
        for name in ("one", "other")
    )
    both = [serving(image, "a/b") for image in (one, other)]
    looks = []

    def swapped(request):
        if request.path.endswith("/manifests/1"):
            looks.append(request)
            return both[len(looks) % 2](request)
        answers = [respond(request) for respond in both]
        return next((answer for answer in answers if answer.status == 200), answers[0])

    found = set()
    with HostileRegistry(swapped) as registry:
        for _ in range(3):
            image, paths, _ = pull_in_child(root, f"{registry.address}/a/b:1")
            content = Path(paths[0], "name").read_bytes().decode()
            expected = {"one": one, "other": other}[content].manifest_digest
            assert str(image.descriptor.digest) == expected
            assert [str(pulled.digest) for pulled in image.repo_digests] == [expected]
            found.add(content)
    assert found == {"one", "other"}


def test_an_image_without_layers(root):
    """`FROM scratch` and nothing but metadata."""
    respond = _packed(lambda _: {"layers": []}, {"rootfs": {"type": "layers", "diff_ids": []}})
    with HostileRegistry(respond) as registry:
        image, paths, events = pull_in_child(root, f"{registry.address}/a/b:1")
    assert (image.manifest.layers, paths, events) == ((), [], [])


def _entry(manifest, system, architecture):
    platform = {"os": system, "architecture": architecture}
    size = len(manifest)
    return {"mediaType": MANIFEST, "digest": digest(manifest), "size": size, "platform": platform}


def _index(*entries):
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}


def test_an_interrupted_download_is_resumed_by_the_next_pull(root, tmp_path):
    image = two_layers(tmp_path)
    respond = serving(image, "a/b")
    biggest = max((tmp_path / "layout/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)

    def cut(request):
        answer = respond(request)
        is_late = "Range" in request.headers
        if request.path.endswith(biggest.name):
            return Answer(500) if is_late else answer._replace(cut=2 << 20)
        return answer

    with HostileRegistry(cut) as registry:
        name = f"{registry.address}/a/b:1"
        with pytest.raises(RegistryError):
            pull_in_child(root, name)
        assert nothing_named(root)
        registry.respond = respond
        registry.requests.clear()
        pull_in_child(root, name)
        (request,) = [one for one in registry.requests if one.path.endswith(biggest.name)]
        assert int(request.headers["Range"][6:-1]) >= 1 << 20


# --- what must not ----------------------------------------------------------------------------


def _damage(image, which, change):
    """The honest answers, but one blob goes through `change`."""
    respond = serving(image, "a/b")
    manifest = json.loads(image.blob(image.manifest_digest))
    blobs = [manifest["config"], *manifest["layers"]]

    def damaged(request):
        answer = respond(request)
        if request.path.endswith(blobs[which]["digest"]):
            return Answer(200, change(answer.body))
        return answer

    return damaged


CHANGES = {
    "flipped": lambda body: body[:-9] + bytes([body[-9] ^ 1]) + body[-8:],
    "longer": lambda body: body + b"!",
    "shorter": lambda body: body[:-1],
    "other": lambda body: gzip.compress(os.urandom(len(body)))[: len(body)],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_blob_is_checked(root, tmp_path, which, change):
    image = two_layers(tmp_path)
    with HostileRegistry(_damage(image, which, CHANGES[change])) as registry:
        name = f"{registry.address}/a/b:1"
        with pytest.raises(IntegrityError):
            pull_in_child(root, name)
        assert nothing_named(root)
        registry.respond = serving(image, "a/b")
        pull_in_child(root, name)  # and nothing bad stays to be resumed


def test_nothing_is_left_of_a_layer_that_was_still_being_unpacked(root, tmp_path, monkeypatch):
    """What comes is unpacked beside: of many files some are not made yet when the end is wrong."""
    publish = blobs.Writer.publish

    def late(writer: blobs.Writer) -> None:
        time.sleep(0.1)
        publish(writer)

    monkeypatch.setattr(blobs.Writer, "publish", late)
    many = layer({f"{number}": os.urandom(400) for number in range(20_000)})
    image = write_layout(tmp_path / "layout", "many", [many])
    with (
        HostileRegistry(_damage(image, 1, CHANGES["flipped"])) as registry,
        pytest.raises(IntegrityError),
    ):
        pull_in_child(root, f"{registry.address}/a/b:1")
    assert nothing_named(root)


def _packed(manifest_change=None, config_change=None):
    """An image of one layer, with its manifest and config changed: `respond`."""
    tar = layer({"file": b"content"})
    blob = gzip.compress(tar, mtime=0)
    config = {
        "architecture": Platform.host().architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
        **(config_change or {}),
    }
    config_bytes = json.dumps(config).encode()
    kind = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(f"{kind}config.v1+json", config_bytes),
        "layers": [_descriptor(f"{kind}layer.v1.tar+gzip", blob)],
    }
    manifest = {**manifest, **(manifest_change(manifest) if manifest_change else {})}
    contents = {digest(blob): blob, digest(config_bytes): config_bytes}
    return serving_parts("a/b", {"1": json.dumps(manifest).encode()}, contents)


def _descriptor(media_type, content):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def _with_layer(manifest, **changes):
    return {"layers": [{**manifest["layers"][0], **changes}]}


REFUSED = {
    "diff_id": (_packed(None, {"rootfs": {"diff_ids": ["sha256:" + "0" * 64]}}), "other contents"),
    "no diff_ids": (_packed(None, {"rootfs": {"diff_ids": []}}), "1 layers, but its config"),
    "digest as path": (_packed(lambda m: _with_layer(m, digest="sha256:../../x")), "not a digest"),
    "md5": (_packed(lambda m: _with_layer(m, digest="md5:" + "0" * 32)), "not a digest"),
    "upper case": (
        _packed(lambda m: _with_layer(m, digest=m["layers"][0]["digest"].upper())),
        "not a digest",
    ),
    "size lies": (_packed(lambda m: _with_layer(m, size=3)), "size its manifest says"),
    "negative size": (_packed(lambda m: _with_layer(m, size=-1)), "impossible size"),
    "two meanings": (_packed(lambda m: {"manifests": []}), "as an image and as an index"),
    "media type lies": (_packed(lambda m: {"mediaType": INDEX}), "does not look like one"),
    "schema 1": (_packed(lambda m: {"schemaVersion": 1}), "schema 1"),
    "no image": (_packed(lambda m: _with_layer(m, mediaType="text/plain")), "unknown kind"),
    "other machine": (_packed(None, {"architecture": "s390x"}), "no image for"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_manifests_that_are_refused(root, case):
    respond, words = REFUSED[case]
    with HostileRegistry(respond) as registry:
        with pytest.raises((IntegrityError, NotFoundError), match=words):
            pull_in_child(root, f"{registry.address}/a/b:1")
        if case not in {"diff_id", "size lies"}:
            assert not [path for path in registry.paths() if path.endswith(LAYER_BLOB)]
    if root.exists():
        assert nothing_named(root)


LAYER_BLOB = digest(gzip.compress(layer({"file": b"content"}), mtime=0))


def test_sender_and_body_disagree(root):
    respond = _packed()

    def lying(request):
        answer = respond(request)
        is_manifest = "/manifests/" in request.path
        return answer._replace(headers={"Content-Type": INDEX}) if is_manifest else answer

    with (
        HostileRegistry(lying) as registry,
        pytest.raises(IntegrityError, match="its sender says"),
    ):
        pull_in_child(root, f"{registry.address}/a/b:1")


def test_foreign_urls_are_not_followed(root):
    with HostileRegistry(lambda _: Answer(500), "127.0.0.2") as other:
        urls = [f"http://{other.address}/layer"]
        with HostileRegistry(_packed(lambda m: _with_layer(m, urls=urls))) as registry:
            pull_in_child(root, f"{registry.address}/a/b:1")
        assert other.requests == []


def test_a_layer_that_is_no_tar(root):
    blob = gzip.compress(b"not a tar" * 999)
    plain = digest(b"not a tar" * 999)
    respond = _packed(
        lambda m: {"layers": [_descriptor(m["layers"][0]["mediaType"], blob)]},
        {"rootfs": {"diff_ids": [plain]}},
    )

    def with_blob(request):
        return Answer(200, blob) if request.path.endswith(digest(blob)) else respond(request)

    with HostileRegistry(with_blob) as registry, pytest.raises(IntegrityError):
        pull_in_child(root, f"{registry.address}/a/b:1")
    assert images.listing(Store(str(root))) == ()


# --- many layers, and their ends ---------------------------------------------------------------


def test_an_image_of_many_layers_needs_few_processes(root, tmp_path):
    count = 60
    layers = [layer({f"f{n}": b"%d" % n, f"d{n}/g": b""}) for n in range(count)]
    image = write_layout(tmp_path / "layout", "many", layers)
    with HostileRegistry(serving(image, "a/b")) as registry:
        name = f"{registry.address}/a/b:1"
        seen, paths = child.in_child(lambda: _pull_counting(root, name))
    assert 1 <= max(seen) <= len(os.sched_getaffinity(0)) + 1
    for n, path in enumerate(paths):
        assert sorted(os.listdir(path)) == [f"d{n}", f"f{n}"]
        assert Path(path, f"f{n}").read_bytes() == b"%d" % n
    assert list((root / "tmp").iterdir()) == []


def _pull_counting(root, name):
    """How many children this process has at each event of a pull, and the layers' paths."""
    seen = []

    def report(_):
        seen.append(len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))

    reference, store = Reference.parse(name), Store(str(root))
    client = Client(reference.registry, access=Access(patience=QUICK))
    image = pull(store, reference, platform=Platform.host(), client=client, report=report)
    return seen, [one.path for one in images.layers_of(store, image)]


def _stalling(image, until):
    """Honest, but every blob other than the config stalls in its middle, for `until()`'s sake."""
    respond = serving(image, "a/b")
    config = json.loads(image.blob(image.manifest_digest))["config"]["digest"]

    def stalled(request):
        answer = respond(request)
        if "/blobs/" not in request.path or request.path.endswith(config):
            return answer
        return until(request, answer._replace(cut=len(answer.body) // 2, stall=60))

    return stalled


def test_a_failure_ends_the_other_layers_at_once(root, tmp_path):
    """Threads that wait for a registry are not waited for; what they made is deleted."""
    image = two_layers(tmp_path)
    smallest = json.loads(image.blob(image.manifest_digest))["layers"][0]["digest"]

    def fail_one(request, answer):
        if request.path.endswith(smallest):
            time.sleep(0.5)
            return Answer(403)
        return answer

    def body(name):
        reference = Reference.parse(name)
        client = Client(reference.registry, access=Access(patience=QUICK.replace(read=300)))
        with pytest.raises(RegistryError, match="private"):
            pull(
                Store(str(root)),
                reference,
                platform=Platform.host(),
                client=client,
                report=lambda _: None,
            )
        return threading.active_count()

    began = time.monotonic()
    with HostileRegistry(_stalling(image, fail_one)) as registry:
        assert child.in_child(lambda: body(f"{registry.address}/a/b:1")) == 1
        assert time.monotonic() - began < 30
    assert nothing_named(root)


def test_an_interrupted_pull_is_quiet_quick_and_resumed(root, tmp_path):
    image = two_layers(tmp_path)
    biggest = json.loads(image.blob(image.manifest_digest))["layers"][1]["digest"]
    with HostileRegistry(_stalling(image, lambda _, answer: answer)) as registry:
        name = f"{registry.address}/a/b:1"
        victim = start_pull(root, name, stderr=subprocess.PIPE, process_group=0)
        part = root / "tmp" / biggest.replace(":", "-")
        for _ in range(600):
            if part.exists() and part.stat().st_size >= 1 << 20:
                break
            time.sleep(0.05)
        os.killpg(victim.pid, signal.SIGINT)  # as a terminal does it: to the unpackers too
        _, told = victim.communicate(timeout=120)
        assert (victim.returncode, told) == (130, "")
        assert not [entry for entry in (root / "tmp").iterdir() if entry.is_dir()]
        registry.respond = serving(image, "a/b")
        registry.requests.clear()
        pull_in_child(root, name)
    (request,) = [one for one in registry.requests if one.path.endswith(biggest)]
    assert int(request.headers["Range"][6:-1]) >= 1 << 20


def test_what_an_earlier_pull_left_is_told_before_the_rest(root, tmp_path):
    """For whoever shows how fast it goes."""
    image = two_layers(tmp_path)
    (one, biggest) = json.loads(image.blob(image.manifest_digest))["layers"]
    (root / "tmp").mkdir(parents=True)
    part = root / "tmp" / biggest["digest"].replace(":", "-")
    part.write_bytes(image.blob(biggest["digest"])[: 2 << 20])
    with HostileRegistry(serving(image, "a/b")) as registry:
        events = child.in_child(lambda: _events(root, f"{registry.address}/a/b:1"))
    first = [event for event in events if event.state == "waiting"]
    assert [event.total for event in first] == [one["size"], biggest["size"]]
    big = [event.current for event in events if event.total == biggest["size"]]
    assert big[:2] == [0, 2 << 20]
    assert big == sorted(big)
    assert big[-1] == biggest["size"]


def _events(root, name):
    reference, events = Reference.parse(name), []
    client = Client(reference.registry, access=Access(patience=QUICK))
    store = Store(str(root))
    pull(store, reference, platform=Platform.host(), client=client, report=events.append)
    return events


# --- several at once, and sudden ends ------------------------------------------------------------

PULL = """
import sys
from rootless import userns
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.registry.client import Client
from rootless.store import Store
from rootless.image.pull import pull
userns.enter()
reference = Reference.parse(sys.argv[2])
def report(event):
    print(event.layer, event.state, flush=True)
try:
    pull(Store(sys.argv[1]), reference, platform=Platform.host(),
         client=Client(reference.registry), report=report)
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_pull(root, name, **options):
    return subprocess.Popen(
        [sys.executable, "-c", PULL, str(root), name],
        env={**os.environ, "PYTHONPATH": str(machine.PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_two_pulls_at_once_download_once(root, tmp_path):
    image = two_layers(tmp_path)
    respond = serving(image, "a/b")

    def slowly(request):
        time.sleep(0.1 if "/blobs/" in request.path else 0)
        return respond(request)

    with HostileRegistry(slowly) as registry:
        pulls = [start_pull(root, f"{registry.address}/a/b:1") for _ in range(3)]
        assert [one.communicate(timeout=120) and one.returncode for one in pulls] == [0, 0, 0]
        asked = [path for path in registry.paths() if "/blobs/" in path]
    assert len(asked) == len(set(asked)) == 3


MEMORY = """
import resource
own = open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_a_layer_larger_than_the_memory_that_a_pull_may_take(root, tmp_path):
    """Neither who downloads nor who unpacks holds it: 64 MiB are enough for any."""
    noise = os.urandom(1 << 20)
    content = b"".join(noise[at:] + noise[:at] for at in range(96))
    image = write_layout(tmp_path / "big", "x:1", [layer({"big": content})])
    assert max(path.stat().st_size for path in image.layout.rglob("*")) > 64 << 20
    with HostileRegistry(serving(image, "a/b")) as registry:
        argv = [sys.executable, "-c", PULL + MEMORY, str(root), f"{registry.address}/a/b:1"]
        environment = {**os.environ, "PYTHONPATH": str(machine.PROJECT)}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=300, check=True
        )
    own, unpacker = map(int, done.stdout.splitlines()[-1].split())
    assert own < 64 << 10
    assert unpacker < 64 << 10
    (found,) = (root / "layers").rglob("big")
    assert found.stat().st_size == len(content)


@pytest.mark.parametrize("after", [0, 1, 3, 8])
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_pull_leaves_a_good_store(root, tmp_path, kill, after):
    image = two_layers(tmp_path)
    with HostileRegistry(serving(image, "a/b")) as registry:
        name = f"{registry.address}/a/b:1"
        victim = start_pull(root, name)
        for _ in range(after):
            victim.stdout.readline()
        victim.send_signal(kill)
        victim.communicate(timeout=120)
        pulled, paths, _ = pull_in_child(root, name)
    assert str(pulled.descriptor.digest) == image.manifest_digest
    assert Path(paths[1], "etc/os").read_bytes() == b"two"
    assert not [entry for entry in (root / "tmp").iterdir() if entry.is_dir()]


def test_an_unpacker_that_is_late_finds_the_finished_blob(root, tmp_path, monkeypatch):
    image = two_layers(tmp_path)
    unpack = unpacking.unpack_layer

    def late(*arguments, **named):
        while len(list((root / "blobs/sha256").iterdir())) < 3:  # the config and both layers
            time.sleep(0.01)
        return unpack(*arguments, **named)

    monkeypatch.setattr(unpacking, "unpack_layer", late)
    with HostileRegistry(serving(image, "a/b")) as registry:
        _, paths, _ = pull_in_child(root, f"{registry.address}/a/b:1")
    assert Path(paths[1], "etc/os").read_bytes() == b"two"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("size=2m", "No space left|disk is full"),
        ("size=5m", "No space left|disk is full"),
        ("ro", "written"),
    ],
)
def test_a_full_or_read_only_disk_is_a_sentence(tmp_path, options, words):
    root = tmp_path / "store"
    root.mkdir()
    image = two_layers(tmp_path)  # with a layer of 3 MB

    def body(name):
        reference = Reference.parse(name)
        flags = linux.MS_RDONLY if options == "ro" else 0
        linux.mount("tmpfs", str(root), "tmpfs", flags, f"mode=700,{options}".removesuffix(",ro"))
        store, client = Store(str(root)), Client(reference.registry, access=Access(patience=QUICK))
        with pytest.raises(RootlessError, match=words):
            pull(store, reference, platform=Platform.host(), client=client, report=lambda _: None)
        assert images.listing(store) == ()

    with HostileRegistry(serving(image, "a/b")) as registry:
        child.in_child(lambda: body(f"{registry.address}/a/b:1"))


@pytest.mark.needs("strace", "unshare")
def test_a_blob_is_on_disk_before_it_has_its_name(root, tmp_path):
    """fsync of the file, rename, fsync of its folder: a power cut leaves all of it or nothing."""
    calls = "--trace=openat,fsync,fdatasync,rename,renameat,renameat2"
    put = (
        "import sys\n"
        "from rootless.oci.descriptor import Descriptor\n"
        "from rootless.oci.digest import Digest\n"
        "from rootless.store import Store, blobs\n"
        "content = b'content'\n"
        "with blobs.Writer(Store(sys.argv[1]), Descriptor('', Digest.of(content), 7)) as writer:\n"
        "    writer.write(content)\n"
        "    writer.publish()\n"
    )
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-qq", "-y", "-o", trace, calls, sys.executable, "-c", put, str(root)],
        env={**os.environ, "PYTHONPATH": str(machine.PROJECT)},
        check=True,
    )
    lines = trace.read_text().splitlines()
    name = digest(b"content").removeprefix("sha256:")
    (named,) = [n for n, line in enumerate(lines) if "rename" in line and name in line]
    synced = [
        n for n, line in enumerate(lines) if "sync(" in line and f"tmp/sha256-{name}>" in line
    ]
    folder = [n for n, line in enumerate(lines) if "sync(" in line and "blobs/sha256>" in line]
    assert synced
    assert folder
    assert synced[0] < named < folder[-1]
