"""Targets as lines for a shell: what the shell hands on is what the target says."""

from __future__ import annotations

import subprocess

import pytest

from rootless.cli.bake_shell import line
from rootless.cli.bake_words import Command


@pytest.mark.parametrize(
    "dockerfile",
    ["FROM a\n", "FROM a\nRUN <<EOF\necho $HOME\nEOF\n", "RUN <<EOF_\nEOF\nEOF_\nRUN x\n"],
)
def test_a_dockerfile_is_read_whole(dockerfile):
    text = line("app", Command(("--file", "-", "."), dockerfile))
    script = f'rootless() {{ echo "$@"; cat; }}\n{text}\necho after\n'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"build --file - .\n{dockerfile}after\n"
