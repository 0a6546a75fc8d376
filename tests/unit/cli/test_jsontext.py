"""JSON as docker prints it: what json reads again, laid out alike, and harmless on a terminal."""

import json

import pytest

from rootless.cli import jsontext


def test_json_stays_json_and_cannot_command_a_terminal():
    hostile = {"a": "\x1b[31m\u202e\x9b größe\n\U000e0001", "<b>": ["&"]}
    for said in (jsontext.compact(hostile), jsontext.indented(hostile)):
        assert json.loads(said) == hostile
        assert said.replace("\n", "").isprintable()
        assert "größe" in said
    assert json.loads(jsontext.compact(hostile, html=True)) == hostile
    assert not set(jsontext.compact(hostile, html=True)) & set("<>&")


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "x", [], {}, [[]], {"a": {}}, {"a": [1, {"b": [None, "c"]}], "d": {}}],
)
def test_the_layout_is_that_of_json(value):
    assert jsontext.indented(value) == json.dumps(value, indent=4)
    assert jsontext.compact(value) == json.dumps(value, separators=(",", ":"))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        *((1e21, "1e+21"), (1e20, "100000000000000000000"), (1e-6, "0.000001")),
        *((1.5e-7, "1.5e-7"), (12345678.25, "12345678.25"), (0.00001234, "0.00001234")),
        *((-3.0, "-3"), (2.5e-10, "2.5e-10")),
    ],
)
def test_numbers_are_written_as_go_does(number, said):
    assert jsontext.compact(number) == said
