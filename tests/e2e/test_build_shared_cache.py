"""`--cache-to` and `--cache-from`: two machines, here two stores, share what each has built."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.conftest import Rootless
from tests.support import child, flattened
from tests.support.registry import Registry

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

DOCKERFILE = """\
FROM busybox AS build
COPY src /src
RUN cp /src/a /out && tr -dc a-f0-9 < /dev/urandom | head -c 40 > /number
FROM busybox
RUN tr -dc a-f0-9 < /dev/urandom | head -c 40 > /other
COPY --from=build /out /number /
RUN cat /out > /used
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "a").write_text("one")
    (folder / "src" / "b").write_text("two")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    return folder


@pytest.fixture
def machines(rootless, busybox_image, tmp_path):
    """Two stores, each with the base image and nothing else."""
    rootless.load(busybox_image, tmp_path)
    other = Rootless(tmp_path / "other")
    other.load(busybox_image, tmp_path)
    yield rootless, other
    child.remove_tree(tmp_path / "other")


def build(machine, project, *flags):
    """How each step of a build ended, by its number; and all that it said."""
    result = machine("build", "--progress=plain", "-t", "test", *flags, project)
    assert result.exit == 0, result.stderr
    ends = re.findall(r"^#(\d+) (CACHED|DONE)", result.stderr, re.MULTILINE)
    return dict(ends), result.stderr


def ran(machine, project, *flags):
    """The commands and copies that were carried out."""
    ends, said = build(machine, project, *flags)
    titles = dict(re.findall(r"^#(\d+) \[.*?\] ((?:RUN|COPY).*)$", said, re.MULTILINE))
    return [text for number, text in sorted(titles.items()) if ends[number] == "DONE"]


def files(machine, folder):
    machine.ok("save", "-o", folder / "test.tar", "test")
    return flattened.read(folder / "test.tar")[0]


@pytest.mark.needs("registry")
def test_the_second_machine_runs_nothing(machines, project, registry, tmp_path):
    first, second = machines
    place = f"type=registry,ref={registry.address}/shared/app:cache"
    assert len(ran(first, project, "--cache-to", f"{place},mode=max")) == 5
    assert ran(second, project, "--cache-from", place) == []
    assert files(second, tmp_path)["number"] == files(first, tmp_path)["number"]
    image = "{{.Id}} {{json .RootFS}}"
    assert second.ok("inspect", "-f", image, "test") == first.ok("inspect", "-f", image, "test")


@pytest.mark.needs("registry")
@pytest.mark.parametrize("mode", ["min", "max"])
def test_who_runs_nothing_leaves_the_cache_as_it_is(machines, project, registry, mode):
    first, second = machines
    name = f"shared/kept-{mode}"
    place = f"type=registry,ref={registry.address}/{name}"
    flags = ("--cache-from", place, "--cache-to", f"{place},mode={mode}")

    def shared():
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        manifest = json.loads(registry.ask("GET", f"/v2/{name}/manifests/latest", b"", accept)[2])
        config = registry.ask("GET", f"/v2/{name}/blobs/{manifest['config']['digest']}")[2]
        return json.loads(json.loads(config)["config"]["Labels"]["rootless.cache"])["steps"]

    ran(first, project, *flags)
    before = shared()
    assert ran(second, project, *flags) == []
    assert shared() == before


@pytest.mark.needs("registry")
def test_a_changed_file_reruns_what_follows_it(machines, project, registry, tmp_path):
    first, second = machines
    place = f"type=registry,ref={registry.address}/shared/changed:cache"
    ran(first, project, "--cache-to", f"{place},mode=max")
    (project / "src" / "a").write_text("changed")
    assert ran(second, project, "--cache-from", place) == [
        "COPY src /src",
        "RUN cp /src/a /out && tr -dc a-f0-9 < /dev/urandom | head -c 40 > /number",
        "COPY --from=build /out /number /",
        "RUN cat /out > /used",
    ]
    assert files(second, tmp_path)["used"].content == "changed"
    assert files(second, tmp_path)["other"] == files(first, tmp_path)["other"]


