"""`push`, typed as with docker: its words, its errors, and what others make of what arrived."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tempfile

import pytest

from tests.support import child
from tests.support.hub import PASSWORD, USER, Hub
from tests.support.images import layer, write_layout
from tests.support.registry import Registry
from tests.support.taking import Fault, Taking

pytestmark = pytest.mark.needs("userns")

DOCKERFILE = 'FROM base\nCOPY one /one\nCOPY two /two\nCMD ["/one"]\n'


@pytest.fixture
def built(rootless, tmp_path):
    """A store with `base`, and `app`, which was built here on top of it."""
    base = write_layout(tmp_path / "base", "docker.io/library/base:latest", [layer({"b": b"base"})])
    rootless.load(base, tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "one").write_text("first")
    (context / "two").write_bytes(bytes(range(256)) * 9000)
    rootless.ok("build", "-q", "-t", "app", context)
    return rootless


def digest_in(text):
    (found,) = re.findall(r"digest: (sha256:[0-9a-f]{64}) size: \d+$", text, re.MULTILINE)
    return found


def test_words_in_a_pipe(built):
    with Taking() as registry:
        name = f"{registry.address}/course/app:v1"
        built.ok("tag", "app", name)
        first = built.ok("push", name).splitlines()
        second = built.ok("push", name).splitlines()
    ids = json.loads(built.ok("inspect", "-f", "{{json .RootFS.Layers}}", "app"))
    short = [one.removeprefix("sha256:")[:12] for one in reversed(ids)]
    assert first[0] == f"The push refers to repository [{registry.address}/course/app]"
    assert first[1:4] == [f"{one}: Preparing" for one in short]
    assert {line for line in first if line.endswith("Pushed")} == {
        f"{one}: Pushed" for one in short
    }
    assert re.fullmatch(r"v1: digest: sha256:[0-9a-f]{64} size: \d+", first[-1])
    assert second[4:7] == [f"{one}: Layer already exists" for one in short]
    assert second[-1] == first[-1]


def test_the_digest_is_what_the_registry_has_and_what_images_shows(built, tmp_path):
    with Taking() as registry:
        name = f"{registry.address}/course/app"
        built.ok("tag", "app", name)
        told = built.ok("push", "--digestfile", tmp_path / "digest", name)
        assert told.startswith("Using default tag: latest\n")
        manifest = registry.manifests["course/app", digest_in(told)]
        assert f"size: {len(manifest)}\n" in told
    assert (tmp_path / "digest").read_text() == digest_in(told)
    assert digest_in(told) in built.ok("images", "--digests", name)
    shown = json.loads(built.ok("inspect", "-f", "{{json .RepoDigests}}", name))
    assert f"{name}@{digest_in(told)}" in shown


def test_quiet_prints_the_name(built):
    with Taking() as registry:
        name = f"{registry.address}/course/app:v1"
        built.ok("tag", "app", name)
        assert built.ok("push", "-q", name) == f"{name}\n"
        assert ("course/app", "v1") in registry.manifests


def test_all_tags(built):
    with Taking() as registry:
        name = f"{registry.address}/course/app"
        for tag in ("1", "2"):
            built.ok("tag", "app", f"{name}:{tag}")
        built.ok("tag", "base", f"{name}:base")
        told = built.ok("push", "-a", name)
        assert [line.split(":")[0] for line in told.splitlines() if "digest:" in line] == [
            "1",
            "2",
            "base",
        ]
        assert {tag for _, tag in registry.manifests if ":" not in tag} == {"1", "2", "base"}


def test_a_destination_as_podman_has_it(built):
    with Taking() as registry:
        built.ok("push", "app", f"docker://{registry.address}/other/name:9")
        assert ("other/name", "9") in registry.manifests
    assert "other/name" not in built.ok("images")


def test_image_push_is_push(built):
    with Taking() as registry:
        built.ok("image", "push", "app", f"{registry.address}/a/b:1")
        assert ("a/b", "1") in registry.manifests


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["localhost:1/nope"], "An image does not exist locally with the tag: localhost:1/nope"),
        (["localhost:1/app:3"], "tag does not exist: localhost:1/app:3"),
        (["-a", "localhost:1/nope"], "An image does not exist locally with the tag"),
        (["-a", "localhost:1/app:1"], "tag can't be used with --all-tags/-a"),
        ([f"localhost:1/app@sha256:{'1' * 64}"], "cannot push a digest reference"),
        (["localhost:1/App"], "must be in lower case"),
        (["--compression", "lz4", "localhost:1/app:1"], "'lz4' is not a compression"),
        (["localhost:1/app:1"], "cannot connect to localhost:1"),
        (["localhost:1/ap:1"], "An image does not exist locally"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_errors(built, argv, words):
    built.ok("tag", "app", "localhost:1/app:1")
    result = built("push", *argv)
    assert result.exit == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_one_letter_off_is_helped(built):
    built.ok("tag", "app", "localhost:1/app:1")
    assert "did you mean localhost:1/app:1?" in built("push", "localhost:1/ap:1").stderr


def test_a_registry_that_refuses_says_how_to_log_in(built):
    with Taking() as registry:
        registry.fail("HEAD", Fault(401))
        result = built("push", "app", f"{registry.address}/a/b:1")
    assert result.exit == 1
    assert f"error: {registry.address} does not let you push to a/b" in result.stderr
    assert f"rootless login {registry.address}" in result.stderr


def test_what_the_registry_says_is_made_safe_to_show(built):
    body = {"errors": [{"code": "DENIED", "message": "\x1b[31mno\r"}]}
    with Taking() as registry:
        registry.fail("HEAD", Fault(403))
        registry.fail("POST", Fault(400, headers={"X": json.dumps(body)}))
        result = built("push", "app", f"{registry.address}/a/b:1")
    assert "\x1b" not in result.stderr


# --- others read it ---------------------------------------------------------------------------


@pytest.mark.needs("registry", "skopeo")
@pytest.mark.parametrize("how", ["gzip", "zstd:5"])
def test_skopeo_gets_what_was_pushed(built, registry, tmp_path, how):
    name = f"{registry.address}/push/skopeo:{how.partition(':')[0]}"
    told = built.ok("push", "--compression", how, "app", name)
    command = ["skopeo", "copy", "--quiet", "--src-tls-verify=false", f"docker://{name}"]
    subprocess.run([*command, f"dir:{tmp_path}/got"], check=True)
    manifest = json.loads((tmp_path / "got/manifest.json").read_bytes())
    kinds = [one["mediaType"].rpartition("+")[2] for one in manifest["layers"]]
    assert kinds == ["gzip", *[how.partition(":")[0]] * 2]
    inspected = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"],
        check=True,
        capture_output=True,
    )
    assert json.loads(inspected.stdout)["Digest"] == digest_in(told)


@pytest.mark.needs("registry", "podman", "subids")
def test_podman_reads_the_files(built, registry):
    name = f"{registry.address}/push/podman:1"
    built.ok("push", "app", name)
    folder = tempfile.mkdtemp()  # podman wants a short path
    store = ["--root", f"{folder}/store", "--runroot", f"{folder}/run"]
    podman = ["podman", *store, "--storage-driver", "vfs"]
    script = (
        f"set -e; {' '.join(podman)} pull -q --tls-verify=false {name} >/dev/null\n"
        f"top=$({' '.join(podman)} image mount {name})\n"
        'cat "$top/one"; wc -c <"$top/two"; cat "$top/b"'
    )
    try:
        told = subprocess.run(
            [*podman, "unshare", "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.stdout == "first2304000\nbase", told.stderr
    finally:
        subprocess.run([*podman, "unshare", "rm", "-rf", folder], check=False)


@pytest.mark.needs("registry")
def test_push_and_pull_into_another_store(built, registry, tmp_path):
    name = f"{registry.address}/push/again:1"
    built.ok("push", "app", name)
    other = type(built)(tmp_path / "other")
    try:
        other.ok("pull", "-q", name)
        ours, theirs = (
            json.loads(one.ok("inspect", "-f", "{{json .RootFS}}", image))
            for one, image in ((built, "app"), (other, name))
        )
        assert ours == theirs
        assert "is up to date" in other.ok("pull", name)
    finally:
        child.remove_tree(tmp_path / "other")


@pytest.mark.needs("registry")
def test_a_store_that_can_only_be_read_pushes_what_needs_no_packing(built, registry, tmp_path):
    """What is there in its packed form is sent from a store on a medium that is write-protected."""
    name = f"{registry.address}/push/readonly:1"
    command = built.command("push", "-q", "base", name)
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    told = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(built.root), *command],
        env=built.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr


# --- told and tried -----------------------------------------------------------------------------


@pytest.mark.needs("registry", "curl")
def test_the_script_of_explain_pushes_by_hand(built, registry, tmp_path):
    """Its lines, sent to another registry, bring the image there."""
    name = f"{registry.address}/explain/app:1"
    told = built("push", "--explain", "app", name)
    assert told.exit == 0, told.stderr
    with Registry(tmp_path / "other") as other:
        script = told.stderr.replace(registry.address, other.address)
        subprocess.run(["bash", "-eu"], input=script.encode(), check=True)
        kind = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        _, headers, _ = other.ask("HEAD", "/v2/explain/app/manifests/1", headers=kind)
    assert headers["Docker-Content-Digest"] == digest_in(told.stdout)


@pytest.mark.needs("registry", "curl")
def test_the_script_of_a_pull_fetches_by_hand(built, registry, tmp_path):
    name = f"{registry.address}/explain/pulled:1"
    built.ok("push", "app", name)
    other = type(built)(tmp_path / "other")
    try:
        told = other("pull", "--explain", name)
        assert told.exit == 0, told.stderr
    finally:
        child.remove_tree(tmp_path / "other")
    folder = tmp_path / "by-hand"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-eu"], input=told.stderr, text=True, capture_output=True, cwd=folder, check=True
    )
    sums = re.findall(r"^([0-9a-f]{64})  ([0-9a-f]{12})$", done.stdout, re.MULTILINE)
    assert len(sums) == 4  # the config and three layers
    assert all(digest.startswith(name) for digest, name in sums)


def files_of(root):
    """All but what says which processes live."""
    return {path for path in root.rglob("*") if path.is_file() and path.parent.name != "leases"}


def test_a_dry_run_of_a_push_changes_nothing(built):
    with Taking() as registry:
        name = f"{registry.address}/a/b:1"
        before = files_of(built.root)
        told = built.ok("push", "--dry-run", "app", name)
        assert registry.asked("POST", "PUT", "PATCH") == []
        assert files_of(built.root) == before
        assert [line.partition(": ")[2].partition(",")[0] for line in told.splitlines()[1:4]] == [
            "would be compressed and pushed",
            "would be compressed and pushed",
            "would be pushed",
        ]
        built.ok("push", "app", name)
        again = built.ok("push", "--dry-run", "app", name)
        elsewhere = built.ok("push", "--dry-run", "app", f"{registry.address}/c/d:1")
    assert again.count("exists already") == 3
    assert "Would push 0B of" in again
    assert elsewhere.count("would be mounted from a/b") == 3


def test_a_dry_run_of_a_pull_changes_nothing(built, tmp_path):
    with Taking() as registry:
        name = f"{registry.address}/a/b:1"
        built.ok("push", "app", name)
        other = type(built)(tmp_path / "other")
        told = other.ok("pull", "--dry-run", name)
        assert told.count("would be downloaded") == 3
        assert not (tmp_path / "other").exists()
        other.ok("pull", "-q", name)
        assert other.ok("pull", "--dry-run", name).count("exists already") == 3
        child.remove_tree(tmp_path / "other")


def test_the_logins_of_a_file(built, tmp_path):
    login = base64.b64encode(b"me:hunter2").decode()
    with Taking(tokens=True) as registry:
        name = f"{registry.address}/a/b:1"
        (tmp_path / "mine").write_text(json.dumps({"auths": {registry.address: {"auth": login}}}))
        built.ok("push", "--authfile", tmp_path / "mine", "app", name)
        built.ok("pull", "-q", "--authfile", tmp_path / "mine", name)
        assert {
            one.headers.get("Authorization") for one in registry.requests if "token" in one.path
        } == {f"Basic {login}"}
        missing = built("push", "--authfile", tmp_path / "none", "app", name)
    assert missing.exit == 1
    assert f"no file of logins at {tmp_path}/none" in missing.stderr


def test_no_secret_is_explained(built, tmp_path):
    login = base64.b64encode(b"me:hunter2").decode()
    with Taking(tokens=True) as registry:
        (tmp_path / "config.json").write_text(
            json.dumps({"auths": {registry.address: {"auth": login}}})
        )
        environment = {**built.environment, "REGISTRY_AUTH_FILE": str(tmp_path / "config.json")}
        told = built("push", "--explain", "app", f"{registry.address}/a/b:1", env=environment)
        assert told.exit == 0, told.stderr
        assert all(token not in told.stderr for token in registry.valid)
    assert "hunter2" not in told.stderr
    assert login not in told.stderr
    assert 'TOKEN=$(curl -s -u "$LOGIN" ' in told.stderr
    assert '-H "Authorization: Bearer $TOKEN"' in told.stderr


@pytest.mark.needs("registry")
def test_after_a_login_to_the_hub(built, tmp_path):
    """As the courses do it: TLS, a proxy, tokens; and its own image is mounted."""
    base = write_layout(tmp_path / "hub-base", "x", [layer({"from": b"the hub"})])
    with Hub(tmp_path / "hub", {"library/start:1": base}) as hub:
        built.environment = {**built.environment, **hub.environment, "HOME": str(tmp_path)}
        for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
            built.environment.pop(name, None)
        context = tmp_path / "on-top"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM start:1\nCOPY Dockerfile /\n")
        built.ok("build", "-q", "-t", f"{USER}/mine:v1", context)
        refused = built("push", f"{USER}/mine:v1")
        built.ok("login", "-u", USER, "--password-stdin", stdin=PASSWORD)
        told = built.ok("push", f"{USER}/mine:v1")
        again = built.ok("push", f"{USER}/mine:v1")
        built.ok("rmi", "-f", f"{USER}/mine:v1")
        built.ok("logout")
        built.ok("pull", "-q", f"{USER}/mine:v1")
    assert refused.exit == 1
    assert f"docker.io does not let you push to {USER}/mine" in refused.stderr
    assert f"The push refers to repository [docker.io/{USER}/mine]" in told
    assert "Mounted from library/start" in told
    assert again.count("Layer already exists") == 2


@pytest.mark.needs("registry", "skopeo")
def test_skopeo_reads_dockers_form(built, registry):
    name = f"{registry.address}/push/docker:1"
    told = built.ok("push", "--format", "docker", "app", name)
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"],
        check=True,
        capture_output=True,
    ).stdout
    assert json.loads(raw)["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert len(raw) == int(told.rpartition("size: ")[2])
