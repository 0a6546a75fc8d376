"""Every variable form: BuildKit's tables, our own corpus, and bash beside us."""

import shutil
import subprocess
from pathlib import Path

import pytest

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.expand import MAX_LENGTH, expand, expand_body, words
from tests.unit.dockerfile.shared import BUILDKIT, lines, needs_shared

ENV = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}
CORPUS = Path(__file__).parents[2] / "corpus/expand.tsv"


def table_rows():
    rows = [line for line in lines(BUILDKIT / "shell/envVarTest") if line.strip()]
    for platform, text, expected in (row.split("|") for row in rows if row[0] != "#"):
        if platform != "W":
            yield text.strip(), expected.strip()


def corpus_rows():
    rows = [line for line in lines(CORPUS) if line and line[0] != "#"]
    for row in rows:
        variables, text, expected = row.split("\t")
        yield dict(pair.split("=", 1) for pair in variables.split(";") if pair), text, expected


def word_rows():
    env = {}
    for line in lines(BUILDKIT / "shell/wordsTest"):
        if line.startswith("ENV "):
            name, _, value = line[4:].lstrip().partition("=")
            env[name] = value
        elif line and line[0] != "#":
            text, expected = line.split("|")
            yield dict(env), text.strip(), tuple(expected.lstrip(" ").split(","))


@needs_shared
@pytest.mark.parametrize(("text", "expected"), list(table_rows()))
def test_buildkits_table(text, expected):
    if expected == "error":
        with pytest.raises(DockerfileError):
            expand(text, ENV)
    else:
        assert expand(text, ENV) == expected


@needs_shared
@pytest.mark.parametrize(("env", "text", "expected"), list(word_rows()))
def test_buildkits_words(env, text, expected):
    if expected == ("error",):
        with pytest.raises(DockerfileError):
            words(text, env)
    else:
        assert words(text, env) == expected


@pytest.mark.parametrize(("env", "text", "expected"), list(corpus_rows()))
def test_corpus(env, text, expected):
    if expected.startswith("error"):
        with pytest.raises(DockerfileError, match=expected.partition(":")[2].strip()):
            expand(text, env)
    else:
        assert expand(text, env) == expected


BASH = shutil.which("bash")


@pytest.mark.skipif(not BASH, reason="no bash to compare with")
@pytest.mark.parametrize("value", ["aXbXc", "/usr/local/lib.tar.gz", "", "a*b]c\\d", "-^!"])
@pytest.mark.parametrize("pattern", [
    "X", "*X", "X*", "?", "*", "*/", "/*", "*.*", "\\*", "a\\*b", "a?", "**", "*X*", "\\\\", "]",
])  # fmt: skip
def test_patterns_are_bashs_but_for_its_brackets_and_quotes(value, pattern):
    slashless = pattern.replace("/", "\\/")
    forms = [f"${{v{mark}{pattern}}}" for mark in ("#", "##", "%", "%%")]
    if value:  # bash versions differ in what replaces nothing
        forms += [f"${{v/{slashless}/<R>}}", f"${{v//{slashless}/<R>}}"]
    answer = subprocess.run(
        [str(BASH), "-fc", "IFS=; printf '%s\\n' " + "'|'".join(forms)],
        env={"v": value, "LC_ALL": "C.UTF-8"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert expand("|".join(forms), {"v": value}) + "\n" == answer.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${v/b*c/X}", "aX\nabc"),
        ("${v//b*c/X}", "aX\naX"),
        ("${v//?/X}", "XXX\nXXX"),
        ("${v##*c}", "\nabc"),
        ("${v%%b*}", "abc\na"),
        ("${v%a*}", "abc\n"),
        ("${v%%a*}", "abc\n"),
        ("${v//*/X}", "X\nX"),
    ],
)
def test_no_wildcard_stands_for_a_newline(text, expected):
    assert expand(text, {"v": "abc\nabc"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${v//b/<\\$0>}", "a<\\b>c"), ("${v//b/$p}", "abbc"), ("${v/b/$p}", "a$0${0}c"),
     ("${v//b/$q}", "a$xc"), ("${v//b/$r}", "ac"), ("${v//b/$s}", "a$-$c")],
)  # fmt: skip
def test_what_go_makes_of_dollars_in_a_replacement(text, expected):
    env = {"v": "abc", "p": "$0${0}", "q": "$$x", "r": "$1${name}", "s": "$-$"}
    assert expand(text, env) == expected


def test_a_pattern_is_matched_in_bounded_time():
    value = "a" * 100_000
    for form in ("${v//a*b/X}", "${v/*b/X}", "${v%%*b*}", "${v##a*b*c}"):
        assert expand(form, {"v": value}) == value


def test_the_escape_character():
    assert expand("`$a \\ ``", {"a": "1"}, "`") == "$a \\ `"
    assert expand('"`$a \\"', {"a": "1"}, "`") == "$a \\"


def test_heredoc_bodies_keep_their_quotes():
    body = "\"$a\" 'b' \\$a \\\\ ${b:-'c'}\n"
    assert expand_body(body, {"a": "1"}) == "\"1\" 'b' $a \\ 'c'\n"


def test_names_that_were_used():
    used: set[str] = set()
    expand("$a ${b:-$c} '$d' \\$e", {"a": "1"}, used=used)
    assert used == {"a", "b", "c"}


def test_a_whole_instruction_sees_one_environment():
    env = {"abc": "hello"}
    assert [expand(text, env) for text in ("bye", "$abc")] == ["bye", "hello"]


@pytest.mark.parametrize("text", ["$a" * 9, "${a:-$a}$a$a", "${a//x/$a}"])
def test_values_cannot_grow_without_end(text):
    with pytest.raises(DockerfileError, match="more than"):
        expand(text, {"a": "x" * (MAX_LENGTH // 2)})


def test_nesting_has_an_end():
    with pytest.raises(DockerfileError, match="nested"):
        expand("${a:-" * 5000 + "}" * 5000, {})
