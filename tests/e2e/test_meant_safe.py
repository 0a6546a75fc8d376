"""What hostile images, archives, registries and contexts get, asked of the command line alone."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from base64 import b64encode

import pytest

from tests.conftest import Rootless
from tests.support import child, nameserver
from tests.support.hostile_registry import Answer, HostileRegistry, serving
from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "overlay", "busybox")

RUN = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def store(tmp_path_factory, busybox_image):
    folder = tmp_path_factory.mktemp("safe")
    command = Rootless(folder / "store")
    command.load(busybox_image, folder)
    yield command
    child.remove_tree(folder / "store")


def status(store, *flags, **options):
    """The fields of process 1's status inside."""
    text = store.ok(*RUN, *flags, "busybox", "cat", "/proc/self/status", **options)
    return dict(line.split(":\t", 1) for line in text.splitlines())


# --- who the command is --------------------------------------------------------------------------


@pytest.mark.needs("subids")
@pytest.mark.parametrize("user", ["1000:1000", "1000:50", "0:7"])
def test_the_primary_group_is_among_the_groups(store, user):
    """CVE-2022-36109."""
    assert status(store, "-u", user)["Groups"].split() == [user.partition(":")[2]]


@pytest.mark.needs("subids")
def test_the_primary_group_of_a_builds_user_too(store):
    text = "FROM busybox\nUSER 1000:1000\nRUN grep -x 'Groups:.1000 *' /proc/self/status\n"
    store.ok("build", "-", stdin=text)


def test_what_is_dropped_of_all_capabilities(store):
    sys_admin, chown = 1 << 21, 1 << 0
    everything = int(status(store, "--cap-add", "ALL")["CapEff"], 16)
    assert everything & sys_admin
    assert everything & chown
    for flags in (("--cap-add", "ALL", "--cap-drop", "SYS_ADMIN"),
                  ("--cap-drop", "CAP_SYS_ADMIN", "--cap-add", "all")):  # fmt: skip
        found = status(store, *flags)
        assert int(found["CapEff"], 16) == everything & ~sys_admin
        assert int(found["CapBnd"], 16) == everything & ~sys_admin
    few = status(store, "--cap-drop", "ALL", "--cap-add", "CHOWN")
    assert int(few["CapEff"], 16) == chown


IGNORED = (signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1)


def ignoring():
    """As nohup, or a shell for its jobs in the background."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)


@pytest.mark.parametrize("flags", [(), ("--init",)])
def test_signals_that_the_caller_ignores_are_default_inside(store, flags):
    assert int(status(store, *flags, preexec_fn=ignoring)["SigIgn"], 16) == 0


def test_signals_that_the_caller_ignores_are_default_in_a_build(store):
    text = 'FROM busybox\nRUN ["grep", "-x", "SigIgn:.0*", "/proc/self/status"]\n'
    store.ok("build", "--no-cache", "-", stdin=text, preexec_fn=ignoring)


@pytest.mark.parametrize("network", ["none", "host"])
def test_the_kernels_views_are_read_only_at_every_depth(store, network):
    text = store.ok("run", "--rm", "--network", network, "busybox", "cat", "/proc/self/mountinfo")
    mounts = [(line.split()[4], set(line.split()[5].split(","))) for line in text.splitlines()]
    views = [(path, flags) for path, flags in mounts if f"{path}/".startswith("/sys/")]
    assert len(views) > 1 or network == "none"
    for path, flags in views:
        assert "ro" in flags, path
    (shm,) = (flags for path, flags in mounts if path == "/dev/shm")
    assert shm >= {"nosuid", "nodev", "noexec", "rw"}


# --- a folder shared with a container that swaps what is in it -----------------------------------


@pytest.mark.needs("strace", "unshare")
def test_a_folder_swapped_for_a_link_changes_no_mode_outside(store, tmp_path):
    """The mount point in a shared folder becomes a link while a chmod(2) by its path would wait."""
    shared, secret = tmp_path / "shared", tmp_path / "secret"
    shared.mkdir()
    secret.write_text("for its owner")
    secret.chmod(0o600)
    made = shared / "made"

    def swap():
        end = time.monotonic() + 60
        while not made.exists() and time.monotonic() < end:
            time.sleep(0.001)
        made.rename(shared / "away")
        made.symlink_to(secret)

    swapper = threading.Thread(target=swap)
    swapper.start()
    # A user's newuidmap is not set-uid under strace: root of a namespace needs none.
    calls = "chmod,fchmodat"
    late = f"--inject={calls}:delay_enter=500000"
    traced = ("unshare", "--map-root-user", "strace", "-f", "-qq", "-o", "/dev/null", late)
    volumes = ("-v", f"{shared}:/data", "--tmpfs", "/data/made")
    subprocess.run(
        [*traced, f"--trace={calls}", *store.command(*RUN, *volumes, "busybox", "true")],
        env=store.environment, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    swapper.join()
    assert made.is_symlink()
    assert secret.stat().st_mode & 0o7777 == 0o600


# --- what a context may be -----------------------------------------------------------------------

SECRET = "-----BEGIN PRIVATE KEY-----"


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (tmp_path / "key").write_text(f"{SECRET}\n[\n")
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    return folder


def limited():
    """What reads a device without end has no memory left, before the machine has none."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))


