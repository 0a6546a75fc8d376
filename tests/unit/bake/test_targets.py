"""Targets of HCL and compose files: what docker's answers do not cover."""

from __future__ import annotations

import pytest

from rootless.bake import overrides, reading
from rootless.bake.errors import BakeError
from rootless.errors import NotFoundError, RootlessError, UsageError


def read(text, name="docker-bake.hcl", environment=None, files=None):
    def found(path):
        return (files or {})[path]

    return reading.definition([reading.File(name, text)], environment or {}, {}, found)


def resolve(text, *asked, changes=(), **more):
    return read(text, **more).resolve(asked, overrides.parse(changes, {})).targets


def test_a_target_of_nearly_that_name_is_named():
    with pytest.raises(NotFoundError) as caught:
        resolve('target "frontend" {\n}', "fronted")
    assert caught.value.hint == "did you mean frontend?"


def test_what_docker_passes_over_is_told():
    definition = read('target "a" {\n  tagz = ["x"]\n}\n')
    assert definition.warnings == (
        "docker-bake.hcl:2:3: a target has no 'tagz': it is passed over; did you mean tags?",
    )


@pytest.mark.parametrize(
    ("change", "attribute", "value"),
    [
        ("a.network=none", "network", "none"),
        ("a.ulimits=nofile=1", "ulimits", ["nofile=1"]),
        ("a.ulimits+=nofile=1", "ulimits", ["core=0", "nofile=1"]),
        ("a.no-cache-filter=x", "no-cache-filter", ["x"]),
    ],
)
def test_values_of_set_that_docker_loses(change, attribute, value):
    found = resolve('target "a" {\n  ulimits = ["core=0"]\n}', "a", changes=[change])
    assert found["a"][attribute] == value


@pytest.mark.parametrize(
    "change", ["a", "a.tags", ".tags=x", "a.tagz=x", "a.args=x", "a.pull=maybe"]
)
def test_a_set_that_makes_no_sense_is_refused(change):
    with pytest.raises(RootlessError):
        resolve('target "a" {\n}', "a", changes=[change])


def test_a_set_names_the_key_that_was_meant():
    with pytest.raises(UsageError) as caught:
        overrides.parse(["a.platfrom=x"], {})
    assert caught.value.hint == "did you mean platform?"


def test_a_matrix_is_not_without_end():
    axes = "\n".join(f"    a{at} = range(100)" for at in range(4))
    with pytest.raises(BakeError, match="makes 100000000 targets"):
        resolve(f'target "a" {{\n  name = "x"\n  matrix = {{\n{axes}\n  }}\n}}')


def test_limits_of_a_compose_file():
    text = "services:\n  a:\n    build:\n      context: .\n      ulimits:\n"
    text += "        nproc: 5\n        nofile: {soft: 1, hard: 2}\n"
    assert resolve(text, name="compose.yml")["a"]["ulimits"] == ["nofile=1:2", "nproc=5:5"]


def test_a_service_of_another_file_is_extended():
    text = "services:\n  a:\n    extends: {service: b, file: b.yml}\n    image: i\n"
    other = "services:\n  b:\n    build: {context: sub, args: [A=1]}\n"
    found = resolve(text, name="compose.yml", files={"b.yml": other})["a"]
    assert (found["context"], found["args"], found["tags"]) == ("sub", {"A": "1"}, ["i"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("services:\n  a:\n    extends: b\n  b:\n    extends: a\n", "in a circle"),
        ("services:\n  a:\n    extends: c\n", "no service 'c' to extend"),
        ("services:\n  a: {}\n  a: {}\n", "'a' stands twice"),
        ("services: [\n", "no YAML"),
        ("a: &a [1]\n--- \nb: 1\n", "2 documents"),
        ("x: 1\n", "empty compose file"),
        ("include: [a.yml]\nservices: {}\n", "include is not supported"),
        ("services:\n  a:\n    build:\n      context: ${X\n", "without its }"),
        ("services:\n  a:\n    build: {shm_size: lots}\n", "'lots' is no size"),
    ],
)
def test_what_is_wrong_in_a_compose_file_is_said(text, word):
    with pytest.raises(BakeError) as caught:
        resolve(text, name="compose.yml")
    assert word in caught.value.message


def test_aliases_that_grow_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BakeError, match="too many values"):
        resolve("\n".join(lines) + "\nservices: {}\n", name="compose.yml")


def test_words_of_yaml_1_1_are_words():
    text = "services:\n  a:\n    build:\n      context: .\n"
    text += "      args: {A: yes, B: 1:30, C: 2020-01-02}\n"
    found = resolve(text, name="compose.yml")["a"]["args"]
    assert found == {"A": "yes", "B": "1:30", "C": "2020-01-02"}
