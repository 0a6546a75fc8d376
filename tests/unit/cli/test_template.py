"""--format templates give what docker gives, or a clear error."""

import json

import pytest

from rootless.cli import listing, template
from rootless.errors import UsageError

VALUE = {
    "Id": "sha256:1",
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"x.y": "z"}, "Cmd": None, "Tty": True},
    "Size": 5,
}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{.Id}}", "sha256:1"),
        ("{{ .ID }}", "sha256:1"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{.Config.Env | json}}", '["A=1","B=2"]'),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ("{{index .Config.Env 1}}", "B=2"),
        ('{{index .Config.Labels "x.y"}}{{index .Config.Labels "none"}}', "z"),
        ("{{.Config.Labels}} {{.Config.Tty}} {{.Config.Cmd}}", "map[x.y:z] true <no value>"),
        ("{{len .Config.Env}}\\t{{.Size}}", "2\t5"),
        ('{{join .Config.Cmd " "}}', ""),
        ("a {{- .Size -}} b", "a5b"),
        ("{{upper .Id | lower}}", "sha256:1"),
        ("plain", "plain"),
    ],
)
def test_what_is_made(text, made):
    assert template.render(text, VALUE) == made


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{.Id", "not closed"),
        ("{{.Nothing}}", "a field 'Nothing' that is not there"),
        ("{{.Id.Sub}}", "has no fields"),
        ("{{range .Config.Env}}x{{end}}", "'range' is not a known function"),
        ("{{}}", "is empty"),
        ("{{.Id | }}", "cannot be used"),
        ("{{index .Config.Env 9}}", "index cannot be used like that"),
        ("{{.Id $x}}", "is not understood"),
    ],
)
def test_mistakes_are_named(text, why):
    with pytest.raises(UsageError, match=why) as caught:
        template.render(text, VALUE)
    assert caught.value.hint or "has no fields" in why


def test_json_stays_json_and_cannot_command_a_terminal():
    hostile = {"a": "\x1b[31m\u202e\x9b größe\n"}
    for said in (template.compact(hostile), template.indented(hostile)):
        assert json.loads(said) == hostile
        assert said.replace("\n", "").isprintable()
        assert "größe" in said


def test_rows(capsys):
    rows = [{"ID": "1", "Tag": "latest\x1b"}, {"ID": "2", "Tag": "t"}]
    headers = {"ID": "IMAGE ID", "Tag": "TAG"}
    listing.show(rows, headers, ["ID", "Tag"], "")
    listing.show(rows, headers, ["ID", "Tag"], "table {{.Tag}}\\t{{.ID}}")
    listing.show(rows, headers, ["ID", "Tag"], "{{.ID}}={{.Tag}}")
    listing.show(rows, headers, ["ID", "Tag"], "json")
    assert capsys.readouterr().out.splitlines() == [
        "IMAGE ID   TAG",
        "1          latest\\x1b",
        "2          t",
        "TAG          IMAGE ID",
        "latest\\x1b   1",
        "t            2",
        "1=latest\\x1b",
        "2=t",
        '{"ID":"1","Tag":"latest\\u001b"}',
        '{"ID":"2","Tag":"t"}',
    ]
