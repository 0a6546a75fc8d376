"""`manifest`: lists made by hand; skopeo reads what is pushed, docker's words are kept."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from base64 import b64decode

import pytest

from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "registry", "skopeo")
INDEX = "application/vnd.oci.image.index.v1+json"


def skopeo(*argv):
    argv = ("skopeo", *argv)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def made(folder, architecture):
    return write_layout(
        folder / architecture, f"app:{architecture}", [layer({architecture: b"x"})],
        architecture=architecture,
    )  # fmt: skip


@pytest.fixture
def store(rootless, tmp_path):
    """A store with app:arm64 and app:s390x, neither of this machine."""
    for architecture in ("arm64", "s390x"):
        image = made(tmp_path, architecture)
        rootless.ok("load", "-i", image.archive(tmp_path / "image.tar"))
    return rootless


def platforms(value):
    return {one["platform"]["architecture"]: one["digest"] for one in value["manifests"]}


def test_a_list_is_made_looked_at_and_pushed_whole(store, registry):
    said = store("manifest", "create", "app:1", "app:arm64", "app:s390x")
    assert said.exit == 0, said.stderr
    assert said.stdout == "Created manifest list docker.io/library/app:1\n"
    shown = json.loads(store.ok("manifest", "inspect", "app:1"))
    assert shown["mediaType"] == INDEX
    assert set(platforms(shown)) == {"arm64", "s390x"}
    name = f"{registry.address}/manifest/app:1"
    pushed = store("manifest", "push", "--tls-verify=false", "app:1", name)
    assert pushed.exit == 0, pushed.stderr
    raw = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    assert raw == shown
    for architecture in ("arm64", "s390x"):
        config = skopeo("inspect", "--config", "--override-arch", architecture,
                        "--tls-verify=false", f"docker://{name}")  # fmt: skip
        assert json.loads(config)["architecture"] == architecture
    assert json.loads(store.ok("manifest", "inspect", "--tls-verify=false", name)) == raw


def test_members_come_from_a_registry_too(rootless, registry, tmp_path):
    one = registry.push(made(tmp_path, "arm64"), "manifest/parts:arm64")
    other = registry.push(made(tmp_path, "amd64"), "manifest/parts:amd64")
    rootless.ok("manifest", "create", "--insecure", "both", one)
    rootless.ok("manifest", "add", "--insecure", "both", f"docker://{other}")
    assert set(platforms(json.loads(rootless.ok("manifest", "inspect", "both")))) == {
        "arm64", "amd64",
    }  # fmt: skip
    rootless.ok("manifest", "annotate", "--arch", "arm64", "--variant", "v9", "both", one)
    shown = json.loads(rootless.ok("manifest", "inspect", "both"))["manifests"]
    assert [entry["platform"].get("variant") for entry in shown] == ["v9", None]
    target = f"{registry.address}/manifest/whole:1"
    push = ("manifest", "push", "--purge", "--tls-verify=false", "both", target)
    assert "nothing has been changed" in rootless.ok(*push, "--dry-run")
    rootless.ok(*push)
    skopeo("copy", "-q", "--all", "--src-tls-verify=false", f"docker://{target}",
           f"oci:{tmp_path}/all:x")  # fmt: skip
    assert rootless.ok("images", "-q") == ""
    assert rootless.ok("system", "check") == "nothing in the store is damaged\n"


def test_what_an_entry_is_for_can_be_said(store):
    store.ok("manifest", "create", "l", "app:arm64", "app:s390x")
    store.ok("manifest", "annotate", "--arch", "arm", "--variant", "v6", "l", "app:arm64")
    shown = json.loads(store.ok("manifest", "inspect", "l"))
    assert {"architecture": "arm", "os": "linux", "variant": "v6"} in [
        one["platform"] for one in shown["manifests"]
    ]
    assert set(platforms(shown)) == {"arm", "s390x"}
    store.ok("manifest", "remove", "l", platforms(shown)["arm"])
    assert set(platforms(json.loads(store.ok("manifest", "inspect", "l")))) == {"s390x"}
    store.ok("manifest", "remove", "l", "app:s390x")
    assert json.loads(store.ok("manifest", "inspect", "l"))["manifests"] == []


def test_a_list_lives_in_the_store_like_an_image(store):
    """Its images stay as long as it does, whatever they were called."""
    store.ok("manifest", "create", "l", "app:arm64", "app:s390x")
    store.ok("rmi", "app:arm64", "app:s390x")
    store.ok("image", "prune", "-af", "--filter", "label=nothing")
    assert set(platforms(json.loads(store.ok("manifest", "inspect", "l")))) == {"arm64", "s390x"}
    assert store.ok("images", "--format", "{{.Repository}}:{{.Tag}}") == "l:latest\n"
    assert store.ok("system", "check") == "nothing in the store is damaged\n"
    store.ok("manifest", "rm", "l")
    assert store.ok("images", "-q") == ""
    assert not list((store.root / "layers").iterdir())


def test_a_list_of_one_goes_with_its_image(store):
    """It has the image's id, as `images` shows."""
    store.ok("rmi", "app:s390x")
    store.ok("manifest", "create", "l:1", "app:arm64")
    first, second = store.ok("images", "-q").split()
    assert first == second
    refused = store("rmi", first)
    assert refused.exit == 1
    assert "image is referenced in multiple repositories" in refused.stderr
    removed = store.ok("rmi", "--all", "--force").splitlines()
    assert removed[:2] == ["Untagged: app:arm64", "Untagged: l:1"]
    assert store.ok("images", "-aq") == ""
    assert not list((store.root / "blobs" / "sha256").iterdir())


