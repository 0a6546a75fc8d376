"""`bake`: targets become images, side by side, and what goes wrong names its target."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.support import flattened
from tests.support.processes import interrupt, wait_until_gone

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

FILE = """\
group "default" {
  targets = ["one", "two", "sub"]
}
target "one" {
  args = { WHO = "a b" }
  tags = ["one", "one:too"]
}
target "two" {
  dockerfile-inline = "FROM busybox\\nRUN echo two > /two\\n"
  tags = ["two"]
}
target "sub" {
  context = "sub"
  dockerfile = "Other"
  target = "wanted"
  tags = ["sub"]
}
target "bad" {
  dockerfile-inline = "FROM busybox\\nRUN echo before; exit 3\\n"
}
target "slow" {
  dockerfile-inline = "FROM busybox\\nRUN echo begun; sleep 600\\n"
}
target "slow-too" {
  dockerfile-inline = "FROM busybox\\nRUN echo begun >&2; sleep 601\\n"
}
"""


@pytest.fixture
def project(rootless, busybox_image, tmp_path):
    rootless.load(busybox_image, tmp_path)
    folder = tmp_path / "project"
    (folder / "sub").mkdir(parents=True)
    (folder / "docker-bake.hcl").write_text(FILE)
    (folder / "Dockerfile").write_text("FROM busybox\nARG WHO\nRUN echo $WHO > /who\n")
    (folder / "sub/Other").write_text(
        "FROM busybox AS wanted\nCOPY f /f\nFROM busybox\nRUN false\n"
    )
    (folder / "sub/f").write_text("file\n")
    return folder


@pytest.fixture
def bake(rootless, project):
    def run(*words, **options):
        return rootless("bake", *words, cwd=project, **options)

    return run


def files_of(rootless, tmp_path, name):
    rootless.ok("save", "-o", tmp_path / "saved.tar", name)
    found = flattened.read(tmp_path / "saved.tar")[0]
    (tmp_path / "saved.tar").unlink()
    return found


def test_a_group_is_built(bake, rootless, tmp_path):
    result = bake()
    assert result.exit == 0, result.stderr
    assert files_of(rootless, tmp_path, "one:too")["who"].content == "a b\n"
    assert files_of(rootless, tmp_path, "two")["two"].content == "two\n"
    sub = files_of(rootless, tmp_path, "sub")
    assert sub["f"].content == "file\n"
    named = [line for line in result.stderr.splitlines() if "naming to" in line]
    assert sorted(line.split(" |")[0].rstrip() for line in named) == ["one", "one", "sub", "two"]


def test_the_second_time_all_is_cached_and_the_same(bake, rootless):
    assert bake("--metadata-file", "m.json").exit == 0
    before = sorted(rootless.ok("images", "-q", "--no-trunc").split())
    again = bake("--metadata-file", "again.json")
    assert again.stderr.count("CACHED") == 3
    assert sorted(rootless.ok("images", "-q", "--no-trunc").split()) == before


def test_metadata_tells_what_was_made(bake, rootless, project):
    assert bake("--metadata-file", "m.json", "one", "two").exit == 0
    made = json.loads((project / "m.json").read_text())
    assert sorted(made) == ["one", "two"]
    ids = {name: rootless.ok("inspect", "-f", "{{.Id}}", name).strip() for name in made}
    assert {name: one["containerimage.config.digest"] for name, one in made.items()} == ids


def test_what_fails_names_its_target_and_ends_the_others(bake, rootless):
    result = bake("bad", "slow", "--jobs=2", timeout=300)
    assert result.exit == 1
    assert "error: target bad: Dockerfile:2: process" in result.stderr
    assert "bad  | #2" in result.stderr
    assert "before" in result.stderr
    assert os.listdir(rootless.root / "tmp") == []


def test_one_target_is_told_as_build_tells_it(bake):
    result = bake("two")
    assert result.exit == 0
    assert " | " not in result.stderr
    assert "naming to docker.io/library/two:latest" in result.stderr
    assert "error: target bad: " in bake("bad").stderr


def test_nothing_is_built_when_one_target_cannot_be(bake, rootless, project):
    text = (
        'target "odd" {\n  ssh = ["default=/nothing"]\n  platforms = ["none/of/those/there"]\n}\n'
    )
    (project / "docker-bake.override.hcl").write_text(text)
    result = bake("one", "odd")
    assert result.exit != 0
    assert "target odd" in result.stderr
    assert "one" not in rootless.ok("images").split()


def test_dry_run_gives_commands_that_a_shell_takes(bake, rootless, project, tmp_path):
    script = bake("--dry-run").stdout
    assert script.count("rootless build ") == 3
    command = " ".join(rootless.command())
    text = script.replace("rootless build", f"{command} build")
    done = subprocess.run(
        ["sh", "-e"], input=text.encode(), cwd=project, env=rootless.environment, check=False
    )
    assert done.returncode == 0
    assert files_of(rootless, tmp_path, "one")["who"].content == "a b\n"
    assert files_of(rootless, tmp_path, "two")["two"].content == "two\n"


def test_check_runs_nothing(bake, rootless, project):
    (project / "Dockerfile").write_text("from busybox\nRUN true\nMAINTAINER me\n")
    result = bake("--check", "one", "two")
    assert "one | " in result.stdout + result.stderr
    assert "MaintainerDeprecated" in result.stdout + result.stderr
    assert rootless.ok("images", "-q").count("\n") == 1


def test_builds_end_with_the_command_whatever_ends_it(rootless, project):
    command = rootless.command("bake", "slow", "two", "--jobs=2")
    running = subprocess.Popen(
        command, cwd=project, env=rootless.environment, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr
    while "begun" not in running.stderr.readline():
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.communicate()  # the pipe's end comes when nobody holds it any more
    wait_until_gone(f"{rootless.root} bake")
    rootless.ok("system", "prune", "-f")
    assert os.listdir(rootless.root / "tmp") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("whole_group", [False, True])
def test_targets_of_a_bake_that_is_asked_to_end_clean_up(rootless, project, number, whole_group):
    command = rootless.command("bake", "slow", "slow-too", "--jobs=2")
    with subprocess.Popen(
        command, cwd=project, env=rootless.environment, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as running:  # fmt: skip
        for _ in range(2):
            while "begun" not in running.stderr.readline().replace("echo begun", ""):
                assert running.poll() is None
        interrupt(running, number, whole_group=whole_group)
    assert os.listdir(rootless.root / "tmp") == []
    wait_until_gone(f"{rootless.root} bake")


def test_a_compose_file_is_built(rootless, project, tmp_path):
    (project / "docker-bake.hcl").unlink()
    (project / "compose.yaml").write_text(
        "services:\n  web:\n    image: web:${TAG:-none}\n    build:\n      context: .\n"
        "      args: {WHO: compose}\n  db:\n    image: busybox\n"
    )
    environment = {**rootless.environment, "TAG": "v1"}
    result = rootless("bake", cwd=project, env=environment)
    assert result.exit == 0, result.stderr
    assert files_of(rootless, tmp_path, "web:v1")["who"].content == "compose\n"


def test_the_file_may_come_on_standard_input(rootless, project):
    text = 'target "default" {\n  dockerfile-inline = "FROM busybox\\n"\n  tags = ["piped"]\n}\n'
    assert rootless("bake", "-f", "-", cwd=project, stdin=text).exit == 0
    assert "piped" in rootless.ok("images").split()
    assert rootless("bake", "-f", "-", "--print", cwd=project, stdin="").exit == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-f", "none.hcl"), "none.hcl: there is no such file"),
        (("onee",), "did you mean one?"),
        (("--set", "one.tag=x"), "did you mean tags?"),
        (("--list", "targts"), "did you mean targets?"),
        (("--print", "--list", "targets"), "cannot be used together"),
        (("--jobs", "0"), "is not a number of targets"),
        (("--progress", "tty"), "is for one build"),
        (("-f", "pipe"), "pipe is a pipe"),
        (("-f", "bytes.hcl"), "it is not UTF-8"),
        (("-f", "sub"), "sub is a directory"),
    ],
)
def test_what_cannot_be_is_said(bake, project, words, told):
    os.mkfifo(project / "pipe")
    (project / "bytes.hcl").write_bytes(b'target "a" {\n  tags = ["\xff"]\n}\n')
    result = bake(*words, timeout=120)
    assert result.exit != 0
    assert told in result.stderr


LINKED = """\
target "base" {
  dockerfile-inline = "FROM busybox\\nRUN echo base > /base\\n"
  tags = ["never-named"]
}
target "left" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM base\\nRUN echo left >> /base\\n"
  tags = ["left"]
}
target "right" {
  contexts = { base = "target:base" }
  dockerfile-inline = "FROM busybox\\nCOPY --from=base /base /right\\n"
  tags = ["right"]
}
"""


def test_a_target_is_made_from_another(bake, rootless, project, tmp_path):
    (project / "docker-bake.hcl").write_text(LINKED)
    result = bake("left", "right")
    assert result.exit == 0, result.stderr
    assert files_of(rootless, tmp_path, "left")["base"].content == "base\nleft\n"
    assert files_of(rootless, tmp_path, "right")["right"].content == "base\n"
    assert "never-named" not in rootless.ok("images")
    assert result.stderr.count("base  | #2 [2/2] RUN echo base") == 1


def test_an_image_by_its_id_stands_for_a_name(rootless, project):
    image_id = rootless.ok("inspect", "-f", "{{.Id}}", "busybox").strip()
    text = "FROM nowhere/else\nRUN echo > /f\n"
    words = ("build", "-q", "--build-context", f"nowhere/else=docker-image://{image_id}")
    assert rootless(*words, "-", stdin=text).exit == 0
    missing = f"nowhere/else=docker-image://sha256:{'0' * 64}"
    result = rootless("build", "-q", "--build-context", missing, "-", stdin=text)
    assert result.exit == 1
    assert "0" * 12 in result.stderr


SHARED = """\
group "default" {
  targets = ["lint", "test"]
}
target "all" {
  name = each
  matrix = { each = ["lint", "test", "base"] }
  target = each
  tags = [each]
}
"""
STAGES = """\
FROM busybox AS deps
RUN echo deps $(cat /proc/sys/kernel/random/uuid) > /deps
FROM deps AS base
RUN echo base $(cat /proc/sys/kernel/random/uuid) > /base
FROM base AS lint
RUN echo lint > /lint
FROM base AS test
RUN echo test > /test
FROM busybox AS other
RUN false
"""


def test_a_stage_that_two_targets_need_is_carried_out_once(bake, rootless, project, tmp_path):
    (project / "docker-bake.hcl").write_text(SHARED)
    (project / "Dockerfile").write_text(STAGES)
    result = bake("--jobs=4", "--metadata-file=m.json")
    assert result.exit == 0, result.stderr
    found = [files_of(rootless, tmp_path, name) for name in ("lint", "test")]
    assert found[0]["deps"].content == found[1]["deps"].content
    assert found[0]["base"].content == found[1]["base"].content
    assert {"lint", "test"} == set(json.loads((project / "m.json").read_text()))
    assert "stage base | " in result.stderr
    assert "stage deps | " not in result.stderr


def test_a_stage_that_is_a_target_is_waited_for_by_nobody_twice(bake, rootless, project, tmp_path):
    (project / "docker-bake.hcl").write_text(SHARED)
    (project / "Dockerfile").write_text(STAGES)
    assert bake("--jobs=4", "lint", "test", "base").exit == 0
    found = [files_of(rootless, tmp_path, name) for name in ("lint", "test", "base")]
    assert len({one["base"].content for one in found}) == 1


def test_files_may_come_out_of_targets_that_others_are_made_from(bake, rootless, project, tmp_path):
    base = 'target "base" {\n  output = ["out"]\n'
    (project / "docker-bake.hcl").write_text(LINKED.replace('target "base" {\n', base, 1))
    result = bake("base", "left", "right")
    assert result.exit == 0, result.stderr
    assert (project / "out/base").read_text() == "base\n"
    assert files_of(rootless, tmp_path, "left")["base"].content == "base\nleft\n"
    assert files_of(rootless, tmp_path, "right")["right"].content == "base\n"


def test_one_target_may_give_files(bake, project):
    assert bake("two", "--set", "two.output=type=tar,dest=o.tar").exit == 0
    assert (project / "o.tar").stat().st_size > 1000
    assert bake("one", "two", "--set", "*.output=o").exit == 0
    assert {"who", "two"} <= set(os.listdir(project / "o"))


def test_what_a_target_may_reach_is_looked_at_where_it_begins(bake, project, tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/f").write_text("secret\n")
    (project / "docker-bake.hcl").write_text(
        """
target "first" {
  dockerfile-inline = "FROM busybox AS made\\nRUN mkdir /s && ln -s ../../victim /s/late\\n\
FROM scratch\\nCOPY --from=made /s /\\n"
  output = ["type=local,dest=out"]
}
target "second" {
  contexts = { first = "target:first", late = "out/late" }
  dockerfile-inline = "FROM busybox\\nCOPY --from=late f /f\\nCOPY --from=first / /x\\n"
}
"""
    )
    result = bake("first", "second")
    assert result.exit != 0
    assert "target second: contexts would read out/late" in result.stderr


def test_a_file_does_not_let_itself_in(bake, project):
    (project / "docker-bake.override.hcl").write_text('target "two" {\n  ssh = ["default"]\n}\n')
    assert "--allow ssh" in bake("two").stderr
    assert bake("two", "--dry-run", "--allow", "ssh").exit == 0
