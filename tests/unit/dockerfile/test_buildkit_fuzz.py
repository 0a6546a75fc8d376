"""Our lexer beside BuildKit's own parser, compiled into the module `dockerfile`, on random text."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rootless.dockerfile import DockerfileError, parse
from rootless.dockerfile.lexer import (
    LogicalLine,
    json_array,
    lex,
    lex_original,
    split_blanks,
    split_keyword,
    split_quoted,
)
from rootless.dockerfile.parser import KEYWORDS
from tests.unit.dockerfile.shared import fuzz

buildkit = pytest.importorskip("dockerfile")

LISTS = ("COPY", "ADD", "VOLUME")
JSON = (*LISTS, "RUN", "CMD", "ENTRYPOINT", "SHELL", "HEALTHCHECK")
PIECES = [
    *("FROM a", "FROM a AS b", "run x", "RUN x", "RUN", "COPY a b", "ADD a /b/", "ENV a=b"),
    *("ENV a b", "ARG A", "ARG A=b C", "LABEL a=b", "LABEL \"a b\"=c", "CMD", "ONBUILD"),
    *("ONBUILD RUN x", "HEALTHCHECK", "HEALTHCHECK NONE", "HEALTHCHECK CMD x"),
    *("HEALTHCHECK CMD", "SHELL", "VOLUME", "EXPOSE 80 81", "USER u", "WORKDIR /w d"),
    *("STOPSIGNAL 9", "MAINTAINER m n", "NOTHING x", "Env", " --mount=type=cache,target=/x"),
    *(" --from=x", "--link", " --chmod=7", " --a='b c'", " --", " -", " --a=\"b", " --a\\ b"),
    *(" --\\\n a", " [\"a\"]", " [\"a\", \"b\"]", " [a]", " [\"a\" ", "[\"a\",]", " []"),
    *("['a']", "[ \"\\u0061\\n\" ]", "[\"a\"] b", "[[]]", "[\"a\", 1]", " [", "{}", " \"a\""),
    *(" null", " <<E", " <<-E", " <<'E'", " <<\"E F\"", " 3<<E", "<<<E", "<<", " <<E <<F"),
    *(" '<<E'", "\nE\n", "\n\tE\n", "\nF\n", "\\\n", " \\\n", "\\ \t\n", "\\\\\n", "`\n", "\n"),
    *("\n\n", "\r\n", "\\\r\n", "\\", "`", "\n# c\n", "#", "# escape=`\n", "#escape=\\\n"),
    *("# syntax=x\n", "# escape = ` \n", "# Escape=`\n", "# x=y\n", "# escape=x\n", "=", "a=b"),
    *(" a='b c' d=\"e\\\"f\"", " a=\\ b", " a='", " a=\"", "$a", "${a}", " ", "\t", "\v", "\f"),
    *("é", "ß=ü", "\ufeff", "x", "y z"),
]  # fmt: skip
random_text = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
random_lines = st.lists(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), max_size=8
).map("\n".join)


def operands(line: LogicalLine, escape: str) -> tuple[str, ...]:
    """What BuildKit's tree has after an instruction."""
    text = line.operands
    if line.keyword == "ONBUILD":
        return trigger(line, escape)
    if line.keyword not in KEYWORDS:
        return ("",)
    if line.keyword in ("ENV", "LABEL"):
        return pairs(text, escape)
    if line.keyword == "ARG":
        return split_quoted(text, escape)
    if line.keyword in ("FROM", "EXPOSE"):
        return split_blanks(text)
    if line.keyword == "HEALTHCHECK":
        _, rest = split_keyword(text)
        return (*split_blanks(text)[:1], *words(line.keyword, rest))
    return words(line.keyword, text)


def trigger(line: LogicalLine, escape: str) -> tuple[str, ...]:
    if not line.operands:
        return ()
    bodies = [heredoc.body + heredoc.name for heredoc in line.heredocs]
    inner = lex_original("\n".join([line.operands, *bodies]))
    return ("",) if inner.keyword == "ONBUILD" else operands(inner, escape)


def pairs(text: str, escape: str) -> tuple[str, ...]:
    found = split_quoted(text, escape)
    if found and "=" not in found[0]:
        name = split_blanks(text)[0]
        return (name, text[len(name) :].strip())
    return tuple(part for pair in found for part in pair.partition("=")[::2])


def words(keyword: str, text: str) -> tuple[str, ...]:
    array = json_array(text) if keyword in JSON else None
    if array is not None:
        return array
    return split_blanks(text) if keyword in LISTS else (text,) if text else ()


def ours(text: str) -> list[tuple]:
    lexed = lex(text.encode())
    return [
        (
            line.keyword,
            line.flags,
            operands(line, lexed.escape),
            (line.location.start_line, line.location.end_line),
            [
                (one.name, one.fd, one.body)
                for one in line.heredocs
                if line.keyword != "ONBUILD"  # theirs has them further inside
            ],
        )
        for line in lexed.lines
    ]


def theirs(text: str) -> list[tuple]:
    return [
        (
            (one.cmd or "").upper(),
            one.flags,
            one.value,
            (one.start_line, one.end_line),
            [(here.name, here.file_descriptor, here.content) for here in one.heredocs],
        )
        for one in buildkit.parse_string(text)
    ]


def is_settled(text: str) -> bool:
    """Whether today's BuildKit still says what this module says.

    What follows an array made it no array any more since then, as in docker 28. And we keep the
    letters of a flag together, of which BuildKit makes one for each byte.
    """
    for one in buildkit.parse_string(text):
        if not all(map(str.isascii, one.flags)):
            return False
        if one.json and not is_whole(one.original[one.original.index("[") :]):
            return False
    return True


def is_whole(text: str) -> bool:
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text)
    except ValueError:
        return False
    return not text[end:].strip()


def judged(text: str) -> None:
    try:
        assume(is_settled(text))
        expected = theirs(text)
    except UnicodeDecodeError:  # a letter of a flag, of which one byte is a blank to BuildKit
        assume(False)
    except buildkit.GoParseError:
        with pytest.raises(DockerfileError):
            parse(text.encode())
        return
    assert ours(text) == expected


@fuzz
@given(random_text)
def test_random_text(text):
    judged(text)


@fuzz
@given(random_lines)
def test_random_lines(text):
    judged(text)
