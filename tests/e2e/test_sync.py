"""`sync`: all tags of a repository, or a list, to a registry or a folder; skopeo does the same."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.images import layer, write_layout

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "registry", "skopeo")
TLS = ("--src-tls-verify=false", "--dest-tls-verify=false")


def skopeo(*argv):
    argv = ("skopeo", *argv)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def source(registry, tmp_path):
    """A repository with the tags a and b."""
    repository = f"sync/{tmp_path.name.lower()}/app"
    for tag in ("a", "b"):
        image = write_layout(tmp_path / tag, "x:1", [layer({tag: tag.encode()})])
        registry.push(image, f"{repository}:{tag}")
    return f"{registry.address}/{repository}"


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_all_tags_of_a_repository_into_folders_as_skopeo_has_them(rootless, source, tmp_path):
    (tmp_path / "theirs").mkdir()
    theirs = ("--dest", "dir", "--src-tls-verify=false", source, str(tmp_path / "theirs"))
    skopeo("sync", "--src", "docker", *theirs)
    said = rootless("sync", *TLS, f"docker://{source}", f"dir:{tmp_path}/ours")
    assert said.exit == 0, said.stderr
    assert said.stdout.count(" -> ") == 2
    assert tree(tmp_path / "ours") == tree(tmp_path / "theirs")


def test_a_list_into_another_registry_twice(rootless, registry, source, tmp_path):
    (tmp_path / "list").write_text(f"# mine\n{source}:a\n\ndocker://{source}:b\n")
    target = f"{registry.address}/mirror{tmp_path.name.lower()}"
    for _ in range(2):
        rootless.ok("sync", "-q", *TLS, tmp_path / "list", f"docker://{target}")
    for tag in ("a", "b"):
        one, other = (
            skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{name}:{tag}")
            for name in (source, f"{target}/app")
        )
        assert one == other


def test_one_layout_has_them_all(rootless, source, tmp_path):
    rootless.ok("sync", "-q", "--scoped", *TLS, f"docker://{source}", f"oci:{tmp_path}/l")
    listed = json.loads((tmp_path / "l/index.json").read_bytes())["manifests"]
    names = [one["annotations"]["org.opencontainers.image.ref.name"] for one in listed]
    assert sorted(name.rpartition("/")[2] for name in names) == ["app:a", "app:b"]


def test_what_fails_ends_it_or_is_told_at_the_end(rootless, source, tmp_path):
    listed = f"{source}:none\n{source}:a\n"
    first = rootless("sync", "-q", *TLS, "-", f"dir:{tmp_path}/d", stdin=listed)
    assert first.exit == 1
    assert not (tmp_path / "d/app:a").exists()
    told = rootless("sync", "-q", "--keep-going", *TLS, "-", f"dir:{tmp_path}/d", stdin=listed)
    assert told.exit == 1
    assert f"{source}:none" in told.stderr
    assert "1 were copied" in told.stderr
    assert (tmp_path / "d/app:a/manifest.json").exists()


@pytest.mark.parametrize(
    ("listed", "target", "words"),
    [
        ("", "dir:d", "lists no images"),
        ("a/x:1\nb/x:1\n", "dir:d", "--scoped"),
        ("A:1\n", "dir:d", "lower case"),
        ("x\n", "d", "no place for many"),
        ("x\n", "docker://", "no place for many"),
    ],
)
def test_what_cannot_be_done_is_said(rootless, listed, target, words, tmp_path):
    said = rootless("sync", "-", target, stdin=listed, cwd=tmp_path)
    assert said.exit != 0
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_a_repository_without_docker_before_it(rootless, tmp_path):
    said = rootless("sync", "localhost:5000/app", "dir:d", cwd=tmp_path)
    assert said.exit == 1
    assert "no such file" in said.stderr
    assert "write docker:// before a repository" in said.stderr
