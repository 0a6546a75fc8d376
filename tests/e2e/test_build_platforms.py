"""One build for several platforms: a list of them, and what needs another processor."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest

from rootless.cli import emulation
from tests.support.images import layer, write_layout
from tests.support.taking import Taking

pytestmark = pytest.mark.needs("userns", "overlay")

BOTH = "linux/arm64,linux/s390x"


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM scratch AS make\nARG TARGETARCH\n"
        "COPY <<END /arch\n$TARGETARCH\nEND\n"
        "FROM scratch\nARG TARGETPLATFORM\nCOPY --from=make /arch /\nENV FOR=$TARGETPLATFORM\n"
    )
    return folder


def test_a_list_of_images(rootless, context, tmp_path):
    said = rootless(
        *("build", "--platform", BOTH, "-t", "two:1", "--iidfile", tmp_path / "id"),
        *("--metadata-file", tmp_path / "m", "--annotation", "index:a=b", context),
    )
    assert said.exit == 0, said.stderr
    assert "[linux/arm64 make 1/1]" in said.stderr
    assert "#3 [linux/s390x" in said.stderr, "steps are numbered through"
    told = json.loads((tmp_path / "m").read_text())
    assert told["containerimage.digest"] == (tmp_path / "id").read_text()
    assert "containerimage.config.digest" not in told
    found = json.loads(rootless.ok("manifest", "inspect", "two:1"))
    assert found["annotations"] == {"a": "b"}
    platforms = [one["platform"] for one in found["manifests"]]
    assert platforms == [{"architecture": a, "os": "linux"} for a in ("arm64", "s390x")]
    assert len(rootless.ok("images", "-q", "-a").split()) == 1, "the list alone is listed"
    for architecture in ("arm64", "s390x"):
        words = ["--platform", f"linux/{architecture}", "two:1"]
        (one,) = json.loads(rootless.ok("image", "inspect", *words))
        assert f"FOR=linux/{architecture}" in one["Config"]["Env"]
    again = rootless.ok("build", "-q", "--platform", BOTH, "-t", "two:1", context).strip()
    assert again != told["containerimage.digest"], "without the annotation"
    assert rootless.ok("build", "-q", "--platform", BOTH, "-t", "two:1", context).strip() == again
    rootless.ok("system", "prune", "-f")
    assert rootless.ok("image", "inspect", "--platform", "linux/s390x", "two:1")
    rootless.ok("system", "check")


def test_a_folder_for_each(rootless, context, tmp_path):
    rootless.ok("build", "--platform", BOTH, "-o", tmp_path / "out", context)
    for architecture in ("arm64", "s390x"):
        text = (tmp_path / "out" / f"linux_{architecture}" / "arch").read_text()
        assert text == f"{architecture}\n"
    one = f"type=local,dest={tmp_path}/one,platform-split=true"
    rootless.ok("build", "--platform", "linux/arm64", "-o", one, context)
    assert (tmp_path / "one" / "linux_arm64" / "arch").exists()
    flat = f"type=local,dest={tmp_path}/flat,platform-split=false"
    assert rootless("build", "--platform", BOTH, "-o", flat, context).exit == 1
    docker = f"type=docker,dest={tmp_path}/x.tar"
    refused = rootless("build", "--platform", BOTH, "-o", docker, context)
    assert "does not support exporting manifest lists" in refused.stderr


@pytest.mark.needs("skopeo")
def test_an_archive_and_a_push_of_all(rootless, context, tmp_path):
    with Taking() as registry:
        words = ["-t", f"{registry.address}/two:1", "--metadata-file", tmp_path / "m"]
        rootless.ok("build", "--platform", BOTH, "--push", *words, context)
        pushed = registry.manifests["two", "1"]
        digest = "sha256:" + hashlib.sha256(pushed).hexdigest()
        assert json.loads((tmp_path / "m").read_text())["containerimage.digest"] == digest
        for one in json.loads(pushed)["manifests"]:
            assert ("two", one["digest"]) in registry.manifests
    target = f"type=oci,dest={tmp_path}/x.tar"
    rootless.ok("build", "--platform", BOTH, "-o", target, "-t", "two:1", context)
    copied = ["skopeo", "copy", "--insecure-policy", "--all"]
    source = f"oci-archive:{tmp_path}/x.tar:docker.io/library/two:1"
    subprocess.run([*copied, source, f"dir:{tmp_path}/copied"], check=True)


def test_a_base_that_is_for_another_platform_alone(rootless, registry, context):
    name = f"{registry.address}/foreign:1"
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /f\n")
    rootless.ok("build", "--platform", "linux/arm64", "-t", name, context)
    rootless.ok("push", "--tls-verify=false", name)
    rootless.ok("rmi", name)
    (context / "Dockerfile").write_text(f"FROM {name}\nCOPY Dockerfile /g\n")
    build = ("build", "--tls-verify=false", "-t", "x")
    for how in ("pulled", "here"):
        built = rootless(*build, "--pull" if how == "pulled" else "--pull=false", context)
        assert built.exit == 0, built.stderr
        warning = (
            f"Dockerfile:1: InvalidBaseImagePlatform: Base image {name} was pulled with platform "
            '"linux/arm64", expected "linux/amd64" for current build'
        )
        assert warning.replace("amd64", emulation.Platform.host().architecture) in built.stderr
        assert rootless.ok("inspect", "-f", "{{.Architecture}}", "x") == "arm64\n"
    checked = rootless("build", "--check", "--tls-verify=false", context)
    assert checked.exit == 1
    assert "\nWARNING: InvalidBaseImagePlatform\nBase image" in checked.stdout
    rootless.ok(*build, "--platform", "linux/s390x", context)
    assert rootless.ok("inspect", "-f", "{{.Architecture}}", "x") == "s390x\n", "as docker says"
    right = rootless(*build, "--platform", "linux/arm64", context)
    assert "InvalidBaseImagePlatform" not in right.stderr


def test_a_command_that_cannot_run_is_told_before_anything_is_pulled(rootless, context):
    if not emulation._problem(emulation.Platform("linux", "s390x")):
        pytest.skip("there is an emulator for s390x")
    (context / "Dockerfile").write_text("FROM registry.invalid/nothing\nRUN true\n")
    failed = rootless("build", "--platform", "linux/s390x", context)
    assert failed.exit == 1
    assert "RUN of linux/s390x cannot be carried out here" in failed.stderr
    assert "Dockerfile:2" in failed.stderr
    assert "qemu-user-static" in failed.stderr
    assert "registry.invalid/nothing:" not in failed.stderr


def test_a_command_of_another_processor(rootless, context, tmp_path):
    if problem := emulation._problem(emulation.Platform("linux", "arm64")):
        pytest.skip(problem)
    program = emulation._elf(*emulation._PROGRAMS["arm64"], 0)
    name = "docker.io/library/base:latest"
    base = write_layout(tmp_path / "b", name, [layer({"true": program})], architecture="arm64")
    rootless.load(base, tmp_path)
    (context / "Dockerfile").write_text('FROM base\nRUN ["/true"]\n')
    rootless.ok("build", "--platform", "linux/arm64", "-t", "x", context)
    assert rootless.ok("inspect", "-f", "{{.Architecture}}", "x") == "arm64\n"
