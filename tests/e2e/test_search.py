"""`search`, as docker shows what the Hub has found."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.hostile_registry import Answer, HostileRegistry
from tests.support.hub import Hub

FOUND = [
    {"name": "pypy", "description": "PyPy is a fast\nPython, and much more", "star_count": 389,
     "is_official": True},
    {"name": "python", "star_count": 9999, "is_official": True, "is_automated": False,
     "description": "Python is an interpreted, interactive, object-oriented language."},
    {"name": "ada/python", "description": "", "star_count": 0, "is_automated": True},
    {"name": "bob/python3", "description": "x" * 45, "star_count": 12},
]  # fmt: skip


@pytest.fixture
def finding():
    """A registry that has found these."""

    def respond(request):
        url = urlsplit(request.path)
        if url.path != "/v1/search":
            return Answer(404)
        found = {"num_results": 4, "results": FOUND, **parse_qs(url.query)}
        return Answer(200, json.dumps(found).encode())

    with HostileRegistry(respond) as registry:
        yield registry


# What docker 28 prints for the same answer
TABLE = """\
NAME          DESCRIPTION                                     STARS     OFFICIAL
pypy          PyPy is a fast Python, and much more            389       [OK]
python        Python is an interpreted, interactive, objec…   9999      [OK]
ada/python                                                    0         
bob/python3   xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx   12        
"""  # noqa: W291


def test_the_table(rootless, finding):
    assert rootless.ok("search", f"{finding.address}/python") == TABLE
    assert finding.paths()[-1] == "/v1/search?q=python&n=25"
    said = rootless.ok("search", "--no-trunc", f"{finding.address}/python")
    assert FOUND[1]["description"] in said


def test_the_limit_is_the_registrys_to_keep(rootless, finding):
    for limit, asked in (("100", "100"), ("0", "25"), ("1", "1")):
        rootless.ok("search", "--limit", limit, f"{finding.address}/a b&c")
        assert finding.paths()[-1] == f"/v1/search?q=a+b%26c&n={asked}"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["is-official=true"], ["pypy", "python"]),
        (["is-official=false"], ["ada/python", "bob/python3"]),
        (["is-official=0", "stars=5"], ["bob/python3"]),
        (["stars=5", "stars=400"], ["python"]),
        (["is-automated=true"], ["ada/python"]),
    ],
)
def test_filters(rootless, finding, words, names):
    flags = [flag for word in words for flag in ("--filter", word)]
    done = rootless("search", *flags, "--format", "{{.Name}}", f"{finding.address}/python")
    assert done.stdout.split() == names
    assert ("deprecated" in done.stderr) == ("is-automated=true" in words)


def test_formats(rootless, finding):
    term = f"{finding.address}/python"
    first = rootless.ok("search", "--format", "json", term).splitlines()[0]
    assert json.loads(first) == {
        "Description": "PyPy is a fast Python, and much more",
        "IsOfficial": "true",
        "IsAutomated": "false",
        "Name": "pypy",
        "StarCount": "389",
    }
    assert rootless.ok("search", "--format", "{{json .}}", term).splitlines()[0] == first
    said = rootless.ok("search", "--format", "{{.Name}}|{{.StarCount}}|{{.IsOfficial}}", term)
    assert said.splitlines()[1:3] == ["python|9999|[OK]", "ada/python|0|"]
    said = rootless.ok("search", "--format", "table {{.Name}}\\t{{.StarCount}}", term)
    assert said.splitlines()[:2] == ["NAME          STARS", "pypy          389"]
    assert rootless("search", "--format", "{{.Nope}}", term).exit != 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--limit", "200", "x"], "limit 200 is outside the range of [1, 100]"),
        (["--limit", "-1", "x"], "outside the range"),
        (["--limit", "ten", "x"], "outside the range"),
        (["--filter", "x=y", "x"], "invalid filter 'x'"),
        (["--filter", "stars=a", "x"], "invalid filter 'stars=a'"),
        (["--filter", "is-official=maybe", "x"], "invalid filter 'is-official=maybe'"),
        ([""], "nothing to search for"),
        (["docker.io/"], "nothing to search for"),
        ([], "requires"),
    ],
)
def test_what_cannot_be_searched_for(rootless, words, complaint):
    done = rootless("search", *words)
    assert done.exit in {1, 125}
    assert complaint in done.stderr


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(404), "cannot be searched"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), "web page"),
        (Answer(200, b"{"), "is damaged"),
        (Answer(200, b"[]"), "no list of images"),
        (Answer(200, b'{"results": 3}'), "no list of images"),
        (Answer(200, b" " * (5 << 20)), "larger than 4 MiB"),
        (Answer(429, headers={"Retry-After": "5000"}), "limits how often"),
        (Answer(403), "not found"),
    ],
)
def test_answers_that_are_none(rootless, answer, words):
    with HostileRegistry(lambda r: answer if "search" in r.path else Answer(200)) as registry:
        done = rootless("search", f"{registry.address}/python")
    assert done.exit == 1
    assert words in done.stderr


def test_hostile_results_are_shown_as_text(rootless):
    results = [
        3,
        {},
        {"name": "\033[2Jx", "description": "a\033]0;b\007\u2028c", "star_count": "9"},
    ]
    body = json.dumps({"results": results}).encode()
    with HostileRegistry(lambda request: Answer(200, body)) as registry:
        for words in ([], ["--format", "json"], ["--format", "{{.Name}} {{.Description}}"]):
            said = rootless.ok("search", *words, f"{registry.address}/x")
            assert "\033" not in said
            assert "\007" not in said
            assert len(said.splitlines()) in {3, 4}


@pytest.mark.needs("registry")
def test_the_hub(rootless, tmp_path):
    with Hub(tmp_path / "hub", {}) as hub:
        rootless.environment |= hub.environment
        for term in ("pypy", "docker.io/pypy", "docker.io/library/pypy", "library/pypy"):
            said = rootless.ok("search", "--format", "{{.Name}} {{.IsOfficial}}", term)
            assert said == "pypy [OK]\n"
        nothing = rootless.ok("search", "nothinglikethis")
        assert nothing == "NAME      DESCRIPTION   STARS     OFFICIAL\n"