@pytest.mark.needs("registry")
def test_the_small_cache_has_the_image_alone_and_needs_no_other_stage(
    machines, project, registry, tmp_path
):
    first, second = machines
    name = f"{registry.address}/shared/small:cache"
    ran(first, project, "--cache-to", f"type=registry,ref={name}")
    assert ran(second, project, "--cache-from", name) == []
    assert files(second, tmp_path)["number"] == files(first, tmp_path)["number"]
    listed = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"],
        capture_output=True,
        check=True,
    )
    assert len(json.loads(listed.stdout)["Layers"]) == 3


def test_a_folder_keeps_a_cache_too(machines, project, tmp_path):
    first, second = machines
    folder = tmp_path / "cache"
    ran(first, project, "--cache-to", f"type=local,dest={folder},mode=max")
    assert (folder / "oci-layout").exists()
    assert ran(second, project, "--cache-from", f"type=local,src={folder}") == []
    (project / "src" / "b").write_text("changed")
    flags = ("--cache-from", f"type=local,src={folder}", "--cache-to", f"type=local,dest={folder}")
    assert len(ran(second, project, *flags)) == 4
    assert len(ran(first, project, "--cache-from", f"type=local,src={folder}")) == 0


@pytest.mark.needs("registry")
def test_an_image_keeps_its_own_cache(machines, project, registry):
    first, second = machines
    name = f"{registry.address}/shared/inline:latest"
    ran(first, project, "-t", name, "--cache-to", "type=inline")
    first.ok("push", name)
    assert ran(second, project, "--cache-from", name) == []


def test_what_is_in_cache_mounts_is_shared_when_asked(machines, project, tmp_path):
    first, second = machines
    (project / "Dockerfile").write_text(
        "FROM busybox\nARG V\n"
        "RUN --mount=type=cache,target=/c,uid=7,mode=0711 "
        "if test -e /c/made; then stat -c %u:%a /c /c/made > /seen; else echo no > /seen; "
        "touch /c/made; chown 5 /c/made; chmod 640 /c/made; fi\n"
    )
    folder = tmp_path / "cache"
    place = f"type=local,dest={folder}"
    ran(first, project, "--cache-to", place)
    assert files(first, tmp_path)["seen"].content == "no\n"
    ran(second, project, "--build-arg=V=1", "--cache-from", f"type=local,src={folder}")
    assert files(second, tmp_path)["seen"].content == "no\n"
    second.ok("builder", "prune", "-f", "-a")
    ran(first, project, "--cache-to", f"{place},mounts=true")
    ran(second, project, "--build-arg=V=1", "--cache-from", f"type=local,src={folder}")
    assert files(second, tmp_path)["seen"].content == "7:711\n5:640\n"


def test_nothing_is_left_of_the_exported_cache(machines, project, tmp_path):
    first, _ = machines
    ran(first, project, "--cache-to", f"type=local,dest={tmp_path / 'cache'},mode=max")
    assert first.ok("images", "-aq").split() == first.ok("images", "-q").split()
    assert first.ok("system", "check") != ""


@pytest.mark.needs("registry")
def test_a_cache_that_is_not_there_is_told_and_the_build_goes_on(machines, project, registry):
    _, second = machines
    _, said = build(second, project, "--cache-from", f"{registry.address}/shared/none:at-all")
    assert said.count("warning: the cache ") == 1
    assert "shared/none:at-all is not used" in said


def test_a_cache_that_cannot_be_written_fails_the_build_unless_told(machines, project, tmp_path):
    first, _ = machines
    with Registry(tmp_path / "gone") as registry:
        place = f"type=registry,ref={registry.address}/shared/gone:cache"
    result = first("build", "-q", "--cache-to", place, project)
    assert result.exit == 1
    assert registry.address in result.stderr
    _, said = build(first, project, "--cache-to", f"{place},ignore-error=true")
    assert "warning: the cache" in said


