"""The tests' own images and registry, held against other people's tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support import child, machine


def _skopeo(*argv) -> str:
    command = ["skopeo", *map(str, argv)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


@pytest.mark.needs("skopeo")
def test_other_tools_read_the_layout_and_both_kinds_of_archive(busybox_image, tmp_path):
    archive = busybox_image.archive(tmp_path / "image.tar")
    config = json.loads(_skopeo("inspect", "--config", f"oci:{busybox_image.layout}:latest"))
    assert config["config"]["Cmd"] == ["/bin/sh"]
    for transport in (f"docker-archive:{archive}", f"oci-archive:{archive}:latest"):
        seen = json.loads(_skopeo("inspect", "--config", transport))
        assert seen["rootfs"] == config["rootfs"]


@pytest.mark.needs("skopeo")
def test_an_image_pushed_to_the_registry_comes_back_whole(registry, busybox_image, tmp_path):
    name = registry.push(busybox_image, "support/busybox:1")
    target = tmp_path / "copy"
    _skopeo("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{target}")
    assert (target / "manifest.json").read_bytes() == busybox_image.blob(
        busybox_image.manifest_digest
    )


@pytest.mark.needs("skopeo")
def test_debian_has_its_users_and_modes(debian_image):
    manifest = json.loads(debian_image.blob(debian_image.manifest_digest))
    assert len(manifest["layers"]) == 2
    seen = json.loads(_skopeo("inspect", f"oci:{debian_image.layout}:bookworm"))
    assert seen["Os"] == "linux"


@pytest.mark.needs("skopeo")
def test_python_is_the_official_image_and_one_layer(python_image):
    config = json.loads(_skopeo("inspect", "--config", f"oci:{python_image.layout}:3.12-alpine"))
    assert config["config"].get("User", "") == ""
    layers = [entry for entry in config["history"] if not entry.get("empty_layer")]
    assert len(layers) == len(config["rootfs"]["diff_ids"]) == 5


@pytest.mark.needs("userns")
def test_in_child_is_root_of_a_namespace_and_brings_errors_back():
    assert child.in_child(lambda: (os.getuid(), os.getgid())) == (0, 0)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        child.in_child(lambda: os.stat("/nowhere"))
    assert os.getuid() != 0


@pytest.mark.needs("userns", "subids")
def test_a_tree_of_foreign_owners_can_be_removed(tmp_path):
    tree = tmp_path / "tree"

    def make() -> None:
        (tree / "work" / "inner").mkdir(parents=True)
        os.chown(tree / "work" / "inner", 5, 5)
        (tree / "work").chmod(0)

    child.in_child(make)
    assert tree.exists()
    child.remove_tree(tree)
    assert not tree.exists()


_LEFT = """
import os
from tests.support import child

def test_it(tmp_path):
    (tmp_path / "theirs").mkdir()
    child.in_child(lambda: os.chown(tmp_path / "theirs", 5, 5))
    os.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    assert {passes}
"""


@pytest.mark.needs("userns", "subids")
@pytest.mark.parametrize("passes", [True, False])
def test_what_tests_leave_is_kept_only_for_one_that_failed(tmp_path, passes):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (tmp_path / "test_one.py").write_text(_LEFT.format(passes=passes))
    inner = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    answer = subprocess.run(
        [*inner, tmp_path / "test_one.py"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(machine.PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == (0 if passes else 1), answer.stdout + answer.stderr
    left = [str(path) for path in temporary.iterdir()]
    child.remove_tree(temporary)
    assert len(left) == (0 if passes else 1)
    assert all(f"What the tests left is in {path}" in answer.stdout for path in left)


def test_an_unknown_need_is_a_mistake_of_the_test():
    with pytest.raises(KeyError):
        machine.missing("teleportation")
