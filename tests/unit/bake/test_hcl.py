"""HCL: what is no HCL, with its place; what hostile files cannot do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.bake import reading
from rootless.bake.errors import BakeError
from rootless.bake.hcl import document, functions, parser


class Names:
    """A scope with the standard functions and a few names."""

    def __init__(self, **names):
        self._names = names
        self._functions = functions.standard()

    def variable(self, name):
        if name not in self._names:
            raise BakeError(f"there is no {name}")
        return self._names[name]

    def function(self, name):
        return self._functions[name]


def value(text, **names):
    return parser.Parser(text, "f").expression().value(Names(**names))


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("a = ", "f:1:5", "expected an expression, found the end of the file"),
        ("a = [1\nb = 2", "f:2:1", "expected ',' or ']'"),
        ('a = "x', "f:1:5", "a string without its end"),
        ('a = "x\ny"', "f:1:7", "a string ends on the line"),
        ('a = "\\q"', "f:1:6", "is no escape"),
        ("a = <<E\nx\n", "f:1:5", "no line is E"),
        ("a = 1 b = 2", "f:1:7", "expected the end of the line"),
        ("a = 1\na = 2", "f:2:1", "a is set twice"),
        ("}", "f:1:1", "a } without a {"),
        ('t "x" {\n', "f:1:7", "a { without its }"),
        ('t "${x}" {\n}', "f:1:3", "a label cannot have"),
        ("/* x", "f:1:1", "a comment without its end"),
        ('a = "%{ if x }y"', "f:1:6", "without its %{ endif }"),
        ('a = "%{ endif }"', "f:1:6", "closes nothing"),
        ('a = "%{ while }"', "f:1:6", "is no directive"),
        ("a = f(1..., 2)", "f:1:13", "nothing can follow ..."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, place, word):
    with pytest.raises(BakeError) as caught:
        parser.parse(text, "f")
    assert word in caught.value.plain
    assert str(caught.value.place) == place


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("1 / 0", "division by zero"),
        ("[1][1]", "no element 1 in a list of 1"),
        ('"a" + 1', "'a' is none"),
        ("{ a = 1 }.b", "there is no 'b'"),
        ("null.a", "null has no 'a'"),
        ('"x${[1]}"', "this is a list"),
        ("true ? 1 : [2]", "must be alike"),
        ("upper()", "upper(): takes 1 arguments, not 0"),
        ("upper(null)", "an argument is null"),
        ("{ for x in [1, 1] : x => x }", "two elements have the key '1'"),
        ('regex("(?=a)", "a")', "is none of RE2's"),
        ("range(2000)", "more than 1024"),
        ("pow(10, 100000)", "too large"),
        ("1e999", "a number is needed"),
        ('try(nope, jsondecode("{"))', "no argument of try() has a value"),
    ],
)
def test_what_has_no_value_says_why(text, word):
    with pytest.raises(BakeError) as caught:
        value(text)
    assert word in caught.value.message


def test_the_answer_that_is_not_taken_may_be_wrong():
    assert value('x == null ? "none" : x.y', x=None) == "none"


def test_a_set_has_no_places():
    both = 'setunion(["b"], ["a", "b"])'
    assert value(f'[for k, v in {both} : "${{k}}${{v}}"]') == ["aa", "bb"]
    for wrong in (f"{both}[0]", f"element({both}, 0)", f"concat({both}, [])"):
        with pytest.raises(BakeError, match="no places"):
            value(wrong)


def test_parts_of_a_string_are_counted_as_docker_counts_them():
    words = ['substr("hello", -3, 0)', 'substr("hello", 1, 0)', 'substr("hello", -9, 2)']
    assert [value(one) for one in words] == ["llo", "", "he"]
    assert value('format("%q", "<é>")') == '"<é>"'


def test_a_bool_is_no_number():
    assert value('[1 == true, "1" == 1, true == true]') == [False, False, True]


def test_blanks_go_where_a_tilde_says():
    assert value('"a ${~ x ~} b"', x="-") == "a-b"


@pytest.mark.parametrize("deep", ["[" * 5000, "(" * 5000, "-" * 5000, '"${' * 5000, "{a=" * 5000])
def test_what_is_nested_for_ever_is_refused(deep):
    with pytest.raises(BakeError):
        parser.parse(f"a = {deep}", "f")


@pytest.mark.parametrize("deep", ['{"a":' * 900 + "1" + "}" * 900, "[" * 900 + "]" * 900])
def test_json_that_is_nested_for_ever_is_refused(deep):
    file = reading.File("a.json", f'{{"target": {{"a": {{"args": {deep}}}}}}}')
    with pytest.raises(BakeError, match="nested too deeply"):
        reading.definition([file], {}, {}, str)


def test_targets_made_of_each_other_for_ever_are_refused():
    lines = [f'target "t{n}" {{\n  inherits = ["t{n - 1}"]\n}}\n' for n in range(1, 3000)]
    file = reading.File("a.hcl", 'target "t0" {\n}\n' + "".join(lines))
    with pytest.raises(BakeError, match="too deeply"):
        reading.definition([file], {}, {}, str).resolve(["t2999"])


def test_a_file_of_megabytes_is_read_at_once():
    text = f'a = "{"x" * (4 << 20)}"\n' + "#" * (4 << 20) + "\n" + "\n" * (1 << 20)
    assert len(parser.parse(text, "f").items) == 1


def test_a_long_chain_of_operators_is_no_recursion():
    with pytest.raises(BakeError, match="nested too deeply"):
        value(" + ".join(["1"] * 20000))


def test_strings_do_not_grow_beyond_reason():
    with pytest.raises(BakeError, match="a million letters"):
        value('"${s}${s}"', s="x" * (1 << 20))


@pytest.mark.parametrize(
    "text",
    [
        'join(s, ["a", "b", "c"])',
        'join("", [s, s])',
        'replace("aaa", "a", s)',
        'replace(s, "", s)',
        'regex_replace("aaa", "a", s)',
        'regex_replace("aaa", "(.*)", "${replace(s, "x", "$1")}")',
        'format("%500000000d", 1)',
        'format("%.500000000f", 1)',
        'format("%1[99999999999]d", 1)',
        'format("%s%[1]s%[1]s", s)',
        'formatlist("%s%s", [for n in range(1000) : n], s)',
        'indent(500000000, "\\n")',
        'indent(500000, "\\n\\n\\n")',
        'jsonencode(replace(s, "x", "<"))',
        'urlencode(replace(s, "x", "é"))',
        "[for n in range(1000) : s]",
        "{ for n in range(1000) : n => s }",
        '"%{ for n in range(1000) }${s}%{ endfor }"',
        "[s, s]",
        "{ a = s, b = s }",
        "concat(l, l)",
        "setproduct(l, l)",
        "multiply(n, n)",
        "n * n",
        "pow(pow(10, 90), 300)",
    ],
)
def test_no_value_grows_beyond_reason(text):
    wide = "x" * 600_000
    with pytest.raises(BakeError, match=r"grows|too wide|not indented|not too long"):
        value(text, s=wide, l=[0] * 600_000, n=1 << 4000)


def test_what_is_shared_is_counted_each_time():
    lines = [f"v{n} = [v{n - 1}, v{n - 1}]" for n in range(1, 40)]
    names = {"v0": "x"}
    with pytest.raises(BakeError, match="grows over a million"):
        for line in lines:
            name, _, text = line.partition(" = ")
            names[name] = value(text, **names)
    assert len(names) < 22


@pytest.mark.parametrize(
    "text",
    [
        'regex("(a*)*b", s)',
        'regexall("(a|a)*b", s)',
        'regex_replace(s, "a*a*a*a*a*a*a*a*b", "")',
        'regex("a", join("", [s, s, s, s, s, s, s, s]))',
    ],
)
def test_a_search_ends(text):
    with pytest.raises(BakeError, match="too long"):
        value(text, s="a" * 20_000)
    assert value('regex("a+", "baac")') == "aa"


@given(st.text(alphabet='ab=1{}[]()"$%~.,:?!-+*/<>&|#\n \\E', max_size=40))
def test_whatever_a_file_holds_it_is_read_or_refused(text):
    try:
        body = parser.parse(text, "f")
        for item in body.items:
            item.value.value(Names(a=1, b="x"))
    except BakeError:
        pass


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=9), st.lists, max_leaves=9))
def test_whatever_json_holds_it_is_read_or_refused(content):
    import json

    try:
        document.parse(json.dumps({"target": {"a": content}, "x": content}), "f.json")
    except BakeError:
        pass
