"""What scripts/demo and scripts/setup stand on, tried where it costs little."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess

import pytest

from tests.support.machine import PROJECT

SCRIPTS = PROJECT / "scripts"


@pytest.fixture
def small_rootfs():
    """scripts/small-rootfs as a module."""
    loader = importlib.machinery.SourceFileLoader("small_rootfs", str(SCRIPTS / "small-rootfs"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.mark.needs("userns", "subids", "overlay")
@pytest.mark.parametrize("source", ["busybox", "shell"])
def test_the_base_made_without_a_hub_runs_the_demo(rootless, small_rootfs, tmp_path, source):
    if source == "shell":
        small_rootfs.BUSYBOX = ()
    archive = tmp_path / "rootfs.tar"
    small_rootfs.main(str(archive))
    rootless.ok("import", archive, "busybox")
    rootless.ok("build", "-t", "hello", PROJECT / "examples" / "hello")
    said = rootless.ok("run", "--rm", "hello").splitlines()
    assert said[1] == "Built by user 0 of another container."
    assert "I am root, process number 1" in said[2]


def test_the_command_that_grants_ids_is_shown_whole():
    line = _sh("grant-subids", "--print", "nobody")
    words = line.split()
    assert words[:2] == ["usermod", "--add-subuids"]
    first, last = map(int, words[2].split("-"))
    assert first >= 100000
    assert last - first == 65535


@pytest.mark.needs("subids")
def test_nothing_is_granted_twice():
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
    assert _sh("grant-subids", "--print", user.stdout.strip()) == ""


def test_a_command_of_an_ordinary_user_is_simply_run():
    assert _sh("as-user", "echo", "two words") == "two words\n"


@pytest.mark.parametrize(
    "script",
    [path.name for path in sorted(SCRIPTS.iterdir()) if path.is_file() and path.suffix != ".py"],
)
def test_scripts_are_executable_and_say_what_they_do(script):
    lines = (SCRIPTS / script).read_text().splitlines()
    assert (SCRIPTS / script).stat().st_mode & 0o111 == 0o111
    assert lines[0].startswith("#!")
    if lines[0] == "#!/bin/sh":
        assert lines[1].startswith("# ")
        subprocess.run(["sh", "-n", SCRIPTS / script], check=True)


def _sh(script: str, *argv: str) -> str:
    answer = subprocess.run([SCRIPTS / script, *argv], capture_output=True, text=True, check=True)
    return answer.stdout
