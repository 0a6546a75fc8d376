"""`--platform` of what looks at an image or takes it out of the store, or into it."""

from __future__ import annotations

import json
import tarfile

import pytest

from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay")
BOTH = ("arm64", "s390x")


@pytest.fixture
def store(rootless, tmp_path):
    """A store with the list both:1 of two images, neither of this machine."""
    for architecture in BOTH:
        image = write_layout(
            tmp_path / architecture, f"app:{architecture}", [layer({architecture: b"x"})],
            architecture=architecture,
        )  # fmt: skip
        rootless.ok("load", "-i", image.archive(tmp_path / "image.tar"))
    rootless.ok("manifest", "create", "both:1", "app:arm64", "app:s390x")
    rootless.ok("rmi", "app:arm64", "app:s390x")
    return rootless


def architectures(archive):
    """Of the images that an archive has, by its index."""
    with tarfile.open(archive) as tar:

        def read(digest):
            return json.load(tar.extractfile(f"blobs/{digest.replace(':', '/')}"))

        (entry,) = json.load(tar.extractfile("index.json"))["manifests"]
        found = read(entry["digest"])
        manifests = [read(one["digest"]) for one in found.get("manifests", ())] or [found]
        return [read(one["config"]["digest"])["architecture"] for one in manifests]


@pytest.mark.parametrize("architecture", BOTH)
def test_the_image_for_a_platform_is_shown(store, architecture):
    platform = ("--platform", f"linux/{architecture}")
    shown = json.loads(store.ok("image", "inspect", *platform, "both:1"))
    assert [one["Architecture"] for one in shown] == [architecture]
    plain = store.ok("history", "--no-trunc", "-q", *platform, "both:1").splitlines()
    assert plain[0] == shown[0]["Id"]


def test_the_image_for_a_platform_is_saved_alone(store, tmp_path):
    whole, alone = tmp_path / "whole.tar", tmp_path / "alone.tar"
    store.ok("save", "-o", whole, "both:1")
    store.ok("save", "--platform", "linux/s390x", "-o", alone, "both:1")
    assert sorted(architectures(whole)) == sorted(BOTH)
    assert architectures(alone) == ["s390x"]
    store.ok("rmi", "both:1")
    said = store.ok("load", "-i", alone)
    assert said == "Loaded image: both:1\n"
    assert json.loads(store.ok("image", "inspect", "both:1"))[0]["Architecture"] == "s390x"


def test_the_image_for_a_platform_is_loaded_alone(store, tmp_path):
    whole = tmp_path / "whole.tar"
    store.ok("save", "-o", whole, "both:1")
    store.ok("rmi", "both:1")
    assert store.ok("load", "--platform", "linux/arm64", "-i", whole) == "Loaded image: both:1\n"
    assert json.loads(store.ok("image", "inspect", "both:1"))[0]["Architecture"] == "arm64"
    missing = store("image", "inspect", "--platform", "linux/s390x", "both:1")
    assert missing.exit == 1
    assert store("load", "--platform", "linux/riscv64", "-i", whole).exit == 1
    assert store.ok("system", "check") == "nothing in the store is damaged\n"


@pytest.mark.parametrize(
    "words", [("image", "inspect"), ("history",), ("save", "-o", "never.tar")], ids=" ".join
)
def test_a_platform_that_is_not_there(store, tmp_path, words):
    store.ok("tag", "both:1", "other:1")
    said = store(*words, "--platform", "linux/riscv64", "both:1", cwd=tmp_path)
    assert said.exit == 1
    assert "linux/riscv64" in said.stderr
    assert not (tmp_path / "never.tar").exists()


def test_an_image_of_one_platform_is_no_other(rootless, tmp_path, busybox_image):
    archive = busybox_image.archive(tmp_path / "base.tar")
    rootless.ok("load", "-i", archive)
    for words in (("image", "inspect"), ("history",), ("save", "-o", "x")):
        said = rootless(*words, "--platform", "linux/s390x", "busybox", cwd=tmp_path)
        assert "does not provide the specified platform (linux/s390x)" in said.stderr
    said = rootless("load", "--platform", "linux/s390x", "-i", archive)
    assert "does not provide the specified platform (linux/s390x)" in said.stderr


def test_the_image_for_a_platform_is_removed_alone(store, tmp_path):
    before = json.loads(store.ok("image", "inspect", "--platform", "linux/arm64", "both:1"))
    digest = before[0]["Descriptor"]["digest"]
    said = store.ok("rmi", "--platform", "linux/arm64", "both:1")
    assert said == f"Deleted: {before[0]['Id']}\n"
    (left,) = json.loads(store.ok("image", "inspect", "both:1"))
    assert (left["Architecture"], left["RepoTags"]) == ("s390x", ["both:1"])
    assert left["Descriptor"]["digest"] == digest  # the list as it was, of which one is not here
    assert left["Id"].removeprefix("sha256:")[:12] in store.ok("images")
    missing = store("rmi", "--platform", "linux/arm64", "both:1")
    assert missing.exit == 1
    assert "linux/arm64" in missing.stderr
    assert store.ok("system", "check") == "nothing in the store is damaged\n"
    held = {path.name for path in (store.root / "blobs/sha256").iterdir()}
    assert before[0]["Id"].removeprefix("sha256:") not in held
    assert "Untagged: both:1\n" in store.ok("rmi", "--platform", "linux/s390x", "both:1")
    assert store.ok("images", "-q") == ""


def test_an_image_that_another_list_has_too_is_not_removed(store):
    store.ok("manifest", "create", "more:1", "both:1", "--all")
    store.ok("manifest", "annotate", "--variant", "v9", "more:1", _arm(store))
    said = store("rmi", "--platform", "linux/arm64", "both:1")
    assert said.exit == 1
    assert "more:1" in said.stderr
    assert json.loads(store.ok("image", "inspect", "--platform", "linux/arm64", "both:1"))


def _arm(store):
    entries = json.loads(store.ok("manifest", "inspect", "both:1"))["manifests"]
    return next(one["digest"] for one in entries if one["platform"]["architecture"] == "arm64")
