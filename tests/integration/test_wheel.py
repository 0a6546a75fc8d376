"""What a wheel puts on a machine: the command and the manual pages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.machine import PROJECT

pytest.importorskip("hatchling")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with nothing but the wheel of this checkout in it."""
    folder = tmp_path_factory.mktemp("wheel")
    python = folder / "environment" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", python]
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=PROJECT)
    _run(sys.executable, "-m", "venv", "--without-pip", folder / "environment")
    _run(*pip, "install", "--no-index", "--no-deps", *folder.glob("*.whl"))
    return folder / "environment"


def test_the_command_imports_nothing_but_the_program(environment):
    script = environment / "bin" / "rootless"
    head, _, body = script.read_text().partition("\n")
    assert head.removeprefix("#!").startswith(str(environment))
    assert body == (PROJECT / "scripts" / "rootless").read_text().partition("\n")[2]
    python = _imported(environment / "bin" / "python", "-c", "")
    ours = {name for name in _imported(script, "--version") - python if "rootless" not in name}
    assert ours <= {"__future__", "_signal", "errno", "gc"}


def test_the_manual_pages_come_with_it(environment):
    page = environment / "share" / "man" / "man1" / "rootless-run.1"
    assert page.read_text().startswith(".TH")


def _imported(*command) -> set[str]:
    traced = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1", "PYTHONPATH": ""}
    lines = _run(*command, env=traced).splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def _run(*command, **options) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert answer.returncode == 0, answer.stderr
    return answer.stderr
