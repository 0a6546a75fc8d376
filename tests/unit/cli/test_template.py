"""--format templates give what Go and docker give, or say in their words what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rootless.cli import listing
from rootless.cli.template import Template, TemplateError, values
from tests.support import templates

CORPUS = Path(__file__).parents[2] / "corpus" / "templates.jsonl"
VALUE = {
    "Id": "sha256:1",
    "Config": {"Env": ["A=1", "B=2"], "Labels": {"x.y": "z"}, "Cmd": None, "Tty": True},
    "Size": 5,
    "List": values.List([], "string", is_nil=True),
    "Map": values.Map({}, "string", is_nil=True),
}


def _made(text, value=VALUE, **how):
    return Template(text).render(value, **how)


def _said(message):
    """A complaint without what Go's static types add to it."""
    message = re.sub(r"(in|with) type .*", "of a type", message)
    message = re.sub(r"(error calling slice): .*", r"\1", message)
    message = re.sub(r'bad number syntax: ".*', "bad number syntax", message)
    return message.removeprefix("template parsing error: ")


def test_the_recorded_answers_of_go():
    wrong = []
    for line in CORPUS.read_text().splitlines():
        case = json.loads(line)
        try:
            made = {"out": _made(case["template"], templates.DATA)}
        except TemplateError as error:
            made = {"err": _said(error.message)}
        expected = {"err": _said(case["err"])} if "err" in case else {"out": case["out"]}
        if made != expected:
            wrong.append((case["template"], expected, made))
    assert wrong == []
    assert len(CORPUS.read_text().splitlines()) > 500


@pytest.mark.skipif(not templates.go(), reason="needs Go 1.18 or newer")
def test_what_go_makes_of_random_templates(tmp_path):
    asked = templates.cases(7, 400)
    differences = []
    for text, answer in zip(asked, templates.judge(asked, tmp_path), strict=True):
        try:
            made = templates.comparable(_made(text, templates.DATA))
        except TemplateError:
            made = None
        expected = None if answer["err"] else templates.comparable(answer["out"])
        if made != expected and not templates.is_apart(text, answer):
            differences.append((text, expected, made))
    assert differences == []


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{.Id}}", "sha256:1"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{json .Config.Env}}", '["A=1","B=2"]'),
        ("{{.Config.Env | json}}", '["A=1","B=2"]'),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=2\n"),
        ('{{index .Config.Labels "x.y"}}', "z"),
        ("{{.Config.Labels}} {{.Config.Tty}} {{.Config.Cmd}}", "map[x.y:z] true <no value>"),
        ('{{join .Config.Cmd " "}}', ""),
        ("a {{- .Size -}} b", "a5b"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}", "x.y=z"),
        ("{{with .Config}}{{if .Tty}}t{{else if .Cmd}}c{{else}}n{{end}}{{end}}", "t"),
        ('{{printf "%-6s|%03d|%q" "ab" .Size .Id}}', 'ab    |005|"sha256:1"'),
        ('{{title "a bc"}} {{truncate .Id 3}} {{pad "x" 1 2}}|', "A Bc sha  x  |"),
        ("{{/* nothing */}}plain", "plain"),
        ('{{define "x"}}<{{.}}>{{end}}{{template "x" .Size}}{{block "y" 1}}{{.}}{{end}}', "<5>1"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{.Size | }}", "5"),
    ],
)
def test_what_is_made(text, made):
    assert _made(text) == made


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{.Id", "template: :1: unclosed action"),
        ("{{nope}}", 'template: :1: function "nope" not defined'),
        ("{{range}}", "template: :1: missing value for range"),
        ("{{.Id.Sub}}", "can't evaluate field Sub in type string"),
        ("{{if .Id}}", "template: :1: unexpected EOF"),
        ("{{}}", "missing value for command"),
        ("{{index .Config.Env 9}}", "error calling index: index out of range: 9"),
        ("{{.Id $x}}", 'undefined variable "$x"'),
        ("{{break}}", "{{break}} outside {{range}}"),
        ('{{"a}}', "unterminated quoted string"),
        ("{{upper .Size}}", "wrong type for value; expected string; got int"),
        ("{{1i}}", "complex numbers"),
        ("{{eq .List .Map}}", "non-comparable types []: []string, map[string]string: map[]"),
    ],
)
def test_mistakes_are_named(text, why):
    with pytest.raises(TemplateError, match=re.escape(why)):
        _made(text)


def test_a_strict_template_names_the_fields_there_are():
    with pytest.raises(TemplateError, match='map has no entry for key "Nope"') as caught:
        _made("{{.Nope}}", strict=True)
    assert caught.value.hint == "fields are: Id, Config, Size, List, Map"
    with pytest.raises(TemplateError, match="can't evaluate field Nope in type image") as caught:
        _made("{{.Nope}}", values.of(VALUE, "image"))
    assert caught.value.hint == "fields are: Id, Config, Size, List, Map"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{{if 1}}" * 2000 + "{{end}}" * 2000, "max expression depth exceeded"),
        ("{{" + "(" * 2000 + "1" + ")" * 2000 + "}}", "max expression depth exceeded"),
        ("{{if 1}}{{else if 2}}" + "{{else if 3}}" * 2000 + "{{end}}", "depth exceeded"),
        (
            '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}',
            "exceeded maximum template depth",
        ),
        ("{{range 1000000000}}{{end}}", "more than 1000000 steps"),
        ('{{range 100000}}{{printf "%100000d" 1}}{{end}}', "makes more than 8 MiB"),
        ('{{$x := "0123456789"}}{{range 99}}{{$x = print $x $x}}{{end}}', "more than 8 MiB"),
        ('{{$x := "0123456789"}}{{range 99}}{{$x = js $x $x "<"}}{{end}}', "more than 8 MiB"),
        ('{{range 40}}{{printf "%1000000v" $}}{{end}}', "more than 8 MiB"),
        ('{{pad "x" 99999999 1}}', "more than 8 MiB"),
        ('{{join (split (printf "%100000d" 1) "") (printf "%100000d" 1)}}', "more than 8 MiB"),
    ],
)
def test_a_template_takes_a_bounded_amount_of_everything(text, why):
    with pytest.raises(TemplateError, match=why):
        _made(text)


