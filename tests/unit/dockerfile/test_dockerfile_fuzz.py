"""Whatever the text: an answer or an error for the user, and soon."""

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
