"""`system df`, `images --tree` and `image tree`: what the disk is taken by, and by whom."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")


@pytest.fixture
def project(rootless, busybox_image, tmp_path):
    """busybox, `made` of two steps on top of it, and a container of `made` that has written."""
    rootless.load(busybox_image, tmp_path)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /1\nRUN echo 22 > /2\n")
    rootless.ok("build", "-q", "-t", "made", "-t", "also", folder)
    write = "mkdir -m 700 /own; echo 4444 > /own/4; chown -R 5:5 /own"
    rootless.ok("run", "--network", "none", "--name", "kept", "made", "sh", "-c", write)
    return folder


def summary(rootless):
    lines = rootless.ok("system", "df", "--format", "json").splitlines()
    return {row["Type"]: row for row in map(json.loads, lines)}


def test_an_empty_store(rootless):
    header, *rows = rootless.ok("system", "df").splitlines()
    assert header == "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE"
    assert [row.split()[-4:] for row in rows] == [["0", "0", "0B", "0B"]] * 4
    assert not rootless.root.exists()


def test_what_takes_the_disk(rootless, project):
    rows = summary(rootless)
    assert list(rows) == ["Images", "Containers", "Local Volumes", "Build Cache"]
    images, containers, cache = rows["Images"], rows["Containers"], rows["Build Cache"]
    assert (images["TotalCount"], images["Active"]) == ("2", "1")
    assert (containers["TotalCount"], containers["Active"]) == ("1", "0")
    assert containers["Size"] == "5B", "also in a directory that only another id may read"
    assert containers["Reclaimable"] == "5B (100%)"
    assert cache["TotalCount"] == "4", "two steps, and what is known of each"
    rootless.ok("rm", "kept")
    everything = summary(rootless)["Images"]
    assert everything["Reclaimable"] == f"{everything['Size']} (100%)"
    rootless.ok("rmi", "made", "also")
    left, cache = summary(rootless)["Images"], summary(rootless)["Build Cache"]
    assert (left["TotalCount"], cache["TotalCount"]) == ("1", "4")
    said = rootless.ok("system", "prune", "-af").splitlines()[-1]
    assert said.startswith("Total reclaimed space: ")
    assert said.removeprefix("Total reclaimed space: ")[:3] == left["Size"][:3]
    assert {row["Size"] for row in summary(rootless).values()} == {"0B"}


def test_each_image_container_and_step(rootless, project):
    said = rootless.ok("system", "df", "-v")
    for title in ("Images", "Containers", "Local Volumes"):
        assert f"{title} space usage:\n\n" in said
    assert "Build cache usage: " in said
    value = json.loads(rootless.ok("system", "df", "-v", "--format", "json"))
    made, busybox = value["Images"]
    assert (made["Repository"], made["Containers"]) == ("made", "1")
    assert (busybox["Repository"], busybox["Containers"]) == ("busybox", "0")
    assert made["SharedSize"] == busybox["SharedSize"] != "0B"
    assert made["UniqueSize"].endswith("kB"), "two small layers, a config and a manifest"
    (container,) = value["Containers"]
    assert (container["Names"], container["Size"]) == ("kept", "5B")
    steps = [one for one in value["BuildCache"] if one["CacheType"] == "regular"]
    assert [step["Shared"] for step in steps] == ["true", "true"]
    assert rootless.ok("system", "df", "-v", "--format", "{{len .Images}}") == "2\n"


def test_images_as_a_tree(rootless, project):
    made = rootless.ok("images", "-q", "made").strip()
    base = rootless.ok("images", "-q", "busybox").strip()
    legend, _, header, *rows = rootless.ok("images", "--tree").splitlines()
    assert legend == f"{'Info ->  U In Use ':>80}"
    assert header.split() == ["IMAGE", "ID", "DISK", "USAGE", "CONTENT", "SIZE", "EXTRA"]
    assert rows[0] == "made:latest"
    assert rows[1].split()[:2] == ["also:latest", made]
    assert rows[1].endswith("     U  ")
    assert rows[2].split()[:2] == ["busybox:latest", base]
    assert rows[2].endswith("B        ")
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo 3 > /3\n")
    rootless.ok("build", "-q", project)
    assert "<untagged>" not in rootless.ok("images", "--tree")
    assert "<untagged>" in rootless.ok("images", "--tree", "--all")
    refused = rootless("images", "--tree", "-q")
    assert refused.exit == 1
    assert "--quiet is not yet supported with --tree" in refused.stderr


def test_the_layers_of_an_image(rootless, project):
    rootless.ok("tag", "busybox", "base:1")
    own = rootless.ok("image", "tree", "made").splitlines()
    assert own[0] == f"Image ID: {rootless.ok('images', '-q', 'also').strip()}"
    assert own[1] == "Tags:     [made:latest also:latest]"
    assert own[3] == "Image Layers"
    assert own[4].startswith("├── ID: ")
    assert own[4].endswith(" Top Layer of: [busybox:latest base:1]")
    assert own[5].startswith("├── ID: ")
    assert own[5].endswith(" Size: 2B")
    assert own[6].startswith("└── ID: ")
    assert own[6].endswith(" Size: 3B Top Layer of: [made:latest also:latest]")
    assert len(rootless.ok("image", "tree", "busybox").splitlines()) == 5
    (project / "Dockerfile").write_text("FROM busybox\nRUN echo 333 > /3\n")
    rootless.ok("build", "-q", "-t", "third", project)
    above = rootless.ok("image", "tree", "--whatrequires", "busybox").splitlines()[4:]
    drawn = [line.partition("ID")[0] for line in above]
    assert drawn in (
        ["└── ", "    ├── ", "    └── ", "        └── "],
        ["└── ", "    ├── ", "        └── ", "    └── "],
    )
    assert sum("third:latest" in line for line in above) == 1
    assert sum("made:latest" in line for line in above) == 1


def test_a_list_of_images_shows_its_platforms(rootless, project, tmp_path):
    """What skopeo copies whole into our store, which is a layout."""
    index = json.loads((rootless.root / "index.json").read_bytes())
    (entry, *_) = [one for one in index["manifests"] if "busybox" in json.dumps(one)]
    listed = {key: entry[key] for key in ("mediaType", "digest", "size")}
    platform = {"os": "linux", "architecture": entry["platform"]["architecture"]}
    content = json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
         "manifests": [{**listed, "platform": platform}]}
    ).encode()  # fmt: skip
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    (rootless.root / "blobs/sha256" / digest).write_bytes(content)
    name = "docker.io/library/many:latest"
    index["manifests"].append(
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest}",
         "size": len(content), "annotations": {"org.opencontainers.image.ref.name": name}}
    )  # fmt: skip
    (rootless.root / "index.json").write_text(json.dumps(index))
    rows = rootless.ok("images", "--tree", "many").splitlines()[3:]
    assert rows[0].startswith("many:latest")
    assert rows[1].startswith(f"└─ linux/{platform['architecture']}   ")
    assert entry["digest"][7:19] in rows[1]
