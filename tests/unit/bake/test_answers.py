"""`bake --print` and `--list` against the answers of docker, kept in tests/corpus/bake."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rootless.cli import bake, parser, settings, table
from rootless.errors import RootlessError

CORPUS = Path(__file__).resolve().parents[2] / "corpus/bake"
CASES = [
    (folder.name, number, answer)
    for folder in sorted(CORPUS.iterdir())
    if folder.is_dir()
    for number, answer in enumerate(json.loads((folder / "docker.json").read_text()))
]


def _ask(answer, capsys):
    """Our exit code and standard output for a case's command."""
    words = answer["argv"]
    if not any(word.startswith("--list") for word in words):
        words = ["--print", *words]
    arguments = parser.parse(table.load("bake"), words)
    given = settings.read({"HOME": "/nonexistent", **answer.get("env", {})})
    try:
        code = bake.bake(given, arguments)
    except RootlessError as error:
        return 1, error.message
    return code, capsys.readouterr().out


def test_there_are_cases():
    assert len(CASES) > 200


@pytest.mark.parametrize(
    ("name", "answer"), [pytest.param(n, a, id=f"{n}-{i}") for n, i, a in CASES]
)
def test_as_docker_answers(name, answer, capsys, monkeypatch):
    monkeypatch.chdir(CORPUS / name)
    if "stdin" in answer:
        fd, before = os.open(answer["stdin"], os.O_RDONLY), os.dup(0)
        os.dup2(fd, 0)
    try:
        code, text = _ask(answer, capsys)
    finally:
        if "stdin" in answer:
            os.dup2(before, 0)
    if answer["exit"]:
        assert code != 0, text
    else:
        assert code == 0, text
        assert text.splitlines() == answer["stdout"]


@pytest.mark.parametrize("name", ["simple", "groups", "templates", "everything", "inherits"])
def test_what_is_printed_is_a_bake_file_that_means_the_same(name, capsys, monkeypatch, tmp_path):
    answer = json.loads((CORPUS / name / "docker.json").read_text())[0]
    (tmp_path / "docker-bake.json").write_text("\n".join(answer["stdout"]))
    monkeypatch.chdir(tmp_path)
    assert _ask({"argv": []}, capsys) == (0, "\n".join(answer["stdout"]) + "\n")
