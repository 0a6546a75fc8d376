"""A store with one damaged file: every command says one clear thing, and the others go on."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

COMMANDS = (
    ("images",),
    ("ps", "-a"),
    ("info",),
    ("inspect", "made"),
    ("history", "made"),
    ("run", "--rm", "--network", "none", "made", "true"),
    ("build", "-q", "-t", "again", "."),
    ("save", "-o", "saved.tar", "made"),
    ("tag", "made", "other"),
    ("rmi", "other"),
    ("rm", "kept"),
    ("system", "prune", "-f"),
)
FILES = (
    "index.json",
    "oci-layout",
    "layers/*/layer.json",
    "cache/steps/*.json",
    "cache/contexts/*.json",
    "containers/*/container.json",
    "containers/*/state.json",
    "blobs/sha256/*",
)


@pytest.fixture
def project(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "f").write_text("f")
    (folder / "Dockerfile").write_text("FROM busybox\nRUN echo 1 > /1\nCOPY f /f\n")
    rootless.ok("build", "-q", "-t", "made", folder)
    rootless.ok("run", "--network", "none", "--name", "kept", "made", "true")
    return folder


@pytest.mark.parametrize("length", [0, 10])
@pytest.mark.parametrize("pattern", FILES)
def test_every_command_says_one_clear_thing(rootless, project, pattern, length):
    damaged = [path for path in rootless.root.glob(pattern) if path.stat().st_size < 1 << 20]
    assert damaged, f"nothing matches {pattern}"
    for path in damaged:
        with open(path, "r+b") as file:
            file.truncate(length)
    for command in COMMANDS:
        result = rootless(*command, cwd=project, timeout=60)
        assert "Traceback" not in result.stderr, (command, result.stderr)
        assert result.exit in (0, 1, 125), (command, result.stderr)
        if result.exit:
            assert result.stderr.count("error: ") == 1, (command, result.stderr)


def test_a_damaged_cache_is_only_a_slower_build(rootless, project):
    for path in rootless.root.glob("cache/*/*.json"):
        path.write_bytes(b"{")
    rootless.ok("build", "-q", "-t", "made", project)
    assert rootless.ok("run", "--rm", "--network", "none", "made", "cat", "/1", "/f") == "1\nf"
