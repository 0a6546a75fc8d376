"""Images that claim what is not theirs: other images' layers and blobs, and other images' names."""

from __future__ import annotations

import io
import json
import os
import tarfile

import pytest

from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.image import archives
from rootless.image import pull as pulling
from rootless.oci.descriptor import REF_NAME, Descriptor
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.registry.client import Client
from rootless.registry.http import Access
from rootless.store import Store, blobs, images, index, layers
from tests.support.child import in_child, remove_tree
from tests.support.hostile_registry import HostileRegistry, serving
from tests.support.images import layer, write_layout

pytestmark = [
    pytest.mark.needs("userns"),
    pytest.mark.skipif(os.geteuid() == 0, reason="stores belong to ordinary users"),
]

SECRET = layer({"key": b"private"})
PUBLIC = layer({"file": b"public"})


@pytest.fixture
def store(tmp_path):
    yield Store(str(tmp_path / "store"))
    remove_tree(tmp_path / "store")


@pytest.fixture
def loaded(store, tmp_path):
    """A store that has an image with a secret and a public one."""

    def load_both():
        for name, content in (("secret", SECRET), ("public", PUBLIC)):
            image = write_layout(tmp_path / name, f"docker.io/library/{name}:1", [content])
            load(store, image.archive(tmp_path / f"{name}.tar"))

    in_child(load_both)
    return store


def load(store, path):
    with open(path, "rb", buffering=0) as file:
        return archives.load(Store(store.root), file.read)


def pull(store, name):
    reference = Reference.parse(name)
    client = Client(reference.registry, access=Access(tls_verify=False))
    return pulling.pull(
        Store(store.root),
        reference,
        platform=Platform.host(),
        client=client,
        report=lambda _: None,
    )


@pytest.mark.parametrize(
    ("brought", "claimed"),
    [([PUBLIC], [SECRET]), ([PUBLIC, PUBLIC], [SECRET, PUBLIC])],
    ids=["one", "twice"],
)
def test_a_pull_cannot_pair_its_blob_with_the_layer_of_another_image(
    loaded, tmp_path, brought, claimed
):
    evil = write_layout(tmp_path / "evil", "evil:1", brought, claimed=claimed)
    with (
        HostileRegistry(serving(evil, "a/b")) as registry,
        pytest.raises(IntegrityError, match="other contents"),
    ):
        in_child(lambda: pull(loaded, f"{registry.address}/a/b:1"))
    assert len(images.listing(loaded)) == 2


def test_a_pull_of_what_is_here_looks_at_no_blob_a_second_time(loaded, tmp_path):
    good = write_layout(tmp_path / "good", "good:1", [PUBLIC])
    with HostileRegistry(serving(good, "a/b")) as registry:
        name = f"{registry.address}/a/b:1"
        in_child(lambda: pull(loaded, name))
    image = images.resolve(loaded, name)
    ((blob, diff_id),) = image.layers
    assert layers.find(loaded, diff_id).is_made_of(blob.digest)
    assert not [path for path in registry.paths() if path.endswith(str(blob.digest))]


def test_a_manifest_that_another_tool_put_here_cannot_either(loaded, tmp_path):
    evil = write_layout(tmp_path / "evil", "evil:1", [PUBLIC], claimed=[SECRET])

    def body():
        own = Store(loaded.root)
        for path in (evil.layout / "blobs/sha256").iterdir():
            blobs.put(own, path.read_bytes())
        (entry,) = json.loads((evil.layout / "index.json").read_bytes())["manifests"]
        entry = Descriptor.decode(entry).replace(annotations={})
        index.update(own, lambda old: index.name(old, "docker.io/library/evil:1", entry))
        images.layers_of(own, images.resolve(own, "evil:1"))

    with pytest.raises(IntegrityError, match="other contents"):
        in_child(body)


def test_an_older_store_learns_which_blob_is_which_layer(loaded):
    image = images.resolve(loaded, "public:1")
    path = loaded.path("layers", image.config.diff_ids[0].short, "layer.json")
    with open(path, "rb") as file:
        record = json.load(file)
    assert [one["digest"] for one in record["blobs"]] == [str(image.manifest.layers[0].digest)]
    before = record.pop("blobs")
    with open(path, "w") as file:
        json.dump(record, file)
    in_child(lambda: images.layers_of(Store(loaded.root), image))
    with open(path, "rb") as file:
        assert json.load(file)["blobs"] == before


def test_an_archive_must_bring_what_it_claims_by_digest(loaded, tmp_path):
    """Even one whose manifest and config are right: the member has another content."""
    path = tmp_path / "evil.tar"
    wanted = str(images.resolve(loaded, "secret:1").manifest.layers[0].digest)
    with (
        tarfile.open(tmp_path / "secret.tar") as good,
        tarfile.open(path, "w") as evil,
    ):
        for member in good:
            content = good.extractfile(member).read() if member.isreg() else b""
            if member.name.endswith(wanted.removeprefix("sha256:")):
                content = bytes(len(content))
            member.size = len(content)
            evil.addfile(member, io.BytesIO(content))
    with pytest.raises(IntegrityError, match="other contents"):
        in_child(lambda: load(loaded, path))


@pytest.mark.parametrize("key", ["RepoTags", index.CONTAINERD_NAME, REF_NAME])
@pytest.mark.parametrize("form", ["{}@{}", "{}:2@{}"])
def test_names_from_archives_are_tags(loaded, tmp_path, key, form):
    """A name that asserts a digest is not taken, and what is pinned means what its digest says."""
    pinned = images.resolve(loaded, "secret:1").descriptor.digest
    name = form.format("docker.io/library/secret", pinned)
    evil = write_layout(tmp_path / "evil", "evil:1", [layer({"evil": b""})])
    if key == "RepoTags":
        listed = json.loads((evil.layout / "manifest.json").read_bytes())
        listed[0]["RepoTags"] = [name]
        (evil.layout / "manifest.json").write_text(json.dumps(listed))
        (evil.layout / "index.json").unlink()
    else:
        value = json.loads((evil.layout / "index.json").read_bytes())
        value["manifests"][0]["annotations"] = {key: name}
        (evil.layout / "index.json").write_text(json.dumps(value))
    (image,) = in_child(lambda: load(loaded, evil.archive(tmp_path / "evil.tar")))
    assert (image.references, image.repo_digests) == ((), ())
    assert images.resolve(loaded, name).descriptor.digest == pinned
    with pytest.raises(NotFoundError):
        images.resolve(loaded, form.format("docker.io/library/evil", pinned))


def test_only_a_registry_gives_a_name_with_a_digest(loaded):
    image = images.resolve(loaded, "public:1")
    reference = Reference.parse(f"public@{image.descriptor.digest}")
    content = blobs.read(loaded, image.descriptor.digest)
    for change in (
        lambda: images.tag(loaded, reference, image.descriptor),
        lambda: images.add(loaded, content, image.manifest.media_type, [reference]),
    ):
        with pytest.raises(RootlessError, match="cannot be named by a digest"):
            change()


def test_a_name_in_the_index_that_lies_about_its_digest_means_nothing(loaded):
    """As an older version may have taken it from an archive."""
    pinned = images.resolve(loaded, "secret:1").descriptor.digest
    evil = images.resolve(loaded, "public:1").descriptor
    name = f"docker.io/library/other@{pinned}"
    index.update(loaded, lambda entries: index.name(entries, name, evil))
    with pytest.raises(NotFoundError):
        images.resolve(loaded, name)
