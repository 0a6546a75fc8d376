"""examples/builder-image: built by rootless, and building inside of a container of rootless."""

from __future__ import annotations

import json

import pytest

from tests.support import machine

pytestmark = [
    pytest.mark.needs("userns", "subids", "overlay", "registry", "busybox"),
    pytest.mark.timeout(1500),  # it compiles, and installs from Debian and from the package index
]

MOST = 80_000_000  # bytes to pull
DOCKERFILE = """\
FROM {base}
COPY app /app
RUN id -u > /who && chown 33:33 /app && mkdir -m 2755 /made && ln /app /made/same
"""


@pytest.fixture
def builder(rootless, registry, debian_image):
    base = registry.push(debian_image, "builder/debian:bookworm")
    rootless.ok("pull", base)
    rootless.ok("tag", base, "debian:bookworm")
    name = f"{registry.address}/builder/image:1"
    dockerfile = machine.PROJECT / "examples" / "builder-image" / "Dockerfile"
    argv = ("build", "-q", "-t", name, "--push", "-f", dockerfile, machine.PROJECT)
    rootless.ok(*argv, timeout=1400)
    return name


def layers(registry, repository, tag):
    """What the registry has of an image: (manifest, config)."""
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    _, _, text = registry.ask("GET", f"/v2/{repository}/manifests/{tag}", headers=accept)
    manifest = json.loads(text)
    _, _, text = registry.ask("GET", f"/v2/{repository}/blobs/{manifest['config']['digest']}")
    return manifest, json.loads(text)


def test_it_is_small_and_builds_within(rootless, registry, builder, busybox_image, tmp_path):
    """As root of our own container, which may have no namespaces; and by kaniko's name."""
    manifest, config = layers(registry, "builder/image", "1")
    assert sum(layer["size"] for layer in manifest["layers"]) < MOST
    assert config["config"]["User"] == "builder"
    base = registry.push(busybox_image, "builder/busybox:1")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    (context / "app").write_text("the app\n")
    run = ("run", "--rm", "--network", "host", "-v", f"{context}:/workspace")
    made = f"{registry.address}/builder/made"
    build = ("rootless", "build", "--progress", "plain", "-t", f"{made}:1", "--push", ".")
    rootless.ok(*run, "-u", "root", builder, *build)
    executor = ("/kaniko/executor", "--context", ".", "--destination", f"{made}:2")
    rootless.ok(*run, "-u", "root", builder, *executor)
    look = ("run", "--rm", "--network", "none", "--pull", "always", f"{made}:1", "sh", "-c")
    seen = rootless.ok(*look, "cat /who; stat -c '%u:%g %a %n' /app /made /made/same")
    assert seen.split("\n")[:4] == ["0", "33:33 644 /app", "0:0 2755 /made", "33:33 644 /made/same"]
    as_user = ("rootless", "build", "--progress", "plain", "-t", f"{made}:3", "--push", ".")
    built = rootless(*run, builder, *as_user)  # neither root nor namespaces
    assert built.exit == 0, built.stderr
    assert "by proot" in built.stderr
    tags = {tag: layers(registry, "builder/made", tag)[1]["rootfs"] for tag in "123"}
    assert {len(one["diff_ids"]) for one in tags.values()} == {3}
    kept = rootless.ok(*look[:-3], f"{made}:3", *look[-2:], "stat -c '%u:%g %a' /app /made")
    assert kept == "33:33 644\n0:0 2755\n"
