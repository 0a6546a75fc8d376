"""docs/ci: what the files say is there, verb by verb and flag by flag."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from rootless.cli import table
from rootless.cli.parser import parse

FOLDER = Path(__file__).parents[2] / "docs" / "ci"
FILES = sorted(path.name for path in FOLDER.iterdir())


def lines(name: str) -> list[str]:
    """The lines of shell that a file gives to its system."""
    text = (FOLDER / name).read_text()
    if name == "Jenkinsfile":
        return re.findall(r"sh '([^']+)'", text)
    return [line for one in _scripts(yaml.safe_load(text)) for line in one.splitlines()]


def _scripts(value, key=""):
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _scripts(one, name)
    elif isinstance(value, list):
        if key == "command":
            yield shlex.join(value)
        else:
            for one in value:
                yield from _scripts(one, key)
    elif key in ("script", "run"):
        yield value


@pytest.mark.parametrize("name", FILES)
def test_its_commands_are_verbs_and_flags(name):
    """As the parser reads them, with what the system's variables may stand for."""
    commands = [
        part.split("|")[-1].strip()
        for line in lines(name)
        for part in re.split(r"&&|;", line.replace("| tr A-Z a-z)", ")"))
        if "rootless" in part
    ]
    assert commands
    for command in commands:
        words = shlex.split(re.sub(r"\$\([^)]*\)|\$\w+", "VALUE", command))
        assert words[0] == "rootless", command
        verb, rest = table.find(words[1:])
        assert verb, command
        parse(table.load(verb), rest)


@pytest.mark.parametrize("name", FILES)
def test_its_shell_is_shell(name):
    for line in lines(name):
        subprocess.run(["sh", "-n", "-c", line], check=True)


@pytest.mark.parametrize("name", FILES)
def test_it_names_the_builder_image_and_runs_as_root_without_privileges(name):
    text = (FOLDER / name).read_text()
    assert "registry.example/builder:1" in text
    assert re.search(r"user:? root|runAsUser: 0", text)
    assert "privileged" not in text


def test_the_page_leads_to_each():
    page = (FOLDER.parent / "ci.md").read_text()
    assert set(re.findall(r"\(ci/([^)]+)\)", page)) == set(FILES)


def test_the_job_is_one():
    """As Kubernetes' own client reads it."""
    client = pytest.importorskip("kubernetes.client")
    text = json.dumps(yaml.safe_load((FOLDER / "kubernetes-job.yaml").read_text()))
    job = client.ApiClient().deserialize(text, "V1Job", "application/json")
    (container,) = job.spec.template.spec.containers
    assert container.security_context.run_as_user == 0
    assert container.security_context.privileged is None
    assert container.command[0] == "rootless"
