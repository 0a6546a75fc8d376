"""Images without a layer: what a Dockerfile of nothing but metadata makes, and registries serve."""

from __future__ import annotations

import json

import pytest

from tests.support import flattened
from tests.support.images import write_layout

pytestmark = pytest.mark.needs("userns", "overlay")


@pytest.fixture
def empty(rootless, tmp_path):
    return rootless.load(write_layout(tmp_path / "layout", "empty:1", []), tmp_path)


def layers(rootless, image):
    return json.loads(rootless.ok("inspect", "-f", "{{json .RootFS.Layers}}", image))


def build(rootless, text):
    rootless.ok("build", "-q", "-t", "built", "-", stdin=text)


def test_its_size_history_and_layers(rootless, empty):
    assert rootless.ok("images", "--format", "{{.Repository}} {{.Size}}") == "empty 0B\n"
    assert layers(rootless, empty) == []
    assert len(rootless.ok("history", empty).splitlines()) == 1


def test_nothing_in_it_can_be_run(rootless, empty):
    result = rootless("run", "--rm", empty)
    assert (result.exit, result.stdout) == (127, "")
    assert "exec: '/bin/sh': No such file or directory" in result.stderr
    build(rootless, "FROM scratch\nLABEL a=b\n")
    result = rootless("run", "--rm", "built")
    assert (result.exit, "no command is given" in result.stderr) == (125, True)


def test_a_step_on_it(rootless, empty):
    failed = rootless("build", "-", stdin=f"FROM {empty}\nRUN true\n")
    assert failed.exit == 1
    assert "exec: '/bin/sh': No such file or directory" in failed.stderr
    build(rootless, f"FROM {empty}\nWORKDIR /x\nCOPY <<EOF f\ntext\nEOF\n")
    assert len(layers(rootless, "built")) == 2


@pytest.mark.parametrize("base", ["scratch", "empty:1"])
def test_only_metadata(rootless, empty, base):
    for _again in range(2):
        build(rootless, f"FROM {base}\nLABEL a=b\nENV C=d\n")
        assert layers(rootless, "built") == []
        assert rootless.ok("inspect", "-f", "{{.Config.Labels.a}}", "built") == "b\n"


def test_copies_from_it(rootless, empty, tmp_path):
    copies = f"COPY --from=a / /x/\nCOPY --from={empty} / /y/\n"
    build(rootless, f"FROM {empty} AS a\nFROM scratch\n{copies}")
    archive = tmp_path / "built.tar"
    rootless.ok("save", "-o", archive, "built")
    assert flattened.read(archive)[0].keys() == {"x", "y"}


def test_it_goes_out_and_comes_back(rootless, empty, tmp_path):
    before = rootless.ok("images", "-q", "--no-trunc")
    rootless.ok("save", "-o", tmp_path / "out.tar", empty)
    rootless.ok("rmi", empty)
    assert rootless.ok("load", "-i", tmp_path / "out.tar") == f"Loaded image: {empty}\n"
    assert rootless.ok("images", "-q", "--no-trunc") == before
    rootless.ok("system", "prune", "-f")
    assert layers(rootless, empty) == []


@pytest.mark.needs("registry", "skopeo")
def test_a_registry_serves_it(rootless, registry, tmp_path):
    name = registry.push(write_layout(tmp_path / "layout", "empty:1", []), "empty:1")
    rootless.ok("pull", name)
    assert layers(rootless, name) == []
    build(rootless, f"FROM {name}\nENV A=b\n")
