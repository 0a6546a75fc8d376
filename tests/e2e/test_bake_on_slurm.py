"""`bake --on slurm`: targets are jobs of a Slurm that really runs, on two nodes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.support import flattened
from tests.support.slurm import Slurm

pytestmark = [
    pytest.mark.needs("userns", "subids", "overlay", "busybox", "registry", "slurm"),
    pytest.mark.timeout(900),
]

FILE = """\
variable "R" {}
target "one" {
  args = { WHO = "a b" }
  tags = ["${R}/one"]
}
target "two" {
  dockerfile-inline = "FROM ${R}/busybox\\nRUN echo 'it''s two' > /two\\n"
  tags = ["${R}/two"]
}
target "base" {
  dockerfile-inline = "FROM ${R}/busybox\\nRUN echo base > /base\\n"
}
target "above" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\\nRUN cat /base > /above\\n"
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
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    with Slurm(tmp_path_factory.mktemp("cluster") / "slurm") as running:
        yield running


@pytest.fixture
def place(registry, request):
    """A namespace of the registry for this test alone."""
    return f"{registry.address}/{request.node.originalname}"


@pytest.fixture
def project(registry, place, busybox_image, tmp_path):
    registry.push(busybox_image, f"{place.partition('/')[2]}/busybox")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "docker-bake.hcl").write_text(FILE)
    (folder / "Dockerfile").write_text(
        f"FROM {place}/busybox\nARG WHO\nCOPY f /f\nRUN echo $WHO > /who\n"
    )
    (folder / "f").write_text("file\n")
    return folder


@pytest.fixture
def bake(rootless, slurm, project, place, tmp_path):
    rootless.environment |= {**slurm.environment, "R": place, "XDG_STATE_HOME": f"{tmp_path}/state"}

    def command(*words):
        # without --root: each node has a store of its own
        return [*rootless.command()[:3], "bake", "--on", f"slurm,registry={place}/all", *words]

    def run(*words, **options):
        return subprocess.run(
            command(*words),
            cwd=project,
            env=rootless.environment,
            capture_output=True,
            text=True,
            check=False,
            **{"timeout": 300, **options},
        )

    run.command = command
    return run


def files_of(rootless, tmp_path, name):
    rootless.ok("pull", name)
    rootless.ok("save", "-o", tmp_path / "saved.tar", name)
    found = flattened.read(tmp_path / "saved.tar")[0]
    (tmp_path / "saved.tar").unlink()
    return found


def test_targets_are_built_by_nodes_and_pushed(bake, rootless, slurm, project, place, tmp_path):
    done = bake("--push", "--metadata-file", "made.json", "one", "two")
    assert done.returncode == 0, done.stderr
    assert files_of(rootless, tmp_path, f"{place}/one")["who"].content == "a b\n"
    assert files_of(rootless, tmp_path, f"{place}/one")["f"].content == "file\n"
    assert files_of(rootless, tmp_path, f"{place}/two")["two"].content == "its two\n"
    assert {"one", "two"} == {line.split(" |")[0].rstrip() for line in done.stderr.splitlines()}
    made = json.loads((project / "made.json").read_text())
    assert made["one"]["image.name"] == f"{place}/one"
    shown = rootless.ok("inspect", "-f", "{{json .RepoDigests}}", f"{place}/one")
    assert made["one"]["containerimage.digest"] in shown
    names = [name for name in slurm.jobs() if name.startswith(("one@", "two@"))]
    assert len(names) == 2
    assert os.listdir(tmp_path / "state/rootless/jobs") == []


def test_the_second_time_another_node_finds_all_in_the_registry(bake, slurm, project):
    (project / "f").write_text("no node has seen this\n")
    on = bake.command()[5]
    first = bake("--on", f"{on},nodelist=n1", "--push", "one")
    assert first.returncode == 0, first.stderr
    assert "CACHED" not in first.stderr
    again = bake("--on", f"{on},nodelist=n2", "--push", "one")
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("CACHED") == 2
    assert not list((slurm.folder / "store.n2").glob("tmp/*"))


def test_a_target_that_others_are_made_from_comes_first(bake, rootless, place, tmp_path):
    done = bake("--push", "above")
    assert done.returncode == 0, done.stderr
    assert files_of(rootless, tmp_path, f"{place}/above")["above"].content == "base\n"
    lines = [line.split(" |")[0].rstrip() for line in done.stderr.splitlines()]
    assert lines.index("above") > max(n for n, line in enumerate(lines) if line == "base")


