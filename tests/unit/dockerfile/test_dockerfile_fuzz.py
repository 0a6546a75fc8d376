"""Whatever the text: an answer or an error for the user, and soon."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.dockerfile import DockerfileError, parse, parse_trigger
from rootless.dockerfile.expand import expand, expand_body, words
from rootless.dockerfile.instructions import Onbuild
from rootless.dockerfile.lexer import lex_original
from tests.unit.dockerfile.shared import fuzz

PIECES = [
    *("FROM", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "ONBUILD", "HEALTHCHECK", "CMD"),
    *("SHELL", "VOLUME", "EXPOSE", "USER", "WORKDIR", "STOPSIGNAL", "MAINTAINER", "NONE", "AS"),
    *("--mount=", "--from=", "--link", "--chmod=7", "--interval=", "--", "type=cache,target=/x"),
    *("<<EOF", "<<-'E'", "3<<E", "\nEOF\n", "\nE\n", "# escape=`\n", "#", "\\", "`", "\\\n"),
    *('["a"]', "[", "]", '"', "'", "$", "${", "}", "a=b", "a", " ", "\t", "\n", "\r\n", "1m3.5s"),
    *("\ufeff", "\u2028", "\x1c", "é", "\0"),
]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
spaced = st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join)
contents = st.one_of(st.binary(), texts.map(str.encode), spaced.map(str.encode))
operands = st.text("ab$${{}}:-+?#%//*[]!^-\\\\'\"`= \té1", max_size=40)


@fuzz
@given(contents, st.sampled_from([b"", b"FROM a\n"]))
def test_parse(content, start):
    try:
        dockerfile = parse(start + content)
    except DockerfileError as error:
        assert error.message
        return
    for instruction in dockerfile.instructions:
        assert dockerfile.excerpt(instruction.location)
        again = lex_original(instruction.original)
        assert again.original == instruction.original
        if isinstance(instruction, Onbuild):
            with contextlib.suppress(DockerfileError):  # said where it comes to be carried out
                parse_trigger(instruction.trigger, dockerfile.escape)


@fuzz
@given(operands, st.dictionaries(st.sampled_from("ab"), operands), st.sampled_from("\\`"))
def test_expand(text, env, escape):
    for function in (expand, words):
        try:
            function(text, env, escape)
        except DockerfileError as error:
            assert error.message
    try:
        expand_body(text, env)
    except DockerfileError as error:
        assert error.message


@pytest.mark.parametrize("operator", [":-", "-", ":+", "+", "#", "%", "//"])
@pytest.mark.parametrize("function", [expand, words, expand_body])
def test_variables_nested_in_variables(operator, function):
    """However deep: expanded, or refused; never Python's own limit."""
    for depth in (3, 100, 1_000, 50_000):
        for text in (f"${{a{operator}" * depth + "x" + "}" * depth, f'"${{a{operator}' * depth):
            try:
                function(text, {})
            except DockerfileError as error:
                assert error.message


SHAPES = {
    "a long line": b"RUN " + b"x" * 1_000_000,
    "words": b"COPY " + b"a " * 30_000 + b"/x/",
    "an array": b"CMD [" + b'"a",' * 10_000 + b'"b"]',
    "arrays in arrays": b"CMD " + b"[" * 60_000,
    "lines that go on": b"RUN x \\\n" + b"y \\\n" * 20_000 + b"z",
    "comments between them": b"RUN x \\\n" + b"# c\n y \\\n" * 20_000 + b"z",
    "nothing between them": b"RUN x \\\n" + b"\n" * 100_000 + b"z",
    "a heredoc": b"RUN <<E\n" + b"x\n" * 100_000 + b"E",
    "one without an end": b"RUN <<-E\n" + b"\tx\n" * 100_000,
    "heredocs": b"COPY " + b"<<E " * 10_000 + b"/x/\n" + b"E\n" * 10_000,
    "heredocs without an end": b"COPY " + b"<<E " * 10_000 + b"/x/\n" + b"F\n" * 100_000,
    "ONBUILD of ONBUILD": b"ONBUILD " * 8_000 + b"RUN x",
    "digits": b"HEALTHCHECK --retries=" + b"1" * 60_000 + b" CMD x",
    "instructions": b"RUN x\n" * 10_000,
    "stages": b"FROM a\n" * 1_000,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_sizes(shape):
    try:
        assert parse(b"FROM a\n" + SHAPES[shape] + b"\n").instructions
    except DockerfileError as error:
        assert len(error.message) < 2_000
        assert len(error.message.splitlines()) < 40
