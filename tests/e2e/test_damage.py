"""A store with one damaged file: every command says one clear thing, and the others go on."""

from __future__ import annotations

import os

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
        result = rootless(*command, cwd=project, timeout=120)
        assert "Traceback" not in result.stderr, (command, result.stderr)
        assert result.exit in (0, 1, 125), (command, result.stderr)
        if result.exit:
            assert result.stderr.count("error: ") == 1, (command, result.stderr)


def test_a_damaged_cache_is_only_a_slower_build(rootless, project):
    for path in rootless.root.glob("cache/*/*.json"):
        path.write_bytes(b"{")
    rootless.ok("build", "-q", "-t", "made", project)
    assert rootless.ok("run", "--rm", "--network", "none", "made", "cat", "/1", "/f") == "1\nf"


def config_of(rootless, name):
    image_id = rootless.ok("inspect", "--format", "{{.Id}}", name).strip()
    return rootless.root / "blobs" / image_id.replace(":", "/")


def test_a_whole_store_is_told_so(rootless, project):
    assert rootless.ok("system", "check") == "nothing in the store is damaged\n"


def test_no_store_is_whole_and_stays_none(rootless):
    assert rootless.ok("system", "check") == "nothing in the store is damaged\n"
    assert not rootless.root.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]"])
def test_a_damaged_image_is_one_line_and_leads_to_check(rootless, project, content):
    config_of(rootless, "made").write_bytes(content)
    rootless.ok("images")
    run = ("run", "--rm", "--network", "none", "made", "true")
    for command in (run, ("inspect", "made"), ("history", "made")):
        result = rootless(*command)
        assert result.exit in (1, 125), command
        assert result.stderr.count("error: ") == 1, result.stderr
        assert "made" in result.stderr
        assert "rootless system check" in result.stderr
    found = rootless("system", "check")
    assert found.exit == 1
    assert "has other contents" in found.stdout
    rootless.ok("rm", "kept")
    rootless.ok("rmi", "made")
    assert "made" not in rootless.ok("images")
    assert rootless.ok("system", "check") == "nothing in the store is damaged\n"


def test_check_names_the_image_that_lacks_a_layer(rootless, project):
    config_of(rootless, "made").unlink()
    found = rootless("system", "check")
    assert found.exit == 1
    image, container = found.stdout.splitlines()
    assert image.startswith("docker.io/library/made:latest: the blob sha256:")
    assert "is missing" in image
    assert container.startswith("the container kept: the blob sha256:")


def touched(path):
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def linked(path, target):
    path.symlink_to(target)


def a_file(name):
    return lambda root: touched(root / name)


IN_THE_WAY = {
    "the store is a file": lambda root: root.touch(),
    "no rights": lambda root: root.mkdir(mode=0),
    **{
        f"{name} is a file": a_file(name)
        for name in ("blobs", "cache", "containers", "layers", "leases", "skeleton", "tmp")
    },
    "a folder without rights": lambda root: (root / "containers").mkdir(0, parents=True),
    "the index is a folder": lambda root: (root / "index.json").mkdir(parents=True),
    "the index is a FIFO": lambda root: (root.mkdir(), os.mkfifo(root / "index.json")),
    "the index is endless": lambda root: (root.mkdir(), linked(root / "index.json", "/dev/zero")),
    "the index is a loop": lambda root: (root.mkdir(), linked(root / "index.json", "index.json")),
    "the index without rights": lambda root: touched(root / "index.json").chmod(0),
    "the lock is a folder": lambda root: (root / "lock").mkdir(parents=True),
    "the lock is a FIFO": lambda root: (root.mkdir(), os.mkfifo(root / "lock")),
}


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_something_else_in_the_place_of_the_store(rootless, busybox_image, tmp_path, kind):
    """One sentence, or it works; nothing waits for ever."""
    archive = busybox_image.archive(tmp_path / "base.tar")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY base.tar /\n")
    IN_THE_WAY[kind](rootless.root)
    for command in (
        ("images",),
        ("ps", "-a"),
        ("inspect", "busybox"),
        ("load", "-i", archive),
        ("run", "--rm", "--pull=never", "--network=none", "busybox", "true"),
        ("build", "-q", "."),
        ("rmi", "busybox"),
        ("system", "prune", "-f"),
    ):
        result = rootless(*command, cwd=tmp_path, timeout=120)
        assert "Traceback" not in result.stderr, (command, result.stderr)
        assert result.exit in (0, 1, 125), (command, result.stderr)
        if result.exit:
            assert result.stderr.count("error: ") == 1, (command, result.stderr)
            if "No such " not in result.stderr:
                assert str(rootless.root) in result.stderr, (command, result.stderr)
    if rootless.root.is_file():
        rootless.root.unlink()
        rootless.root.mkdir()