@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"])
@pytest.mark.parametrize("kind", ["link out", "pipe", "endless", "huge"])
def test_what_is_no_file_of_the_context_is_not_read_for_a_build(rootless, context, name, kind):
    place = context / name
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "huge":
        with open(place, "wb") as file:
            file.truncate(1 << 40)
    else:
        place.symlink_to("../key" if kind == "link out" else "/dev/zero")
    refused = rootless("build", "-q", context, timeout=30, preexec_fn=limited)
    assert refused.exit == 1
    assert refused.stderr.startswith(f"error: {place} ")
    assert SECRET not in refused.stderr
    assert "Traceback" not in refused.stderr


# --- names, layers and blobs that belong to others -----------------------------------------------

PRIVATE = layer({"key": b"private"})
PUBLIC = layer({"file": b"public"})


def load(rootless, folder, name, layers, claimed=None):
    """Load an image of these layers, by an archive of our own making."""
    image = write_layout(folder / name.replace("/", "_"), name, layers, claimed=claimed)
    rootless.ok("load", "-i", image.archive(folder / "archive.tar"))
    return image


@pytest.mark.parametrize("where", ["manifest.json", "index.json"])
def test_an_archive_gives_no_name_with_a_digest(rootless, tmp_path, where):
    good = write_layout(tmp_path / "good", "x:1", [PUBLIC])
    with HostileRegistry(serving(good, "a/b")) as registry:
        rootless.ok("pull", "-q", f"{registry.address}/a/b:1")
        pinned = f"{registry.address}/a/b@{good.manifest_digest}"
    before = rootless.ok("inspect", "--format", "{{.Id}}", pinned)
    evil = write_layout(tmp_path / "evil", "y:1", [PRIVATE])
    listed = json.loads((evil.layout / where).read_bytes())
    if where == "manifest.json":
        listed[0]["RepoTags"] = [pinned]
        (evil.layout / "index.json").unlink()
    else:
        listed["manifests"][0]["annotations"] = {"io.containerd.image.name": pinned}
        (evil.layout / "manifest.json").unlink()
    (evil.layout / where).write_text(json.dumps(listed))
    rootless("load", "-i", evil.archive(tmp_path / "evil.tar"))
    assert rootless.ok("inspect", "--format", "{{.Id}}", pinned) == before
    rootless.ok("rmi", f"{pinned.partition('@')[0]}:1")
    assert rootless("inspect", pinned).exit == 1


def test_a_pull_is_given_no_layer_of_another_image(rootless, tmp_path):
    load(rootless, tmp_path, "docker.io/library/secret:1", [PRIVATE])
    load(rootless, tmp_path, "docker.io/library/public:1", [PUBLIC])
    evil = write_layout(tmp_path / "evil", "evil:1", [PUBLIC], claimed=[PRIVATE])
    with HostileRegistry(serving(evil, "a/b")) as registry:
        refused = rootless("pull", "-q", f"{registry.address}/a/b:1")
        assert refused.exit == 1, rootless.ok("images")
        assert "other contents" in refused.stderr
    assert sorted(rootless.ok("images", "--format", "{{.Repository}}").split()) == [
        "public",
        "secret",
    ]


