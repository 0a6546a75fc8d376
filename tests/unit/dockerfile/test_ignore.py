"""`.dockerignore` beside moby/patternmatcher's tables, and the walk that it allows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import Ignore
from tests.unit.dockerfile.shared import PATTERNS, fuzz, needs_shared


def cases(*tables):
    if not PATTERNS.is_file():
        return []
    content = json.loads(PATTERNS.read_text("utf-8"))
    return [case for table in tables for case in content[table]]


@needs_shared
@pytest.mark.parametrize("case", cases("matches", "multi", "glob"), ids=str)
def test_patternmatchers_tables(case):
    if case.get("error"):
        with pytest.raises(DockerfileError):
            Ignore.of(case["patterns"])
    else:
        assert Ignore.of(case["patterns"]).excludes(case["path"]) == case["match"]


def test_a_file():
    ignore = Ignore.parse(
        b"\xef\xbb\xbf# comment\r\n #hash\n\n*.log\r\n  /build/  \n!build/keep\n./a/../b/\n"
        b"! *.important.log\n"
    )
    excluded = ["#hash", "x.log", "build", "build/x", "build/x/y", "b", "b/c"]
    included = ["# comment", "d/x.log", "build/keep", "build/keep/x", "a", "x.important.log"]
    assert [path for path in excluded + included if ignore.excludes(path)] == excluded


@pytest.mark.parametrize(
    ("content", "line"), [(b"a\n!\n", 2), (b"a\n\n[z\n", 3), (b"#\nx\\\n", 2), (b"! \n", 1)]
)
def test_a_bad_pattern_names_its_line(content, line):
    with pytest.raises(DockerfileError) as caught:
        Ignore.parse(content, "app.dockerignore")
    assert caught.value.message.startswith(f"app.dockerignore:{line}:")
    assert f"{line} | >>>" in caught.value.message


@pytest.mark.parametrize(
    ("patterns", "directory", "expected"),
    [
        (["a"], "a", False),
        (["a", "!b"], "a", False),
        (["a", "!a/b/c"], "a", True),
        (["a", "!a/b/c"], "a/b", True),
        (["a", "!a/b/c"], "a/x", False),
        (["a", "!**/keep"], "a", True),
        (["a", "!a/*/keep"], "a/x", True),
        (["a", "!b*"], "a", True),
        (["a", "!a"], "a/b", True),
    ],
)
def test_where_a_walk_must_look(patterns, directory, expected):
    assert Ignore.of(patterns).may_reinclude(directory) == expected


pattern_text = st.text("ab*?[]^-\\/!.", min_size=1, max_size=12)


@fuzz
@given(st.lists(pattern_text, max_size=4), st.text("ab/.-]", min_size=1, max_size=10))
def test_any_pattern_is_an_answer_or_an_error(patterns, path):
    try:
        ignore = Ignore.parse("\n".join(patterns).encode())
    except DockerfileError:
        return
    ignore.excludes(path)


@fuzz
@given(st.lists(pattern_text, max_size=4), st.lists(st.sampled_from("ab"), min_size=2, max_size=4))
def test_a_walk_finds_all_that_is_included(patterns, parts):
    """Not entering an excluded directory is right only if nothing below is included."""
    try:
        ignore = Ignore.parse("\n".join(patterns).encode())
    except DockerfileError:
        return
    above = ["/".join(parts[:length]) for length in range(1, len(parts))]
    if any(ignore.excludes(one) and not ignore.may_reinclude(one) for one in above):
        assert ignore.excludes("/".join(parts))
