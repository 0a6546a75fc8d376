"""From instructions to steps: variables, scopes, what is refused, and history."""

import pytest

from rootless.build.plan import stages as planning
from rootless.build.plan import steps
from rootless.build.plan.mode import Mode
from rootless.build.plan.mounts import Cache
from rootless.dockerfile import DockerfileError, parse
from rootless.oci.config import DEFAULT_PATH, History, ImageConfig
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference

AMD64 = Platform.parse("linux/amd64")
BASE = ImageConfig(AMD64, env=("PATH=/bin",))


def resolve(text, base=BASE, build_args=None):
    dockerfile = parse(text.encode())
    planned = planning.plan(dockerfile, build_args or {}, AMD64)
    return steps.resolve(planned, planned.target, base)


def actions(text, **options):
    return [step.action for step in resolve(text, **options).steps]


def created_by(text, **options):
    return [entry.created_by for entry in resolve(text, **options).config.history]


def test_a_command_sees_env_and_args_but_only_env_is_kept():
    recipe = resolve("FROM x\nARG A=1\nENV B=$A\nRUN x\n", build_args={"A": "2"})
    assert recipe.steps[0].action.env == {"PATH": "/bin", "A": "2", "B": "2"}
    assert recipe.config.env == ("PATH=/bin", "B=2")


def test_the_last_of_arg_and_env_wins():
    assert actions("FROM x\nARG A=arg\nENV A=env\nRUN x\n")[0].env["A"] == "env"
    assert actions("FROM x\nENV A=env\nARG A=arg\nRUN x\n")[0].env["A"] == "arg"


def test_one_env_instruction_sees_the_environment_before_it():
    recipe = resolve("FROM x\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n")
    assert recipe.config.environment["ghi"] == "bye"
    assert recipe.config.environment["def"] == "hello"


def test_global_and_platform_arguments_need_a_declaration():
    text = "ARG G=1\nFROM x\nENV A=$G$TARGETARCH\nARG G TARGETARCH NONE\nENV B=$G$TARGETARCH$NONE\n"
    environment = resolve(text).config.environment
    assert (environment["A"], environment["B"]) == ("", "1amd64")


def test_proxies_reach_commands_but_neither_key_nor_history():
    recipe = resolve("FROM x\nRUN x\n", build_args={"https_proxy": "p:1"})
    action = recipe.steps[0].action
    assert action.hidden == {"https_proxy": "p:1", "HTTPS_PROXY": "p:1"}  # as docker has it
    assert "https_proxy" not in action.env
    declared = resolve("FROM x\nARG https_proxy\nRUN x\n", build_args={"https_proxy": "p:1"})
    assert declared.steps[0].action.env["https_proxy"] == "p:1"


def test_what_a_command_may_have_is_for_the_caller_to_say():
    with pytest.raises(DockerfileError, match=r"Dockerfile:2: .*security.insecure is not allowed"):
        resolve("FROM x\nRUN --security=insecure x\n")
    planned = planning.plan(parse(b"FROM x\nRUN --security=insecure x\n"), {}, AMD64)
    planned = planned.replace(allow=frozenset({"security.insecure"}))
    (step,) = steps.resolve(planned, planned.target, BASE).steps
    assert step.action.insecure
    planned = planning.plan(parse(b"FROM x\nRUN --network=host x\n"), {}, AMD64)
    steps.resolve(planned, planned.target, BASE)
    with pytest.raises(DockerfileError, match=r"Dockerfile:2: network.host is not allowed"):
        steps.resolve(planned.replace(allow=frozenset()), planned.target, BASE)


