"""`bake --on kubernetes`: targets are Jobs, made by the official client.

The cluster is one of tests/support/cluster.py, whose pods are processes. A real one is asked, too,
where KUBECONFIG names it and ROOTLESS_CLUSTER says what --on needs there: registry=…,image=….
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.support import flattened
from tests.support.cluster import Cluster

pytest.importorskip("kubernetes")
pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox", "registry")

FILE = """\
variable "R" {}
target "one" {
  context = "sub"
  dockerfile = "Other"
  contexts = { more = "more" }
  tags = ["${R}/one"]
}
target "base" {
  context = "more"
  dockerfile-inline = "FROM ${R}/busybox\\nCOPY . /base/\\n"
}
target "above" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\\nRUN ls /base > /above\\n"
  tags = ["${R}/above"]
}
target "bad" {
  dockerfile-inline = "FROM ${R}/busybox\\nRUN echo before; exit 3\\n"
  tags = ["${R}/bad"]
}
target "slow" {
  dockerfile-inline = "FROM ${R}/busybox\\nRUN echo begun; sleep 600\\n"
  tags = ["${R}/slow"]
}
target "secret" {
  dockerfile-inline = "FROM ${R}/busybox\\n"
  secret = ["id=x,src=more/m"]
  tags = ["${R}/secret"]
}
"""


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path / "cluster") as running:
        yield running


@pytest.fixture
def place(registry, request):
    """A namespace of the registry for this test alone."""
    return f"{registry.address}/{request.node.originalname}"


@pytest.fixture
def project(registry, place, busybox_image, tmp_path):
    registry.push(busybox_image, f"{place.partition('/')[2]}/busybox")
    return written(tmp_path / "project", place)


def written(folder, place):
    (folder / "sub").mkdir(parents=True)
    (folder / "more").mkdir()
    (folder / "docker-bake.hcl").write_text(FILE)
    (folder / "sub/Other").write_text(
        f"FROM {place}/busybox\nCOPY . /sub/\nCOPY --from=more m /m\nRUN chmod 755 /m\n"
    )
    (folder / "sub/Other.dockerignore").write_text("left-out\n*.dockerignore\n")
    (folder / "sub/left-out").write_text("not to be sent")
    (folder / "sub/f").write_text("file\n")
    (folder / "sub/run").write_text("#!/bin/sh\n")
    (folder / "sub/run").chmod(0o755)
    (folder / "sub/link").symlink_to("f")
    (folder / "more/m").write_text("more\n")
    return folder


@pytest.fixture
def bake(rootless, cluster, project, place):
    rootless.environment |= {"KUBECONFIG": str(cluster.kubeconfig), "R": place}

    def command(*words, image="here/rootless"):
        on = f"kubernetes,registry={place}/all,image={image}"
        return rootless.command("bake", "--on", on, *words)

    def run(*words, image="here/rootless"):
        return subprocess.run(
            command(*words, image=image),
            cwd=project,
            env=rootless.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    run.command = command
    return run


def files_of(rootless, tmp_path, name):
    rootless.ok("pull", name)
    rootless.ok("save", "-o", tmp_path / "saved.tar", name)
    found = flattened.read(tmp_path / "saved.tar")[0]
    (tmp_path / "saved.tar").unlink()
    return found


def test_a_pod_builds_from_what_it_is_sent(bake, rootless, cluster, place, project, tmp_path):
    done = bake("--push", "--metadata-file", "made.json", "one")
    assert done.returncode == 0, done.stderr
    found = files_of(rootless, tmp_path, f"{place}/one")
    assert found["sub/f"].content == "file\n"
    assert found["m"].content == "more\n"
    assert found["sub/link"].content == "-> f"
    assert found["sub/run"].mode & 0o777 == 0o755
    names = {name for name in found if name.startswith("sub/")}
    assert names == {"sub/f", "sub/link", "sub/Other", "sub/run"}
    assert all(line.startswith("one | ") for line in done.stderr.splitlines() if "#" in line)
    made = json.loads((project / "made.json").read_text())["one"]["containerimage.digest"]
    assert made in rootless.ok("inspect", "-f", "{{json .RepoDigests}}", f"{place}/one")
    assert "sha256:" not in done.stderr.splitlines()[1]
    assert len(cluster.created) == 1
    assert cluster.jobs == {}


def test_the_image_is_the_one_that_is_built_here(bake, rootless, place, project):
    assert bake("--push", "one").returncode == 0
    rootless.ok("pull", f"{place}/one")
    rootless.ok("bake", "--set", "one.tags=here", "one", cwd=project)
    layers = [
        json.loads(rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", name))
        for name in (f"{place}/one", "here")
    ]
    assert layers[0] == layers[1]


def test_the_second_time_another_pod_finds_all_in_the_registry(bake):
    first = bake("--push", "one")
    assert "CACHED" not in first.stderr
    again = bake("--push", "one")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("CACHED") == 4  # three steps, and the context `more`


def test_a_target_that_others_are_made_from_comes_first(bake, rootless, place, tmp_path):
    done = bake("--push", "above")
    assert done.returncode == 0, done.stderr
    assert files_of(rootless, tmp_path, f"{place}/above")["above"].content == "m\n"


def test_what_fails_is_told_with_its_step_and_ends_the_others(bake, cluster):
    done = bake("--push", "bad", "slow")
    assert done.returncode == 1
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")][-1]
    assert last.startswith("error: target bad: job bad-"), last
    assert " on worker-1 failed: ../Dockerfile:2: process" in last
    assert cluster.jobs == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_deletes_the_jobs(bake, rootless, cluster, project, number):
    with _begun(bake, rootless, project) as running:
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert len(cluster.created) == 1
    assert cluster.jobs == {}


def test_a_job_that_somebody_deletes_is_told(bake, rootless, cluster, project):
    with _begun(bake, rootless, project) as running:
        for name in list(cluster.jobs):
            cluster.delete(name)
        told = running.communicate(timeout=60)[1]
    assert running.returncode == 1
    assert "was lost: it was deleted" in told, told


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("missing/rootless", 'cannot start: failed to pull image "missing/rootless"'),
        ("forbidden/rootless", 'gets no pod: pods "x" is forbidden: violates PodSecurity'),
        ("lost/rootless", "was lost: The node was low on memory."),
    ],
)
def test_a_pod_that_cannot_be_is_told(bake, cluster, image, told):
    done = bake("--push", "slow", image=image)
    assert done.returncode == 1
    assert "error: target slow: job slow-" in done.stderr
    assert told in done.stderr, done.stderr
    assert cluster.jobs == {}


def test_what_is_asked_for_wrongly_is_said_before_any_job(bake, cluster, place):
    for words, told in (
        (("one",), "its image would stay where the job of Kubernetes was"),
        (("--on", f"kubernetes,registry={place}", "--push", "one"), "needs the image that its"),
        (("--on", f"kubernetes,registry={place},imag=x", "one"), "did you mean image?"),
        (("--push", "secret"), "a job of Kubernetes has none of your secrets"),
        (("--push", "--set", "one.output=type=local,dest=x", "one"), "writes stay there"),
        (("--push", "one", "--set", "one.dockerfile=None"), "None"),
    ):
        done = bake(*words)
        assert done.returncode != 0
        assert told in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert cluster.created == []


def test_without_a_cluster_that_is_said(bake, rootless, cluster, tmp_path):
    rootless.environment["KUBECONFIG"] = str(tmp_path / "none")
    done = bake("--push", "one")
    assert done.returncode == 1
    assert "no cluster is known here" in done.stderr
    assert "KUBECONFIG=FILE" in done.stderr
    text = cluster.kubeconfig.read_text().replace(str(cluster.server.server_port), "1")
    (tmp_path / "none").write_text(text)
    done = bake("--push", "one")
    assert done.returncode == 1
    assert "the cluster does not answer" in done.stderr


def test_without_the_client_that_is_said(bake, rootless, tmp_path):
    (tmp_path / "kubernetes.py").write_text("raise ImportError")
    rootless.environment["PYTHONPATH"] = f"{tmp_path}:{rootless.environment['PYTHONPATH']}"
    done = bake("--push", "one")
    assert done.returncode == 1
    assert "pip install 'rootless[kubernetes]'" in done.stderr


@pytest.mark.needs("kubectl")
def test_dry_run_prints_what_kubectl_takes(bake, cluster):
    text = bake("--push", "--dry-run", "above", "one").stdout
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=client", "--validate=false", "-o", "name", "-f", "-"],
        input=text,
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    names = [line.partition("/") for line in done.stdout.split()]
    assert [kind for kind, *_ in names] == ["job.batch"] * 3
    assert [name.rpartition("-")[0] for *_, name in names] == ["base", "one", "above"]
    assert cluster.created == []


def test_a_cluster_that_is_given_builds(rootless, busybox_image, tmp_path):
    on = os.environ.get("ROOTLESS_CLUSTER", "")
    if not on or "KUBECONFIG" not in os.environ:
        pytest.skip("no cluster is given: set KUBECONFIG, and ROOTLESS_CLUSTER=registry=…,image=…")
    place = next(one[9:] for one in on.split(",") if one.startswith("registry=")) + "/test"
    rootless.load(busybox_image, tmp_path)
    rootless.ok("tag", "busybox", f"{place}/busybox")
    rootless.ok("push", f"{place}/busybox")
    folder = written(tmp_path / "project", place)
    environment = {**rootless.environment, "R": place}
    words = ("bake", "--push", "--on", f"kubernetes,{on}", "one", "above")
    rootless.ok(*words, cwd=folder, env=environment)
    assert files_of(rootless, tmp_path, f"{place}/one")["m"].content == "more\n"
    assert files_of(rootless, tmp_path, f"{place}/above")["above"].content == "m\n"


class _begun:  # noqa: N801 - read as a verb
    """A bake whose target `slow` has begun its step."""

    def __init__(self, bake, rootless, project):
        self._running = subprocess.Popen(
            bake.command("--push", "slow"),
            cwd=project,
            env=rootless.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        said = []
        deadline = time.monotonic() + 120
        while "begun" not in (line := self._running.stderr.readline()):
            said.append(line)
            assert line and time.monotonic() < deadline, "".join(said)
        return self._running

    def __exit__(self, *_):
        if self._running.poll() is None:
            self._running.kill()
            self._running.communicate()