@pytest.mark.parametrize(
    "label",
    [
        "no JSON",
        '{"version": 1, "steps": {"k": ["sha256:1", ""]}, "contents": {}}',
        '{"version": 99, "steps": "whatever"}',
    ],
)
def test_a_damaged_cache_is_told_and_not_used(machines, project, tmp_path, label):
    first, second = machines
    folder = tmp_path / "cache"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    first.ok("build", "-q", "-t", "bad", tmp_path / "bad")
    first.ok("run", "--name", "made", "bad", "true")
    first.ok("commit", "-c", f"LABEL rootless.cache={json.dumps(label)}", "made", "bad")
    first.ok("copy", "bad", f"oci:{folder}:latest")
    _, said = build(second, project, "--cache-from", f"type=local,src={folder}")
    assert "DONE" in said
    assert ("is not used" in said) == ("99" not in label)


def test_a_cache_that_lies_about_a_layer_is_found_out(machines, project, tmp_path):
    """The layer is not what the digest says: the build goes on without it."""
    first, second = machines
    folder = tmp_path / "cache"
    ran(first, project, "--cache-to", f"type=local,dest={folder},mode=max")
    for blob in (folder / "blobs" / "sha256").iterdir():
        content = bytearray(blob.read_bytes())
        if b"ustar" in content:
            content[0] ^= 1
            blob.write_bytes(bytes(content))
    _, said = build(second, project, "--cache-from", f"type=local,src={folder}")
    assert said.count("warning: a shared cache is not used any more") == 1
    assert "contents" in said
    assert files(second, tmp_path)["used"].content == "one"


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("--cache-from", "type=gha", "type gha is not supported"),
        ("--cache-from", "type=registri,ref=a", "did you mean registry"),
        ("--cache-from", "type=registry", "there is no ref"),
        ("--cache-from", "type=local", "there is no src"),
        ("--cache-from", "type=inline", "an inline cache is in an image"),
        ("--cache-from", "ref=a", "there is no type"),
        ("--cache-to", "type=local", "there is no dest"),
        ("--cache-to", "type=registry,ref=a,mode=maxi", "mode is min or max"),
        ("--cache-to", "type=registry,ref=a,mod=max", "did you mean mode"),
        ("--cache-to", "type=registry,ref=A", "must be in lower case"),
        ("--cache-ttl", "soon", "not a length of time"),
    ],
)
def test_what_is_no_place_is_told_before_anything_is_built(rootless, tmp_path, flag, value, told):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    result = rootless("build", flag, value, tmp_path)
    assert result.exit != 0
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_what_is_older_than_wanted_is_run_again(machines, project):
    first, _ = machines
    ran(first, project)
    assert ran(first, project, "--cache-ttl", "24h") == []
    assert len(ran(first, project, "--cache-ttl", "0s")) == 5


def test_stages_that_must_be_fresh(machines, project):
    first, _ = machines
    ran(first, project)
    found = ran(first, project, "--no-cache-filter", "build")
    assert found[:2] == [
        "COPY src /src",
        "RUN cp /src/a /out && tr -dc a-f0-9 < /dev/urandom | head -c 40 > /number",
    ]
    assert "RUN tr -dc a-f0-9 < /dev/urandom | head -c 40 > /other" not in found


def test_why(machines, project):
    first, _ = machines
    _, said = build(first, project, "--why")
    assert "not cached: it was never carried out before" in said
    assert "not cached" not in build(first, project, "--why")[1]
    (project / "src" / "a").write_text("changed")
    (project / "src" / "new").write_text("new")
    (project / "src" / "b").unlink()
    _, said = build(first, project, "--why")
    assert "not cached: src/a changed; src/new is new; src/b is gone\n" in said
    (project / "Dockerfile").write_text(DOCKERFILE.replace("RUN tr", "ENV V=1\nRUN tr"))
    _, said = build(first, project, "--why")
    assert "not cached: V was not set, is '1'\n" in said
    (project / "Dockerfile").write_text(DOCKERFILE.replace("RUN tr", "ENV V=2\nRUN tr"))
    _, said = build(first, project, "--why")
    assert "not cached: V was '1', is '2'\n" in said
    text = DOCKERFILE.replace("RUN tr", "ENV V=2\nRUN tr").replace("cat /out", "cat /other")
    (project / "Dockerfile").write_text(text)
    _, said = build(first, project, "--why")
    assert "not cached: the instruction here was: RUN cat /out > /used\n" in said
    _, said = build(first, project, "--why", "--no-cache")
    assert said.count("not cached: --no-cache\n") == 5