def test_variables_from_outside_come_before_the_first_and_may_be_taken_out_at_the_end():
    text = b"FROM x AS a\nENV B=mine\nRUN x\nFROM a\nRUN y\n"
    planned = planning.plan(parse(text), {}, AMD64).replace(
        env={"A": "1", "B": "2"}, unset=("PATH", "B")
    )
    first = steps.resolve(planned, planned.stages[0], BASE)
    assert (first.steps[0].action.env["A"], first.steps[0].action.env["B"]) == ("1", "mine")
    last = steps.resolve(planned, planned.target, first)
    assert last.steps[0].action.env["B"] == "mine"
    assert [one for one in last.config.env if one[:2] in ("A=", "B=", "PA")] == ["A=1"]


def test_what_docker_says_of_arguments():
    """As docker 28 has it: the history shows what the command sees, and nothing of ONBUILD."""
    text = "FROM x AS one\nARG A=1\nARG TARGETSTAGE\nENV A=2\nRUN a\nONBUILD RUN b\n"
    recipe = resolve(text)
    assert (
        recipe.config.history[-1].created_by == "RUN |2 A=2 TARGETSTAGE=one /bin/sh -c a # buildkit"
    )
    assert recipe.config.onbuild == ("RUN b",)
    unnamed = resolve(text.replace(" AS one", ""))
    assert unnamed.steps[0].action.env["TARGETSTAGE"] == "default"
    proxied = resolve("FROM x\nENV http_proxy=mine\nRUN a\n", build_args={"http_proxy": "given"})
    assert proxied.steps[0].action.hidden["http_proxy"] == "given"  # and that wins


def test_mounts_name_what_they_read():
    text = "FROM x AS s\nFROM x\nRUN --mount=target=/c,source=[d] --mount=from=s,target=/s "
    text += "--mount=type=cache,from=s,target=/k --mount=from=scratch,target=/n x\n"
    planned = planning.plan(parse(text.encode()), {"BUILDKIT_CACHE_MOUNT_NS": "ns"}, AMD64)
    (step,) = steps.resolve(planned, planned.target, BASE).steps
    action = step.action
    assert action.reads_context
    assert action.origins == (0, 0)
    assert [one.sources for one in action.shown] == [("/\\[d]",), ("/",)]
    assert [one.id for one in action.mounts if isinstance(one, Cache)] == ["ns//k"]


def test_a_base_without_path_gets_the_default():
    assert resolve("FROM x\n", base=ImageConfig(AMD64)).config.env == (f"PATH={DEFAULT_PATH}",)


def test_shell_and_exec_forms():
    text = 'FROM x\nRUN a $b\nSHELL ["/bin/bash", "-ec"]\nRUN a\nRUN ["a", "$b"]\n'
    argvs = [action.argv for action in actions(text)]
    assert argvs == [("/bin/sh", "-c", "a $b"), ("/bin/bash", "-ec", "a"), ("a", "$b")]


def test_a_heredoc_with_a_program_line_is_a_script():
    action = actions("FROM x\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n")[0]
    assert action.script == "#!/usr/bin/env python3\nprint(1)\n"
    assert action.argv == ("/bin/sh", "-c", "/dev/pipes/EOF")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("a .", "/w/"),
        ("a ./", "/w/"),
        ("a b", "/w/b"),
        ("a b/", "/w/b/"),
        ("a /", "/"),
        ("a /x/../y", "/y"),
        ("a ..", "/"),
        ("a ../../../e", "/e"),
        ("a $D/c", "/d/c"),
    ],
)
def test_destinations(words, path):
    action = actions(f"FROM x\nENV D=/d\nWORKDIR /w\nCOPY {words}\n")[-1]
    assert action.destination == path


def test_workdir_joins_and_the_root_needs_no_layer():
    recipe = resolve("FROM x\nWORKDIR a\nWORKDIR ../b\nWORKDIR /\nWORKDIR $PATH/c\n")
    made = [step.action.path for step in recipe.steps]
    assert made == ["/a", "/b", "/bin/c"]
    assert recipe.config.working_dir == "/bin/c"