def test_what_fails_is_told_with_its_step_and_ends_the_others(bake, slurm, tmp_path):
    done = bake("--push", "bad", "slow")
    assert done.returncode == 1
    assert "bad  | #2" in done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")][-1]
    assert last.startswith("error: target bad: job "), last
    assert " failed: Dockerfile:2: process" in last
    _await_state(slurm, "slow@", "CANCELLED")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_jobs(bake, rootless, slurm, project, number):
    running = subprocess.Popen(
        bake.command("--push", "slow", "two"),
        cwd=project,
        env=rootless.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    _await_begun(running)
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == 128 + number
    _await_state(slurm, "slow@", "CANCELLED")


def test_a_job_that_somebody_cancels_is_told(bake, rootless, slurm, project):
    running = subprocess.Popen(
        bake.command("--push", "slow"),
        cwd=project,
        env=rootless.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    _await_begun(running)
    name = next(one for one, state in slurm.jobs().items() if "slow@" in one and state == "RUNNING")
    slurm.ask("scancel", f"--name={name}")
    told = running.communicate(timeout=60)[1]
    assert running.returncode == 1
    assert "error: target slow: job " in told
    assert " was cancelled" in told


def test_a_job_whose_node_is_lost_is_told(bake, rootless, slurm, project):
    on = bake.command()[5]
    running = subprocess.Popen(
        bake.command("--on", f"{on},nodelist=n2", "--push", "slow"),
        cwd=project,
        env=rootless.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    _await_begun(running)
    slurm.stop_node("n2")
    try:
        slurm.ask("scontrol", "update", "nodename=n2", "state=down", "reason=test")
        told = running.communicate(timeout=120)[1]
    finally:
        slurm.start_node("n2")
        slurm.ask("scontrol", "update", "nodename=n2", "state=resume")
    assert running.returncode == 1
    assert "was lost: its node failed" in told


def test_what_is_asked_for_wrongly_is_said_before_any_job(bake, rootless, slurm, project, place):
    before = slurm.jobs()
    for words, told in (
        (("one",), "its image would stay where the job of Slurm was"),
        (("--on", "slrm,registry=x", "one"), "did you mean slurm?"),
        (("--on", "slurm", "one"), "there is no registry that all share"),
        (("--on", f"slurm,registry={place},partion=x", "one"), "did you mean partition?"),
        (("--check", "one"), "a check is no job"),
        (("--on", "slurm,registry=127.0.0.1:1/x", "--push", "one"), "the registry that all are"),
        (("--push", "--on", f"slurm,registry={place},partition=none", "one"), "Invalid partition"),
    ):
        done = bake(*words)
        assert done.returncode != 0
        assert told in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    assert slurm.jobs() == before


def test_without_slurm_that_is_said(bake, rootless):
    rootless.environment["PATH"] = "/nonexistent"
    done = bake("--push", "one")
    assert done.returncode == 1
    assert "there is no sbatch here" in done.stderr


def test_without_a_controller_that_is_said(bake, rootless, slurm, tmp_path):
    text = (slurm.folder / "slurm.conf").read_text()
    port = next(line for line in text.splitlines() if line.startswith("SlurmctldPort="))
    (tmp_path / "slurm.conf").write_text(
        text.replace(port, "SlurmctldPort=1\nMessageTimeout=2\nSlurmctldTimeout=2")
    )
    rootless.environment["SLURM_CONF"] = str(tmp_path / "slurm.conf")
    done = bake("--push", "one", timeout=300)
    assert done.returncode != 0
    assert "error: sbatch: " in done.stderr, done.stderr
    assert "sinfo shows whether Slurm is there" in done.stderr


def test_dry_run_prints_what_sbatch_takes(bake, slurm, project):
    text = bake("--push", "--dry-run", "two").stdout
    assert "sbatch --parsable" in text
    assert "--cache-to" in text
    script = text.partition("<<'END'\n")[2].partition("\nEND")[0]
    checked = subprocess.run(["sh", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0


def _await_begun(running):
    said = []
    while "begun" not in (line := running.stderr.readline()):
        said.append(line)
        assert line, "".join(said)


def _await_state(slurm, beginning, wanted):
    deadline = time.monotonic() + 60
    while True:
        states = [state for name, state in slurm.jobs().items() if name.startswith(beginning)]
        if states and set(states) <= {wanted}:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.2)
