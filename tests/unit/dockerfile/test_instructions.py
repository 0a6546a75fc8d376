"""Text to typed instructions: a golden corpus, and every way to get it wrong."""

from pathlib import Path

import pytest

from rootless.dockerfile import DockerfileError, parse, parse_trigger
from rootless.dockerfile.errors import Location
from rootless.dockerfile.instructions import Copy, ExecForm, Onbuild, Run, ShellForm

CORPUS = Path(__file__).parents[2] / "corpus/dockerfiles"


def shown(content: bytes) -> str:
    """One instruction a paragraph: its lines, its type, and each field that says something."""
    out = []
    for one in parse(content).instructions:
        place = f"{one.location.start_line}-{one.location.end_line}"
        out.append(f"{place} {type(one).__name__}")
        for name in one._fields:
            value = getattr(one, name)
            if name != "location" and value != getattr(type(one), name, ...):
                out.append(f"    {name} = {value!r}")
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("case", sorted(CORPUS.glob("*.dockerfile")), ids=lambda case: case.stem)
def test_corpus(case):
    assert shown(case.read_bytes()) == case.with_suffix(".expected").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "place", "problem"),
    [
        ("FRMO x", "1:1", "there is no instruction 'FRMO'"),
        ("FROM a\n  USER\tx\nuseR", "3:1", "USER needs a user"),
        ("RUN x\nFROM a", "1:1", "only ARG can stand before the first FROM"),
        ("FROM a b", "1:8", "FROM takes an image, or an image AS name"),
        ("FROM a AS", "1:8", "FROM takes an image, or an image AS name"),
        ("FROM a AS 1", "1:11", "a stage cannot be called '1'"),
        ("FROM a AS ü", "1:11", "a stage cannot be called 'ü'"),
        ("FROM a\nCOPY --form=b \\\n  --chwon=1 a b", "2:6", "COPY has no flag --form"),
        ("FROM a\nCOPY \\\n  --chwon=1 a b", "3:3", "COPY has no flag --chwon"),
        ("FROM a\nADD --from=b a b", "2:5", "ADD has no flag --from"),
        ("FROM a\nCOPY --link=maybe a b", "2:6", "--link is true or false, not 'maybe'"),
        ("FROM a\nCOPY --from a b", "2:6", "--from needs a value"),
        ("FROM a\nCOPY --from=a --from=b c d", "2:6", "COPY has --from twice"),
        ("FROM a\nCOPY a", "2:1", "COPY needs at least one source and a destination"),
        ("FROM a\nCOPY a <<EOF\nEOF", "2:8", "a heredoc cannot be the destination"),
        ("FROM a\nRUN <<EOF\nx", "2:5", "the heredoc <<EOF does not end"),
        ("FROM a\nRUN --network=x y", "2:15", "--network is one of default, none, host"),
        ("FROM a\nRUN --mount= y", "2:5", "--mount needs a value"),
        ("FROM a\nRUN --mount y", "2:5", "--mount needs a value"),
        ("FROM a\nRUN --mount=from=$B,target=/x y", "2:18", "'from' doesn't support variable"),
        ('FROM a\nRUN ["a", 1]', "2:5", "the JSON form takes strings only"),
        ('FROM a\nRUN ["a\\u0000"]', "2:5", "cannot be passed to a program"),
        ("FROM a\nENV x", "2:1", "ENV x has no value"),
        ("FROM a\nENV x=1 y", "2:9", "ENV y has no value"),
        ("FROM a\nENV =1", "2:5", "ENV =1 has no name"),
        ("FROM a\nARG =1", "2:5", "ARG =1 has no name"),
        ("FROM a\nSHELL bash -c", "2:1", "SHELL takes a JSON array"),
        ("FROM a\nVOLUME []", "2:1", "VOLUME needs paths"),
        ("FROM a\nHEALTHCHECK CMD", "2:1", "HEALTHCHECK CMD needs a command"),
        ("FROM a\nHEALTHCHECK TCP 7", "2:1", "HEALTHCHECK takes CMD or NONE, not TCP"),
        ("FROM a\nHEALTHCHECK NONE x", "2:18", "HEALTHCHECK NONE takes nothing more"),
        ("FROM a\nHEALTHCHECK --interval=1 CMD x", "2:24", "--interval takes a time, not '1'"),
        ("FROM a\nHEALTHCHECK --timeout=1us CMD x", "2:23", "--timeout cannot be less than 1ms"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "2:23", "--retries takes a number"),
        ("FROM a\nONBUILD ONBUILD RUN x", "2:1", "ONBUILD cannot be an ONBUILD trigger"),
        ("FROM a\nONBUILD from x", "2", "FROM cannot be an ONBUILD trigger"),
        ("FROM a\nONBUILD ENV x", "2:1", "ENV x has no value"),
        ("FROM a\nWORKDIR", "2:1", "WORKDIR needs a path"),
        ("FROM a\nCMD --x y", "2:5", "CMD has no flag --x"),
        ("# escape=x\nFROM a", "1:10", "the escape character can be \\ or `, not 'x'"),
        ("#syntax=x\n# SYNTAX=y\nFROM a", "2", "the directive syntax is given twice"),
        ("FROM a\nRUN a\0b", "2", "the instruction contains a NUL character"),
        ("FROM a\nRUN " + "x" * 70000, "2", "the line is longer than 65535"),
    ],
)
def test_what_is_wrong_and_where(text, place, problem):
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode(), "sub/Dockerfile")
    assert caught.value.message.startswith(f"sub/Dockerfile:{place}: ")
    assert problem in caught.value.problem
    assert " | >>> " in caught.value.message