def test_copy_flags_and_heredocs():
    action = actions(
        "FROM x\nENV E=val\nCOPY --chown=a:b --chmod=u=rwX s <<E <<'F' /d/\n$E\nE\n$E\nF\n"
    )[0]
    assert action.sources == ("s",)
    assert action.contents == (("E", "val\n"), ("F", "$E\n"))
    assert (action.owner, action.mode, action.link) == ("a:b", Mode.parse("u=rwX"), False)


def test_link_with_a_mode_is_no_link():
    """Docker makes a layer of its own only where no mode is asked for."""
    flags = ("--link", "--link --chmod=644", "--link --chown=1", "--link --chmod=$NOTHING")
    found = [actions(f"FROM x\nCOPY {flag} s /d/\n")[0].link for flag in flags]
    assert found == [True, False, True, True]


def test_copy_from_a_stage_or_an_image():
    text = "FROM x AS a\nFROM x\nFROM x\nCOPY --from=a f /\nCOPY --from=1 f /\nCOPY --from=i f /\n"
    assert [one.origin for one in actions(text)] == [0, 1, Reference.parse("i")]


@pytest.mark.parametrize("name", ["later", "0", "7"])
def test_copy_from_a_later_stage_is_refused(name):
    with pytest.raises(DockerfileError, match=rf"Dockerfile:2: --from={name} is not an earlier"):
        planned = planning.plan(
            parse(f"FROM x\nCOPY --from={name} f /\nFROM x AS later\n".encode()), {}, AMD64, "0"
        )
        steps.resolve(planned, planned.target, BASE)


def test_entrypoint_resets_an_inherited_cmd_only():
    base = BASE.replace(cmd=("old",))
    assert resolve('FROM x\nENTRYPOINT ["e"]\n', base=base).config.cmd is None
    own = resolve('FROM x\nCMD ["own"]\nENTRYPOINT ["e"]\n', base=base).config
    assert (own.cmd, own.entrypoint) == (("own",), ("e",))
    assert resolve("FROM x\nENTRYPOINT []\n", base=base).config.entrypoint == ()


def test_triggers_run_first_and_are_gone():
    base = BASE.replace(onbuild=("ENV A=trigger", "COPY . /src"))
    recipe = resolve("FROM x\nENV B=$A\nONBUILD RUN later\n", base=base)
    assert recipe.config.environment["B"] == "trigger"
    assert [step.action.destination for step in recipe.steps] == ["/src"]
    assert recipe.config.onbuild == ("RUN later",)


def test_a_trigger_that_cannot_be_shows_our_from():
    base = BASE.replace(onbuild=("RUN --security=insecure x",))
    with pytest.raises(DockerfileError, match=r"Dockerfile:2: .*security.insecure is not allowed"):
        resolve("# a comment\nFROM x\n", base=base)


@pytest.mark.parametrize(
    ("trigger", "told"),
    [
        ("RUNN x", "ONBUILD RUNN x (of the base): there is no instruction 'RUNN'"),
        ("COPY --frm=x a b", "ONBUILD COPY --frm=x a b (of the base): COPY has no flag --frm"),
        ("STOPSIGNAL X\nY", "ONBUILD STOPSIGNAL X (of the base): the text has more than one"),
        ("ENV a=${b:?needed}", "ONBUILD ENV a=${b:?needed} (of the base): b: needed"),
        ("EXPOSE x", "ONBUILD EXPOSE x (of the base): 'x' is not a port"),
        ("EXPOSE " + "u" * 999, "ONBUILD EXPOSE " + "u" * 180),
    ],
)
def test_an_error_of_a_trigger_quotes_it(trigger, told):
    base = BASE.replace(onbuild=("ENV fine=1", trigger))
    with pytest.raises(DockerfileError) as caught:
        resolve("# a comment\nFROM x\nRUN y\n", base=base)
    assert caught.value.message.startswith(f"Dockerfile:2: {told}")
    assert len(caught.value.message) < 2000
    assert "   2 | >>> FROM x\n" in caught.value.message


