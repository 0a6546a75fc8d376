from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.registry.challenge import Challenge, parse

CASES = {
    "": (),
    "Basic": (Challenge("basic"),),
    'Basic realm="x"': (Challenge("basic", {"realm": "x"}),),
    'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"': (
        Challenge(
            "bearer",
            {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"},
        ),
    ),
    "bearer  REALM = token ,x=\ty": (Challenge("bearer", {"realm": "token", "x": "y"}),),
    'Basic realm="a, b", Bearer realm="c"': (
        Challenge("basic", {"realm": "a, b"}),
        Challenge("bearer", {"realm": "c"}),
    ),
    'Negotiate abcd+/==, Basic realm="r"': (
        Challenge("negotiate"),
        Challenge("basic", {"realm": "r"}),
    ),
    r'Bearer realm="a\"b\\c"': (Challenge("bearer", {"realm": 'a"b\\c'}),),
    'Bearer realm="never ends': (Challenge("bearer", {"realm": "never ends"}),),
    'Bearer realm="ends\\': (Challenge("bearer", {"realm": "ends"}),),
    'Bearer realm="first",realm="second"': (Challenge("bearer", {"realm": "first"}),),
    "realm=x": (),
    'Basic realm="x" ; evil': (Challenge("basic", {"realm": "x"}),),
    ", ,Basic,,": (Challenge("basic"),),
}


@pytest.mark.parametrize("header", CASES)
def test_header(header):
    assert parse(header) == CASES[header]


@given(st.text(alphabet='Bb ,="\\\tr/;é', max_size=60) | st.text(max_size=60))
def test_any_text_gives_challenges_and_never_fails(header):
    for challenge in parse(header):
        assert challenge.scheme
        assert challenge.scheme == challenge.scheme.lower()


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20)))
def test_quoted_values_come_back(parameters):
    quoted = {k: v.replace("\\", "\\\\").replace('"', '\\"') for k, v in parameters.items()}
    header = "Bearer " + ",".join(f'{name}="{value}"' for name, value in quoted.items())
    assert parse(header) == (Challenge("bearer", parameters),)
