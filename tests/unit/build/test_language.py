"""Small Dockerfiles and what docker 28 made of each: its verdict, its config, its history.

tests/corpus/language.jsonl has them, a case a line. They were built on scratch in a context of
the files a, b and c. Of a config only what is set is kept, less docker's default PATH and `/`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rootless.build.plan import stages
from rootless.build.plan.recipes import Recipes
from rootless.dockerfile import parse
from rootless.errors import RootlessError
from rootless.oci.config import DEFAULT_PATH, encode_run
from rootless.oci.platform import Platform

CORPUS = Path(__file__).parents[2] / "corpus/language.jsonl"
CASES = [json.loads(line) for line in CORPUS.read_text("utf-8").split("\n") if line]
BUILT = [case for case in CASES if "error" not in case]
REFUSED = [case["dockerfile"] for case in CASES if "error" in case]
ROOT = ("WorkingDir", "/")
DIFFERENT = (  # names of heredocs that stand twice
    "FROM scratch\nCOPY <<A <<A /x/\n1\nA\n2\nA\n",
    "FROM scratch\nCOPY <<E <<E\nx\nE\ny\nE\n",
)


def nothing_there(reference, _platform):
    raise RootlessError(f"{reference} is not here")


def built(text):
    dockerfile = parse(text.encode("utf-8", "surrogateescape"))
    planned = stages.plan(dockerfile, {}, Platform.parse("linux/amd64"))
    return Recipes(planned, nothing_there, has_context=True).target.config


@pytest.mark.parametrize("case", BUILT, ids=lambda case: case["dockerfile"][:60])
def test_a_config_is_dockers(case):
    config = built(case["dockerfile"])
    kept = {name: value for name, value in encode_run(config).items() if value}
    kept["Env"] = [one for one in kept.get("Env", []) if one != f"PATH={DEFAULT_PATH}"]
    kept = {name: value for name, value in kept.items() if value and (name, value) != ROOT}
    assert kept == case["config"]
    assert config.author == case.get("author", "")
    if "history" in case and case["dockerfile"] not in DIFFERENT:
        assert [one.created_by for one in config.history] == case["history"]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:60])
def test_what_docker_refuses_is_refused(text):
    with pytest.raises(RootlessError):
        built(text)