def test_a_step_of_a_trigger_says_so():
    recipe = resolve("FROM x\nRUN own\n", base=BASE.replace(onbuild=("RUN theirs",)))
    assert [step.text for step in recipe.steps] == ["ONBUILD RUN theirs", "RUN own"]
    assert [step.complaint("bad") for step in recipe.steps] == [
        "ONBUILD RUN theirs (of the base): bad",
        "bad",
    ]


def test_history_reads_as_buildkit_writes_it():
    assert created_by(
        'FROM x\nARG A=1\nRUN make\nCOPY --chown=u a b /d/\nENV B="x y"\nCMD ["a", "b"]\n'
        "EXPOSE 80 443/tcp\nWORKDIR /w\nUSER u\nLABEL k=v\nVOLUME /v\nSTOPSIGNAL INT\n"
    ) == [
        "ARG A=1",
        "RUN |1 A=1 /bin/sh -c make # buildkit",
        "COPY --chown=u a b /d/ # buildkit",
        "ENV B=x y",
        'CMD ["a" "b"]',
        "EXPOSE [443/tcp 80/tcp]",
        "WORKDIR /w",
        "USER u",
        "LABEL k=v",
        "VOLUME [/v]",
        "STOPSIGNAL INT",
    ]


def test_history_tells_which_instructions_made_layers():
    recipe = resolve("FROM x\nRUN a\nENV A=1\nCOPY a /\nWORKDIR /\n")
    assert [one.empty_layer for one in recipe.config.history] == [False, True, False, True]
    assert len(recipe.steps) == 2


def test_stamping_gives_metadata_the_time_of_the_layer_before():
    base = BASE.replace(created="2020", history=(History("2019", "base"),))
    recipe = resolve("FROM x\nENV A=1\nRUN a\nENV B=1\nRUN b\nENV C=1\n", base=base)
    config = steps.stamped(recipe.config, ("base's", "2021", "2022"))
    times = [entry.created for entry in config.history]
    assert times == ["2019", "2020", "2021", "2021", "2022", "2022"]
    assert config.created == "2022"
    assert steps.stamped(resolve("FROM x\nENV A=1\n", base=base).config, ("b",)).created == "2020"


def test_errors_of_expansion_show_their_line():
    with pytest.raises(DockerfileError, match=r"Dockerfile:3.*X"):
        resolve("FROM x\n\nWORKDIR ${X:?is missing}\n")


def test_a_port_is_listed_once():
    recipe = resolve("FROM x\nEXPOSE 80 80/tcp\nEXPOSE 80\nEXPOSE 53/udp\n")
    assert recipe.config.exposed_ports == ("80/tcp", "53/udp")


def test_what_the_base_has_comes_first():
    base = BASE.replace(exposed_ports=("1/tcp",), volumes=("/a",), labels={"a": "1", "b": "2"})
    text = "FROM x\nEXPOSE 2 1\nVOLUME /b /a\nLABEL b=3\nONBUILD RUN x\n"
    config = resolve(text, base.replace(onbuild=("EXPOSE 3",))).config
    assert config.exposed_ports == ("1/tcp", "3/tcp", "2/tcp")
    assert (config.volumes, config.labels) == (("/a", "/b"), {"a": "1", "b": "3"})
    assert config.onbuild == ("RUN x",)


@pytest.mark.parametrize("line", ["EXPOSE {}", "VOLUME /{}", "LABEL a{}=b", "ONBUILD RUN {}"])
def test_a_line_costs_the_same_however_many_are_before_it(line, monkeypatch):
    """What is copied is counted: a config is made anew a few times, not for every line."""
    made = []
    replace = ImageConfig.replace
    monkeypatch.setattr(
        ImageConfig, "replace", lambda *args, **changes: made.append(1) or replace(*args, **changes)
    )
    lines = "".join(f"{line.format(number)}\n" for number in range(1, 10_001))
    config = resolve(f"FROM x\n{lines}").config
    assert len(config.onbuild or config.history) == 10_000
    assert len(made) < 10