def test_many_add_at_once_and_none_is_lost(store, tmp_path):
    names = []
    for number in range(6):
        image = write_layout(tmp_path / str(number), f"part:{number}", [layer({f"{number}": b""})])
        store.ok("load", "-i", image.archive(tmp_path / "image.tar"))
        names.append(f"part:{number}")
    store.ok("manifest", "create", "l", "app:arm64")
    threads = [
        threading.Thread(target=store.ok, args=("manifest", "add", "l", name)) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(json.loads(store.ok("manifest", "inspect", "l"))["manifests"]) == 7


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("create", "l", "app:arm64"), "refusing to amend an existing manifest list"),
        (("create", "new", "app:arm65"), "app:arm64"),
        (("add", "app:arm64", "app:s390x"), "is an image, not a manifest list"),
        (("rm", "app:arm64"), "is an image, not a manifest list"),
        (("annotate", "l", "app:arm64"), "--arch"),
        (("annotate", "--arch", "arm", "l", "app:s390x"), "has no app:s390x"),
        (("annotate", "--arch", "arm", "l", "localhost:5000/a:1"), "has no localhost:5000/a:1"),
        (("remove", "l", "localhost:5000/a:1"), "it has sha256:"),
        (("push", "nothing"), "No such image: nothing"),
        (("create", "l"), "--amend"),
    ],
)
def test_what_cannot_be_done_is_said(store, argv, words):
    store.ok("manifest", "create", "l", "app:arm64")
    environment = {**store.environment, "https_proxy": "http://127.0.0.1:9"}
    said = store("manifest", *argv, env=environment)
    assert said.exit != 0
    assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert list(platforms(json.loads(store.ok("manifest", "inspect", "l")))) == ["arm64"]


def test_a_list_may_be_empty_until_it_is_filled(store, registry):
    """As podman makes one; it is an image of nothing meanwhile."""
    store.ok("manifest", "create", "late:1")
    store.ok("manifest", "create", "--amend", "late:1")
    assert json.loads(store.ok("manifest", "inspect", "late:1"))["manifests"] == []
    assert "late" in store.ok("images")
    assert "nothing in the store is damaged" in store.ok("system", "check")
    for verb in (("run", "--pull=never"), ("push",), ("inspect",)):
        said = store(*verb, "late:1")
        assert said.exit != 0
        assert "late:1 is an empty list of images" in said.stderr
        assert "rootless manifest add late:1" in said.stderr
    again = store("manifest", "create", "late:1")
    assert "--amend" in again.stderr
    store.ok("manifest", "add", "late:1", "app:arm64")
    assert set(platforms(json.loads(store.ok("manifest", "inspect", "late:1")))) == {"arm64"}
    store.ok("manifest", "remove", "late:1", "app:arm64")
    assert json.loads(store.ok("manifest", "inspect", "late:1"))["manifests"] == []
    store.ok("manifest", "rm", "late:1")
    assert "late" not in store.ok("images")
    assert "arm64" in store.ok("images")


