"""`kaniko`: a pipeline written for kaniko's executor, with one word changed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile

import pytest

from tests.conftest import Rootless
from tests.support import child, flattened

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "registry")

DOCKERFILE = """\
FROM busybox AS build
ARG VERSION=none
RUN echo "$VERSION" > /version && tr -dc a-f0-9 < /dev/urandom | head -c 40 > /number
FROM busybox
COPY --from=build /version /number /
COPY app /app
RUN chown 33:33 /app
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "app").write_text("the app\n")
    return folder


@pytest.fixture
def built(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    return rootless


def pulled(name, tmp_path):
    """The files of what the registry has, by skopeo."""
    archive = tmp_path / "pulled.tar"
    archive.unlink(missing_ok=True)
    source = ["--src-tls-verify=false", f"docker://{name}"]
    command = ["skopeo", "copy", "--insecure-policy", *source, f"docker-archive:{archive}"]
    subprocess.run(command, check=True, capture_output=True)
    return flattened.read(archive)[0]


@pytest.mark.needs("skopeo")
def test_what_a_pipeline_says(built, project, registry, tmp_path):
    names = [f"{registry.address}/kaniko/app:1", f"{registry.address}/kaniko/other"]
    said = built(
        "kaniko",
        f"--context=dir://{project}",
        f"--dockerfile={project}/Dockerfile",
        *(f"--destination={name}" for name in names),
        "--build-arg=VERSION",
        "--label=org.example.by=kaniko",
        f"--digest-file={tmp_path}/digest",
        f"--image-name-with-digest-file={tmp_path}/names",
        f"--image-name-tag-with-digest-file={tmp_path}/tags",
        *("--snapshot-mode=redo", "--use-new-run", "--cleanup", "--verbosity=debug", "--force"),
        *("--ignore-path=/product_uuid", "--push-retry=3", "--log-format=text"),
        env={**built.environment, "VERSION": "1.2"},
    )
    assert said.exit == 0, said.stderr
    assert "warning: --ignore-path /product_uuid: steps run in a root of their own" in said.stderr
    for name in names:
        files = pulled(name, tmp_path)
        assert files["version"].content == "1.2\n"
        assert (files["app"].content, files["app"].uid, files["app"].gid) == ("the app\n", 33, 33)
    digest = (tmp_path / "digest").read_text()
    command = ["skopeo", "inspect", "--tls-verify=false", f"docker://{names[0]}"]
    there = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert there["Digest"] == digest
    assert there["Labels"]["org.example.by"] == "kaniko"
    repository = f"{registry.address}/kaniko"
    lines = [f"{repository}/app@{digest}", f"{repository}/other@{digest}"]
    assert (tmp_path / "names").read_text().splitlines() == lines
    lines = [f"{repository}/app:1@{digest}", f"{repository}/other:latest@{digest}"]
    assert (tmp_path / "tags").read_text().splitlines() == lines
    assert not list((built.root / "tmp").iterdir())


def number(machine, name, folder):
    machine.ok("save", "-o", folder / "saved.tar", name)
    return flattened.read(folder / "saved.tar")[0]["number"].content


def test_two_machines_share_a_cache(built, project, registry, busybox_image, tmp_path):
    other = Rootless(tmp_path / "other")
    other.load(busybox_image, tmp_path)
    name = f"{registry.address}/kaniko/cached"
    argv = ("kaniko", "-c", project, "-d", name)
    try:
        built.ok(*argv, "--cache=true")
        first = number(built, name, tmp_path)
        other.ok(*argv, "--cache=true", "--cache-copy-layers")
        assert number(other, name, tmp_path) == first
        other.ok(*argv)  # without --cache each step is run, as kaniko does
        assert number(other, name, tmp_path) != first
    finally:
        child.remove_tree(tmp_path / "other")


def test_a_tar_is_instead_of_a_push(built, project, registry, tmp_path):
    name = f"{registry.address}/kaniko/unpushed:1"
    argv = ("kaniko", "-c", project, "-d", name, "--tar-path", tmp_path / "out.tar")
    built.ok(*argv, "--digest-file", tmp_path / "digest")
    with tarfile.open(tmp_path / "out.tar") as archive:
        (entry,) = json.load(archive.extractfile("manifest.json"))
    assert entry["RepoTags"] == [name]
    assert flattened.read(tmp_path / "out.tar")[0]["app"].content == "the app\n"
    assert (tmp_path / "digest").read_text().startswith("sha256:")
    status, _, _ = registry.ask("GET", "/v2/kaniko/unpushed/tags/list")
    assert status == 404


def test_without_a_push_the_digest_is_what_a_push_gives(built, project, registry, tmp_path):
    name = f"{registry.address}/kaniko/later:1"
    argv = ("kaniko", "-c", project, "-d", name, "--no-push")
    built.ok(*argv, "--digest-file", tmp_path / "digest")
    assert registry.ask("GET", "/v2/kaniko/later/tags/list")[0] == 404
    assert f"digest: {(tmp_path / 'digest').read_text()} " in built.ok("push", name)


def test_an_archive_on_standard_input(built, project, tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(project, arcname=".")
    command = built.command("kaniko", "-c", "tar://stdin", "--no-push", "-d", "piped")
    options = {"env": built.environment, "cwd": tmp_path, "capture_output": True}
    result = subprocess.run(command, input=packed.getvalue(), check=False, **options)
    assert result.returncode == 0, result.stderr.decode()
    assert built.ok("run", "--rm", "piped", "cat", "/app") == "the app\n"


def test_a_step_that_fails_pushes_nothing_and_leaves_nothing(built, project, registry, tmp_path):
    (project / "Dockerfile").write_text("FROM busybox\nRUN exit 3\n")
    name = f"{registry.address}/kaniko/failed"
    argv = ("kaniko", "-c", project, "-d", name, "--digest-file", tmp_path / "digest")
    result = built(*argv)
    assert result.exit != 0
    assert "exit 3" in result.stderr
    assert not (tmp_path / "digest").exists()
    assert registry.ask("GET", "/v2/kaniko/failed/tags/list")[0] == 404
    assert not list((built.root / "tmp").iterdir())


def test_by_the_name_of_its_program(built, project, tmp_path):
    program = tmp_path / "executor"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom rootless.__main__ import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    environment = {**built.environment, "ROOTLESS_ROOT": str(built.root)}
    command = [program, "--context", project, "--no-push", "--destination", "named"]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert built.ok("run", "--rm", "named", "cat", "/app") == "the app\n"


def test_mistakes(built, project, tmp_path):
    for argv, words in (
        (("-c", project), "you must provide --destination, or use --no-push"),
        (("-c", "s3://bucket/app.tar.gz", "--no-push"), "lies in a bucket"),
        (("-c", tmp_path / "gone", "--no-push"), "is not a directory"),
        (("--no-push", "--destinatoin", "x"), "unknown flag: --destinatoin"),
        (("--no-push", "--snapshot-mode=none"), "it must be full or redo or time"),
    ):
        result = built("kaniko", *argv, cwd=tmp_path)
        assert result.exit in (1, 125)
        assert words in result.stderr
        assert "Traceback" not in result.stderr