def test_go_bounds_a_width_itself():
    assert _made('{{printf "%99999999d|" 1}}') == "%!(NOVERB)%!(EXTRA int=1)"


def test_go_types_that_docker_has():
    text = values.List(["a"], "string")
    nothing = values.List([], "string", is_nil=True)
    health = values.Nil("container.Health", ["Status"])
    value = values.Struct(
        "container.State",
        {"Env": text, "Cmd": nothing, "Health": health, "Lazy": lambda: "made"},
        methods={"Label": {"x": "y"}.get},
    )
    template = (
        '{{.Env}}{{.Cmd}}{{json .Cmd}}{{if .Health}}h{{end}}{{.Health}}{{.Lazy}}{{.Label "x"}}'
    )
    assert _made(template, value) == "[a][]null<nil>madey"
    assert _made("{{json .}}", value) == '{"Env":["a"],"Cmd":null,"Health":null,"Lazy":"made"}'
    with pytest.raises(TemplateError, match=r"nil pointer evaluating \*container.Health.Status"):
        _made("{{.Health.Status}}", value)
    with pytest.raises(TemplateError, match=r"can't evaluate field X in type \*container.Health"):
        _made("{{.Health.X}}", value)
    with pytest.raises(TemplateError, match="wrong number of args for Label: want 1 got 0"):
        _made("{{.Label}}", value)


def test_rows(capsys):
    rows = [{"ID": "1", "Tag": "latest\x1b"}, {"ID": "2", "Tag": lambda: "t<"}]
    headers = {"ID": "IMAGE ID", "Tag": "TAG"}
    forms = (
        "",
        "table",
        "table {{.Tag}}\\t{{upper .ID}}",
        "table{{.ID}}",
        "{{.ID}}={{.Tag}}\\t|",
        "json",
    )
    for form in forms:
        listing.show(rows, headers, ["ID", "Tag"], form)
    table = ["IMAGE ID   TAG", "1          latest\\x1b", "2          t<"]
    assert capsys.readouterr().out.splitlines() == [
        *table,
        *table,
        "TAG          IMAGE ID",
        "latest\\x1b   1",
        "t<           2",
        "IMAGE ID",
        "1",
        "2",
        "1=latest\\x1b\t|",
        "2=t<\t|",
        '{"ID":"1","Tag":"latest\\u001b"}',
        '{"ID":"2","Tag":"t\\u003c"}',
    ]


def test_a_table_has_a_header_whatever_its_cells_are(capsys):
    headers = {"ID": "IMAGE ID", "Size": "SIZE", "Tag": "TAG"}
    form = "table {{upper .ID}} x {{.Tag}}\\t{{pad .Size 2 3}}\\n{{truncate .ID 3}}"
    listing.show([{"ID": "6ec6", "Size": "2MB", "Tag": "t"}], headers, [], form)
    # docker's very lines: what has no tab belongs to no column, and parts the columns around it
    assert capsys.readouterr().out.split("\n") == [
        "IMAGE ID x TAG     SIZE   ",
        "IMAGE ID",
        "6EC6 x t     2MB   ",
        "6ec",
        "",
    ]
    listing.show([], headers, [], "table {{json .}}")
    assert capsys.readouterr().out == "\n"


def test_a_bad_field_is_named_with_those_there_are():
    with pytest.raises(TemplateError, match="can't evaluate field Nope in type row") as caught:
        listing.show([{"ID": "1"}], {"ID": "IMAGE ID"}, ["ID"], "{{.Nope}}")
    assert caught.value.hint == "fields are: ID"


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        *((0, "0s"), (1, "1ns"), (1500, "1.5µs"), (2_000_000, "2ms"), (5_000_000_000, "5s")),
        *((65_000_000_000, "1m5s"), (3_600_000_000_000, "1h0m0s"), (90_500_000_000, "1m30.5s")),
        (-1_500_000_000, "-1.5s"),
    ],
)
def test_a_duration_prints_as_go_prints_it(nanoseconds, shown):
    value = {"d": values.Duration(nanoseconds)}
    assert _made('{{.d}} {{json .d}} {{printf "%v|%d|%T" .d .d .d}}', value) == (
        f"{shown} {nanoseconds} {shown}|{nanoseconds}|time.Duration"
    )


def test_a_moment_prints_as_go_prints_it():
    value = {"t": values.Time("2026-11-28T17:13:21.312063625Z")}
    assert _made("{{.t}} {{json .t}}", value) == (
        '2026-11-28 17:13:21.312063625 +0000 UTC "2026-11-28T17:13:21.312063625Z"'
    )