@pytest.mark.parametrize("text", ["", "# only\n", "ARG x\n"])
def test_without_from(text):
    with pytest.raises(DockerfileError, match="Dockerfile has no FROM"):
        parse(text.encode())


def test_a_comment_may_be_in_any_encoding_but_an_instruction_may_not():
    assert len(parse(b"# \xe9\nFROM a\n").instructions) == 1
    with pytest.raises(DockerfileError, match="Dockerfile:2: the instruction is not UTF-8 text"):
        parse(b"FROM a\nRUN \xe9\n")


@pytest.mark.parametrize(
    ("text", "hint"), [("FORM a", "FROM"), ("FROM a\nCOPY --form=x a b", "--from")]
)
def test_suggestions(text, hint):
    with pytest.raises(DockerfileError) as caught:
        parse(text.encode())
    assert caught.value.hint == f"did you mean {hint}?"


def test_the_excerpt():
    dockerfile = parse(b"ARG x\nFROM a\nRUN a && \\\n\tb\x1b[2J\n\nCMD c\nUSER d\n")
    run = dockerfile.instructions[2]
    assert dockerfile.excerpt(run.location).split("\n") == [
        "   1 |     ARG x",
        "   2 |     FROM a",
        "   3 | >>> RUN a && \\",
        "   4 | >>> \tb\ufffd[2J",
        "   5 |",
        "   6 |     CMD c",
    ]
    assert dockerfile.excerpt(Location(7, 7)).endswith("   7 | >>> USER d")


def test_an_error_found_later_gets_its_place():
    dockerfile = parse(b"FROM a\nUSER ${x\n")
    error = dockerfile.locate(DockerfileError("no", near="${x"), Location(2, 2))
    assert (error.line, error.column) == (2, 6)
    assert error.message.startswith("Dockerfile:2:6: no\n\n")
    assert dockerfile.locate(error, Location(1, 1)) is error


def test_triggers_are_read_as_they_were_written():
    (_, onbuild) = parse(
        b"# escape=`\nFROM a\nONBUILD COPY <<-x c:\\a` b`\n  /y\n\tz\n\tx\n"
    ).instructions
    assert isinstance(onbuild, Onbuild)
    trigger = parse_trigger(onbuild.trigger, "`")
    assert isinstance(trigger, Copy)
    assert (trigger.sources, trigger.destination) == (("c:\\a`", "b"), "/y")
    assert trigger.heredocs[0].content == "z\n"


@pytest.mark.parametrize("text", ["", "RUN a\nRUN b", "# x", "FROM a", "RUN <<E\nx", "NO x"])
def test_what_is_no_trigger(text):
    with pytest.raises(DockerfileError):
        parse_trigger(text)


def test_argv():
    (_, shell, args) = parse(b'FROM a\nRUN echo $x\nRUN ["a", "b"]').instructions
    assert isinstance(shell, Run)
    assert isinstance(args, Run)
    assert isinstance(shell.command, ShellForm)
    assert isinstance(args.command, ExecForm)
    assert shell.command.argv(("sh", "-c")) == ("sh", "-c", "echo $x")
    assert args.command.argv(("sh", "-c")) == ("a", "b")