@pytest.mark.needs("registry", "skopeo")
def test_how_the_layers_of_a_cache_are_packed(machines, project, registry):
    name = f"{registry.address}/shared/packed:cache"
    place = f"type=registry,ref={name},compression=zstd,compression-level=3"
    ran(machines[0], project, "--cache-to", place)
    listed = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"],
        capture_output=True,
        check=True,
    )
    kinds = {one["mediaType"] for one in json.loads(listed.stdout)["layers"]}
    assert kinds == {"application/vnd.oci.image.layer.v1.tar+zstd"}


def test_a_folder_keeps_several_caches(machines, project, tmp_path):
    first, second = machines
    folder = tmp_path / "cache"
    ran(first, project, "--cache-to", f"type=local,dest={folder},mode=max,tag=one")
    (project / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    ran(first, project, "--cache-to", f"type=local,dest={folder},mode=max,tag=two")
    (project / "Dockerfile").write_text(DOCKERFILE)
    assert len(ran(second, project, "--cache-from", f"type=local,src={folder},tag=two")) == 5
    second.ok("builder", "prune", "-af")
    assert ran(second, project, "--cache-from", f"type=local,src={folder},tag=one") == []


@pytest.mark.needs("registry")
def test_dockers_variable_asks_for_an_inline_cache(machines, project, registry):
    first, second = machines
    name = f"{registry.address}/shared/variable:latest"
    ran(first, project, "-t", name, "--build-arg", "BUILDKIT_INLINE_CACHE=1")
    first.ok("push", name)
    assert ran(second, project, "--cache-from", name) == []


def test_all_platforms_are_in_one_cache(machines, project, tmp_path):
    (project / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY src /$TARGETARCH\n")
    folder = tmp_path / "cache"
    both = ("--platform", "linux/amd64,linux/arm64")
    assert len(ran(machines[0], project, *both, "--cache-to", f"type=local,dest={folder}")) == 2
    assert ran(machines[1], project, *both, "--cache-from", f"type=local,src={folder}") == []


def test_a_config_that_is_not_what_its_digest_says_is_not_believed(machines, project, tmp_path):
    first, second = machines
    folder = tmp_path / "cache"
    ran(first, project, "--cache-to", f"type=local,dest={folder},mode=max")
    (config,) = (
        blob
        for blob in (folder / "blobs" / "sha256").iterdir()
        if b"rootless.cache" in blob.read_bytes()
    )
    content = config.read_bytes()
    at = content.index(b'\\"steps\\":{\\"') + len(b'\\"steps\\":{\\"')
    digit = b"1" if content[at : at + 1] == b"0" else b"0"
    config.write_bytes(content[:at] + digit + content[at + 1 :])
    _, said = build(second, project, "--cache-from", f"type=local,src={folder}")
    assert "is not used: its config" in said
    assert " CACHED\n" not in said


def test_what_steps_were_long_ago_is_forgotten(machines, project):
    first, _ = machines
    ran(first, project)
    trails = first.root / "cache" / "trails"
    old, *others = sorted(trails.iterdir())
    os.utime(old, (1e9, 1e9))
    (project / "src" / "a").write_text("changed")
    (project / "Dockerfile").write_text("FROM busybox AS other\nCOPY src /src\n")
    ran(first, project)
    assert not old.exists()
    assert all(one.exists() for one in others)
