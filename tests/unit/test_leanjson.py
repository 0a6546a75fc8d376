"""Our JSON against the standard library's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless import leanjson
from rootless.errors import IntegrityError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_written_and_read_by_both(value):
    content = leanjson.dumps(value)
    assert json.loads(content) == value == leanjson.loads(content)
    assert leanjson.loads(json.dumps(value, indent=2)) == value
    assert content.isascii()


@given(st.text() | st.binary())
def test_any_text_gives_what_json_gives_or_an_integrity_error(content):
    try:
        value = leanjson.loads(content)
    except IntegrityError:
        return
    assert repr(value) == repr(json.loads(content))


def test_a_byte_order_mark_and_blanks_are_let_be():
    assert leanjson.loads(b"\xef\xbb\xbf {}\r\n\t") == {}


def test_order_is_kept():
    assert leanjson.dumps({"b": 1, "a": [None, True, 1.5, "\u2028\ud800"]}) == (
        b'{"b":1,"a":[null,true,1.5,"\\u2028\\ud800"]}'
    )


@pytest.mark.parametrize(
    "content",
    [
        *(
            "",
            " ",
            "{",
            "[1,]",
            '{"a":1,}',
            "{'a':1}",
            "01",
            "1 2",
            "nul",
            '"\n"',
            '"\\x"',
            "\ufeff",
        ),
        *("NaN", "Infinity", "-Infinity", "[NaN]", "[" * 100_000, "9" * 10_000),
        *(b"\xff", b'"\xc3"', b'"\xed\xa0\x80"', "{}".encode("utf-16"), b'{"a":1}\0'),
    ],
)
def test_damage_names_the_thing(content):
    with pytest.raises(IntegrityError, match=r"^index\.json is damaged"):
        leanjson.loads(content, "index.json")


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {"a": b"x"}, {(1,): 2}])
def test_what_cannot_be_written(value):
    with pytest.raises(TypeError):
        leanjson.dumps(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        leanjson.dumps([number])