def test_an_archive_has_to_bring_what_it_claims(rootless, tmp_path):
    """The manifest and the config are right; the layer's member has another content."""
    image = load(rootless, tmp_path, "docker.io/library/secret:1", [PRIVATE])
    (wanted,) = json.loads(image.blob(image.manifest_digest))["layers"]
    with (
        tarfile.open(tmp_path / "archive.tar") as good,
        tarfile.open(tmp_path / "evil.tar", "w") as evil,
    ):
        for member in good:
            content = good.extractfile(member).read() if member.isreg() else b""
            if member.name.endswith(wanted["digest"].removeprefix("sha256:")):
                content = bytes(len(content))
            evil.addfile(member, io.BytesIO(content))
    refused = rootless("load", "-i", tmp_path / "evil.tar")
    assert refused.exit == 1
    assert "other contents" in refused.stderr


# --- logins and addresses ------------------------------------------------------------------------


@pytest.fixture
def login(tmp_path):
    """login(registry): the environment of a user who is logged in there."""

    def of(rootless, registry):
        secret = {"auth": b64encode(b"me:hunter2").decode()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: secret}}))
        environment = {**rootless.environment, "DOCKER_CONFIG": str(tmp_path)}
        environment.pop("REGISTRY_AUTH_FILE", None)
        return environment

    return of


@pytest.mark.parametrize("asking", [False, True], ids=["silent", "asks for it"])
def test_a_login_is_not_shown_to_another_port(rootless, tmp_path, login, asking):
    image = write_layout(tmp_path / "image", "x:1", [PUBLIC])
    honest = serving(image, "a/b")

    def thief(request):
        if asking and not request.headers.get("Authorization"):
            return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return honest(request)

    with HostileRegistry(thief) as other:

        def respond(request):
            if "/blobs/" in request.path:
                return Answer(307, headers={"Location": f"http://{other.address}{request.path}"})
            if not asking and not request.headers.get("Authorization"):
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
            return honest(request)

        with HostileRegistry(respond) as registry:
            name = f"{registry.address}/a/b:1"
            result = rootless("pull", "-q", name, env=login(rootless, registry))
            sent = [one.headers.get("Authorization") for one in registry.requests]
        assert result.exit == int(asking), result.stderr
        assert any(sent) == (not asking)
        assert {one.headers.get("Authorization") for one in other.requests} == {None}


def test_a_login_is_not_shown_to_a_token_server_on_another_port(rootless, tmp_path, login):
    with HostileRegistry(lambda _: Answer(200, b'{"token":"t"}')) as thief:
        realm = f'Bearer realm="http://{thief.address}/token",service="s"'
        with HostileRegistry(lambda _: Answer(401, headers={"WWW-Authenticate": realm})) as one:
            refused = rootless("pull", f"{one.address}/a/b:1", env=login(rootless, one))
        assert refused.exit == 1
        assert not [one for one in thief.requests if one.headers.get("Authorization")]


def test_an_address_that_was_looked_at_is_connected_to(rootless, tmp_path):
    """The name server says something else the second time."""
    image = write_layout(tmp_path / "image", "x:1", [PUBLIC])
    honest = serving(image, "a/b")
    blob = json.loads(image.blob(image.manifest_digest))["layers"][0]["digest"]

    def respond(request):
        host, _, port = request.headers["Host"].partition(":")
        if request.path.endswith(blob) and host != "cdn.test":
            return Answer(307, headers={"Location": f"http://cdn.test:{port}{request.path}"})
        return honest(request)

    def body():
        asked = nameserver.serve(tmp_path, {"cdn.test": ["127.0.0.2", "127.0.0.3"]})
        with HostileRegistry(respond, "127.0.0.2") as registry:
            port = int(registry.address.rpartition(":")[2])
            with HostileRegistry(honest, "127.0.0.3", port) as elsewhere:
                result = rootless("pull", "-q", f"{registry.address}/a/b:1", timeout=120)
                return result, asked, elsewhere.paths()

    result, asked, elsewhere = child.in_child(body)
    assert result.exit == 0, result.stderr
    assert (asked, elsewhere) == (["cdn.test"], [])
