"""Wildcards: Go's answers, and that no pattern takes more than a moment."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import Ignore
from rootless.dockerfile.patterns import name_pattern, path_pattern
from tests.unit.dockerfile.shared import fuzz


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", ""], ["a/b"]),
        ("*.c", ["a.c", ".c", "a.b.c"], ["a.h", "d/a.c", "a.c/b"]),
        ("*a*b*c", ["abc", "xaxbxc", "aabbcc"], ["acb", "ab/c"]),
        ("a/*/c", ["a/b/c"], ["a/c", "a/b/b/c", "a/b/c/d"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a", "az", "a/bz", "a/z/y"]),
        ("a**b", ["ab", "ax/b", "ax/y/b"], ["axb"]),
        ("**", ["a", "a/b"], []),
        ("**/*.py", ["a.py", "d/e/a.py"], ["a.pyc", "d.py/x"]),
        ("**/x*y/z", ["xy/z", "a/xxy/z", "x/xy/z"], ["xy/a/z"]),
        ("a?c", ["abc", "a.c"], ["ac", "a/c", "abbc"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "-x"]),
        ("[^a-c]x", ["dx"], ["ax"]),
        ("[b-a]", [], ["a", "b"]),
        (r"[\]\-]", ["]", "-"], ["\\"]),
        (r"a\*b", ["a*b"], ["ab", "axb"]),
        ("ж?", ["жы"], ["ж"]),
    ],
)
def test_paths(pattern, matching, others):
    found = [path for path in matching + others if path_pattern(pattern)(path)]
    assert found == matching


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("*", ["a", ""], []),
        ("**", ["a", ""], []),
        ("a**b", ["ab", "axb"], ["a"]),
        ("*.c", ["a.c", ".c"], ["a.c.o"]),
        ("[!a]", ["!", "a"], ["b"]),
        ("?[0-9]", ["x1"], ["1", "xx"]),
    ],
)
def test_names(pattern, matching, others):
    found = [name for name in matching + others if name_pattern(pattern)(name)]
    assert found == matching


@pytest.mark.parametrize("pattern", ["[", "a[", "[]", "[]a]", "[a", "[a-", "[-a]", "a\\", "[\\"])
def test_what_go_calls_a_bad_pattern(pattern):
    for kind in (path_pattern, name_pattern):
        with pytest.raises(DockerfileError):
            kind(pattern)


def plain(pattern: str, path: str) -> bool:
    """The meaning of `*`, `?`, `**/` and a final `**`, tried in every way there is."""
    if not pattern:
        return path == ""
    if pattern == "**":
        return True
    if pattern.startswith("**/"):
        rests = [path, *(path[at + 1 :] for at, one in enumerate(path) if one == "/")]
        return any(plain(pattern[3:], rest) for rest in rests)
    if pattern[0] == "*":
        within = path.partition("/")[0]
        return any(plain(pattern[1:], path[at:]) for at in range(len(within) + 1))
    fits = path[:1] and (path[0] == pattern[0] or (pattern[0] == "?" and path[0] != "/"))
    return bool(fits) and plain(pattern[1:], path[1:])


pieces = st.lists(st.sampled_from(["a", "b", "*a", "?", "a*", "*", "ab"]), min_size=1, max_size=4)


@fuzz
@given(st.lists(pieces.map("".join) | st.just("**"), min_size=1, max_size=4), st.data())
def test_the_same_as_trying_everything(parts, data):
    parts = [one for one, _ in itertools.groupby(parts, lambda one: "**" if "**" in one else one)]
    pattern = "/".join(one for one in parts if "**" not in one or one == "**") or "a"
    path = data.draw(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4))
    assert path_pattern(pattern)("/".join(path)) == plain(pattern, "/".join(path)), pattern


@pytest.mark.parametrize(
    "pattern", ["*a" * 100 + "*b", "**/a*/" * 100 + "b", "a**" * 100 + "b", "?*" * 100 + "b"]
)
def test_no_pattern_takes_more_than_a_moment(pattern):
    for path in ("a" * 255, "/".join(["a" * 20] * 50)):
        assert not Ignore.of([pattern]).excludes(path)
        assert not name_pattern(pattern.replace("/", ""))(path.replace("/", ""))