def test_each_image_of_a_list_is_shown_whole(store, registry):
    store.ok("manifest", "create", "whole:1", "app:arm64", "app:s390x")
    name = f"{registry.address}/manifest/verbose:1"
    store.ok("manifest", "push", "--insecure", "whole:1", name)
    here = json.loads(store.ok("manifest", "inspect", "-v", "whole:1"))
    there = json.loads(store.ok("manifest", "inspect", "--verbose", "--insecure", name))
    assert [one["Ref"].partition("@")[0] for one in here] == ["docker.io/library/whole:1"] * 2
    for one, other in zip(here, there, strict=True):
        assert one == {**other, "Ref": one["Ref"]}
        raw = b64decode(one["Raw"])
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        assert one["Descriptor"]["digest"] == digest == one["Ref"].partition("@")[2]
        assert one["OCIManifest"] == json.loads(raw)
        assert one["Descriptor"]["platform"]["architecture"] in ("arm64", "s390x")
    alone = f"{name.removesuffix(':1')}@{here[0]['Descriptor']['digest']}"
    one = json.loads(store.ok("manifest", "inspect", "-v", "--insecure", alone))
    assert one["Descriptor"]["platform"] == here[0]["Descriptor"]["platform"]


def test_what_docker_says_of_a_platform_can_be_said(store):
    store.ok("manifest", "create", "windows:1", "app:arm64", "app:s390x")
    told = ("--os", "windows", "--os-version", "10.0.1", "--os-features", "a,b",
            "--os-features", "c")  # fmt: skip
    store.ok("manifest", "annotate", *told, "windows:1", "app:arm64")
    store.ok("manifest", "annotate", "--variant", "v9", "windows:1", "app:arm64")
    first, second = json.loads(store.ok("manifest", "inspect", "windows:1"))["manifests"]
    assert first["platform"] == {
        "architecture": "arm64", "os": "windows", "variant": "v9",
        "os.version": "10.0.1", "os.features": ["a", "b", "c"],
    }  # fmt: skip
    assert second["platform"] == {"architecture": "s390x", "os": "linux"}


def test_what_a_list_and_its_entries_say_besides_stays(store, registry, tmp_path):
    """A pulled index that is changed, pushed in another form, copied and saved."""
    arm = json.loads(store.ok("inspect", "app:arm64"))[0]["Descriptor"]
    store.ok("copy", "app:arm64", f"oci:{tmp_path}/own:one")
    subject = {"mediaType": "a/b", "digest": arm["digest"], "size": arm["size"]}
    entry = {
        **{key: arm[key] for key in ("mediaType", "digest", "size")},
        "platform": {"architecture": "arm64", "os": "linux", "os.version": "6.1"},
        "annotations": {"org.example": "x"},
        "artifactType": "c/d",
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry],
             "annotations": {"org.example": "y"}, "subject": subject}  # fmt: skip
    repository = "manifest/rest"
    one = f"{registry.address}/{repository}:one"
    store.ok("push", "--tls-verify=false", "app:arm64", one)
    registry.put_manifest(repository, "1", json.dumps(index).encode(), INDEX)
    name = f"{registry.address}/{repository}:1"
    store.ok("copy", "--all", f"docker://{name}", "many:1")
    store.ok("manifest", "annotate", "--variant", "v9", "many:1", arm["digest"])
    shown = json.loads(store.ok("manifest", "inspect", "many:1"))
    platform = {**entry["platform"], "variant": "v9"}
    assert shown == {**index, "manifests": [{**entry, "platform": platform}]}
    store.ok("push", "--tls-verify=false", "--compression", "zstd", "many:1", name)
    raw = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}"))
    (pushed,) = raw["manifests"]
    digest, size = pushed["digest"], pushed["size"]
    assert raw == {
        **index, "manifests": [{**entry, "platform": platform, "digest": digest, "size": size}],
    }  # fmt: skip
    layout = tmp_path / "own" / "index.json"
    layout.write_text(json.dumps({**json.loads(layout.read_text()), "subject": subject}))
    store.ok("copy", "--all", "many:1", f"oci:{tmp_path}/own:two")
    there = json.loads(layout.read_text())
    assert there["subject"] == subject
    assert len(there["manifests"]) == 2
