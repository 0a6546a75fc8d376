"""The lean parser: docker's rules and words, and the same values as click."""

import shlex

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.cli import click_app, parser, table, unsupported
from rootless.errors import UsageError

RUN = table.load("run")


def parsed(name, *argv):
    return vars(parser.parse(table.load(name), argv))


@pytest.mark.parametrize("verb", list(table.every()), ids=lambda verb: verb.name)
def test_every_verb_shows_examples_that_are_understood(verb):
    assert verb.examples
    for example in verb.examples:
        typed = example.removeprefix('eval "$(').removesuffix(')"')
        words = shlex.split(typed.replace("$(rootless ps -aq)", "web"))
        start = words.index("rootless") + 1
        end = next((n for n, word in enumerate(words) if n > start and word in "|<"), len(words))
        found, rest = table.find(words[start:end])
        assert found == verb.name
        parser.parse(verb, rest)


def test_flags_end_at_the_image():
    values = parsed("run", "-it", "--rm", "busybox", "ls", "-l", "--", "--rm")
    assert values["image"] == "busybox"
    assert values["command"] == ("ls", "-l", "--", "--rm")
    assert values["interactive"] is values["tty"] is values["rm"] is True


@pytest.mark.parametrize(
    "argv",
    [
        ["-itp", "8080:80"],
        ["-itp8080:80"],
        ["-it", "-p=8080:80"],
        ["-ti", "--publish=8080:80"],
        ["-i", "-t=true", "--publish", "8080:80"],
    ],
)
def test_spellings_of_a_cluster(argv):
    values = parsed("run", *argv, "image")
    assert (values["interactive"], values["tty"], values["publish"]) == (True, True, ("8080:80",))


def test_booleans_can_be_switched_off():
    assert parsed("run", "--rm", "--rm=false", "x")["rm"] is False
    assert parsed("run", "--tls-verify=0", "x")["tls_verify"] is False
    assert parsed("run", "x")["tls_verify"] is True


def test_a_value_may_look_like_a_flag_or_be_empty():
    values = parsed("run", "--entrypoint", "", "-e", "-x", "x")
    assert (values["entrypoint"], values["env"]) == ("", ("-x",))
    assert parsed("run", "x")["entrypoint"] is None


def test_double_dash_ends_the_flags():
    values = parsed("rmi", "-f", "--", "-strange", "--")
    assert (values["force"], values["names"]) == (True, ("-strange", "--"))


def test_a_lone_dash_is_an_argument():
    assert parsed("build", "-f", "-", "-")["context"] == "-"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "--foo", "x"], "unknown flag: --foo"),
        (["run", "-itX", "x"], "unknown shorthand flag: 'X' in -itX"),
        (["run", "x", "--foo"], None),
        (["run", "--name"], "flag needs an argument: --name"),
        (["run", "-it"], "'rootless run' requires at least 1 argument"),
        (["run", "--rm=perhaps", "x"], "invalid argument 'perhaps' for --rm"),
        (["run", "--pull", "newer", "x"], "it must be always or missing or never"),
        (["run", "--kernel-memory", "x"], "does not support --kernel-memory yet"),
        (["tag", "one"], "'rootless tag' requires at least 2 arguments"),
        (["history", "one", "two"], "'rootless history' requires exactly 1 argument"),
        (["images", "one", "two"], "'rootless images' requires at most 1 argument"),
        (["version", "now"], "'rootless version' accepts no arguments"),
    ],
)
def test_mistakes_are_named(argv, message):
    if message is None:
        parsed(*argv)
        return
    with pytest.raises(UsageError) as caught:
        parsed(*argv)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("argv", [["run", "--help"], ["run", "-it", "--help", "x"], ["rmi", "-h"]])
def test_help_is_not_a_mistake(argv):
    with pytest.raises(parser.HelpRequest):
        parsed(*argv)


def by_click(verb, argv):
    """The values click's own parser finds, spelled as ours."""
    context = click_app.command(verb).make_context(verb.name, list(argv))
    return context.params


_VALUES = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1).filter(
    lambda text: text[0] != "-" and text[0] != "="
)


@st.composite
def command_lines(draw):
    """A verb, and words it accepts, spelled at random."""
    verb = table.load(draw(st.sampled_from(["run", "build", "images", "rmi", "tag", "import"])))
    words = []
    for option in draw(st.lists(st.sampled_from(verb.options), max_size=5)) if verb.options else ():
        name = draw(st.sampled_from(option.names))
        if option.kind == "flag":
            words.append(name)
            continue
        value = draw(st.sampled_from(option.choices) if option.choices else _VALUES)
        joined = f"{name}={value}" if name[:2] == "--" else name + value
        words += draw(st.sampled_from([[name, value], [joined]]))
    words += draw(st.sampled_from([[], ["--"]]))
    for argument in verb.arguments:
        count = {"one": (1, 1), "optional": (0, 1), "some": (1, 3)}.get(argument.arity, (0, 3))
        words += draw(st.lists(_VALUES, min_size=count[0], max_size=count[1]))
    return verb, words


@settings(database=None)
@given(command_lines())
def test_click_finds_the_same_values(line):
    verb, words = line
    assert vars(parser.parse(verb, words)) == by_click(verb, words)


@settings(database=None)
@given(st.lists(st.text("-=abefhimnoprtv/:"), max_size=6))
def test_no_words_crash_it(words):
    try:
        parser.parse(RUN, words)
    except (UsageError, parser.HelpRequest):
        return


@pytest.mark.parametrize("verb", list(table.every()), ids=lambda verb: verb.name)
def test_declarations_are_sound(verb):
    names = [name for option in verb.options for name in option.names]
    assert len(names) == len(set(names))
    assert all(len(name) == 2 if name[1] != "-" else len(name) > 3 for name in names)
    assert isinstance(click_app.command(verb), click.Command)


@pytest.mark.parametrize("name", unsupported.FLAGS)
def test_what_is_unsupported_is_not_declared(name):
    declared = {name for option in table.load(name).options for name in option.names}
    assert not declared & set(unsupported.FLAGS[name].split())
