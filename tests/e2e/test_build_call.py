"""`build --check` and `--call`: findings, outline and targets, in docker's words and exit codes."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

CORPUS = Path(__file__).parents[1] / "corpus/checks"
OUTLINE = CORPUS / "outline"

FINDING = """Check complete, 1 warning has been found!

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
{name}:2
--------------------
   1 |     FROM scratch
   2 | >>> CMD run it
--------------------
"""


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture
def check(rootless, context):
    """Write a Dockerfile and check it."""

    def run(text, *flags, call="--check"):
        (context / "Dockerfile").write_text(text)
        return rootless("build", call, *flags, context)

    return run


def rules(result):
    return [one["ruleName"] for one in json.loads(result.stdout)["warnings"] or []]


def test_a_finding(check, context):
    found = check("FROM scratch\nCMD run it\n")
    assert (found.exit, found.stderr) == (1, "")
    assert found.stdout == FINDING.format(name=context / "Dockerfile")
    assert check("FROM scratch\nCMD run it\n", "--quiet").stdout == found.stdout


def test_nothing_to_say(check):
    found = check('FROM scratch\nCMD ["x"]\n')
    assert (found.exit, found.stdout) == (0, "Check complete, no warnings found.\n")


def test_nothing_is_built_or_kept(check, rootless):
    check("FROM scratch\nWORKDIR /a\nCMD x\n")
    assert rootless.ok("images", "-aq") == ""


def test_they_come_in_the_order_of_the_lines(check):
    said = check("FROM scratch as a\nCMD b\nCMD c\nMAINTAINER me\n").stdout
    found = [line.split()[1] for line in said.splitlines() if line.startswith("WARNING")]
    assert found == [
        "FromAsCasing",
        "JSONArgsRecommended",
        "MultipleInstructionsDisallowed",
        "JSONArgsRecommended",
        "MaintainerDeprecated",
    ]


def test_json(check, context):
    text = "FROM scratch\nCMD run \\\n  it\n"
    found = check(text, call="--call=check,format=json")
    assert found.exit == 1
    value = json.loads(found.stdout)
    assert value["warnings"] == [
        {
            "ruleName": "JSONArgsRecommended",
            "description": "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended "
            "behavior related to OS signals",
            "url": "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
            "detail": "JSON arguments recommended for CMD to prevent unintended behavior related "
            "to OS signals",
            "location": {"ranges": [{"start": {"line": n}, "end": {"line": n}} for n in (2, 3)]},
        }
    ]
    (source,) = value["sources"]
    assert base64.b64decode(source.pop("data")).decode() == text
    assert source == {"filename": str(context / "Dockerfile"), "language": "Dockerfile"}
    assert "buildError" not in value
    nothing = check("FROM scratch\n", call="--call=check,format=json")
    assert (nothing.exit, json.loads(nothing.stdout)["warnings"]) == (0, None)


def test_a_finding_can_be_no_failure(check):
    found = check("FROM scratch\nCMD x\n", call="--call=check,ignorestatus=true")
    assert (found.exit, found.stdout[:24]) == (0, "Check complete, 1 warnin")


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("FROM scratch as a\nCOPIE a b\n", "FromAsCasing", 2),
        ("FROM scratch as a\nCOPY --frm=x a b\n", "FromAsCasing", 2),
        ("FROM scratch\nCMD x\nSTOPSIGNAL nope\n", "JSONArgsRecommended", 3),
        ("FROM scratch as a\nFROM Scratch\n", "FromAsCasing", 2),
    ],
)
def test_what_is_wrong_is_told_after_the_findings(check, context, text, rule, line):
    found = check(text)
    assert found.exit == 1
    assert f"WARNING: {rule} - " in found.stdout
    assert f"error: {context}/Dockerfile:{line}" in found.stderr
    assert f"{line:4} | >>> " in found.stderr
    value = json.loads(check(text, call="--call=check,format=json").stdout)
    assert value["buildError"]["location"]["ranges"][0]["start"]["line"] == line
    assert value["buildError"]["message"]


def test_only_an_error(check):
    found = check("FROM scratch\nCOPIE a b\n")
    assert (found.exit, found.stdout) == (1, "")
    assert "did you mean COPY?" in found.stderr


def test_options(check):
    text = "# check=skip=JSONArgsRecommended\nFROM scratch as a\nCMD x\n"
    json_check = "--call=check,format=json"
    assert rules(check(text, call=json_check)) == ["FromAsCasing"]
    argument = "--build-arg=BUILDKIT_DOCKERFILE_CHECK="
    assert rules(check(text, argument + "skip=all", call=json_check)) == []
    failed = check(text, argument + "error=true", call=json_check)
    assert failed.exit == 1
    said = "lint violation found for rules: FromAsCasing, JSONArgsRecommended"
    assert json.loads(failed.stdout)["buildError"] == {"message": said}
    refused = check(text, argument + "skipp=all")
    assert refused.exit == 1
    assert "BUILDKIT_DOCKERFILE_CHECK cannot have 'skipp=all'" in refused.stderr


def test_a_target_leaves_out_what_it_does_not_need(check):
    text = "FROM scratch AS a\nCMD x\nFROM scratch AS b\nENTRYPOINT y\n"
    assert check(text).stdout.count("WARNING") == 2
    assert check(text, "--target", "a").stdout.count("WARNING") == 1


def test_an_ignored_file(check, context):
    (context / ".dockerignore").write_text("*.txt\n")
    found = check("# check=experimental=all\nFROM scratch\nCOPY a.txt /\n")
    assert 'Attempting to Copy file "a.txt" that is excluded by .dockerignore' in found.stdout


def test_standard_input(rootless):
    found = rootless("build", "--check", "-", stdin="FROM scratch\nCMD run it\n")
    assert (found.exit, found.stdout) == (1, FINDING.format(name="Dockerfile"))


def test_a_dockerfile_does_not_steer_the_terminal(check):
    said = check("FROM scratch\nENV \x1b[31mPASSWORD_\x1b=x$\x1bé\nWORKDIR \x1b]0;x\n").stdout
    assert "WARNING" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("chek", "did you mean check?"),
        ("nothing", "there are build, check, lint, outline, targets"),
        ("check,format=yaml", "format=yaml is not known"),
        ("check,ignorestatus", "ignorestatus= is not known"),
    ],
)
def test_methods_that_do_not_exist(check, method, said):
    refused = check("FROM scratch\n", call=f"--call={method}")
    assert refused.exit == 1
    assert refused.stdout == ""
    assert said in refused.stderr


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (["outline"], "outline.txt"),
        (["outline", "--target", "base"], "outline-base.txt"),
        (["outline", "--target", "base", "--build-arg", "A=given"], "outline-given.txt"),
        (["targets"], "targets.txt"),
    ],
)
def test_what_docker_prints(rootless, flags, answer):
    assert rootless.ok("build", "--call", *flags, OUTLINE) == (OUTLINE / answer).read_text()


@pytest.mark.parametrize("method", ["outline", "targets"])
def test_what_docker_prints_as_json(rootless, method):
    printed = rootless.ok("build", "--call", f"{method},format=json", OUTLINE)
    assert printed == (OUTLINE / f"{method}.json").read_text()


def test_an_outline_of_nothing(rootless, context):
    (context / "Dockerfile").write_text("FROM scratch\n")
    assert rootless.ok("build", "--call=outline", context) == ""
    value = json.loads(rootless.ok("build", "--call=outline,format=json", context))
    assert list(value) == ["sources"]


def test_call_build_builds(rootless, context):
    (context / "Dockerfile").write_text("FROM scratch\nENV a=b\n")
    rootless.ok("build", "--call=build", "-t", "x", context)
    assert "a=b" in rootless.ok("inspect", "-f", "{{.Config.Env}}", "x")


def test_a_base_is_asked_for_its_config_only(rootless, registry, busybox_image, context, tmp_path):
    name = f"{registry.address}/checked/base:1"
    source = rootless.load(busybox_image, tmp_path)
    (context / "Dockerfile").write_text(
        f'FROM {source}\nENV FROM_BASE=1\nSHELL ["/bin/sh", "-e", "-c"]\nONBUILD ENV TOKEN x\n'
    )
    rootless.ok("build", "-t", name, context)
    rootless.ok("push", "--tls-verify=false", name)
    rootless.ok("rmi", name)
    before = sorted(os.listdir(rootless.root / "layers"))
    (context / "Dockerfile").write_text(f"FROM {name}\nENV a=$FROM_BASE b=$NOWHERE\nCMD x\n")
    found = rootless("build", "--call=check,format=json", "--tls-verify=false", context)
    assert found.exit == 1
    assert rules(found) == ["LegacyKeyValueFormat", "SecretsUsedInArgOrEnv", "UndefinedVar"]
    assert sorted(os.listdir(rootless.root / "layers")) == before
    assert name not in rootless.ok("images")
    missing = rootless("build", "--check", "--tls-verify=false", "-", stdin=f"FROM {name}0\n")
    assert missing.exit == 1
    assert f"   1 | >>> FROM {name}0" in missing.stderr


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"


def test_keys_and_secrets_that_reach_a_layer(rootless, busybox_image, context, tmp_path):
    base = rootless.load(busybox_image, tmp_path)
    (context / "keys").mkdir()
    (context / "keys" / "id").write_text(KEY)
    (context / "keys" / "id.pub").write_text("-----BEGIN PUBLIC KEY-----\n")
    (tmp_path / "token").write_text("correct horse battery")
    (context / "Dockerfile").write_text(
        f"FROM {base} AS other\nCOPY keys /other\nFROM {base} AS first\nCOPY keys /k\n"
        "FROM first\nCOPY --from=other /other/id.pub /p\n"
        "RUN --mount=type=secret,id=token cp /run/secrets/token /told\n"
    )
    flags = ("--secret", f"id=token,src={tmp_path}/token")

    def told(*more):
        checked = rootless("build", "--call=check,format=json", *flags, *more, context)
        found = json.loads(checked.stdout)["warnings"] or []
        assert checked.exit == (1 if found else 0)
        assert {one["ruleName"] for one in found} <= {"SecretsInLayer"}
        return [(one["location"]["ranges"][0]["start"]["line"], one["detail"]) for one in found]

    would = "a private key would be in a layer, for whoever gets that: keys/id"
    assert told() == [(4, would)]
    rootless.ok("build", "-q", "-t", "x", *flags, context)
    key = (4, "a private key is in a layer, for whoever gets that: /k/id")
    assert sorted(told()) == [
        key,
        (7, "the secret 'token' is in a layer, for whoever gets that: /told"),
    ]
    assert told("--target", "first") == [key]
    (context / ".dockerignore").write_text("**/id\n")
    assert told("--target", "first") == []
    text = (context / "Dockerfile").read_text()
    (context / ".dockerignore").unlink()
    (context / "Dockerfile").write_text(f"# check=skip=SecretsInLayer\n{text}")
    assert told() == []


def test_a_build_warns_with_file_and_line(rootless, context):
    (context / "Dockerfile").write_text("FROM scratch as a\nENV x=$y z=$y\n")
    for _ in range(2):  # cached, too
        built = rootless("build", "--progress=plain", context)
        assert built.exit == 0
        said = [line for line in built.stderr.splitlines() if line.startswith("warning: ")]
        name = f"warning: {context}/Dockerfile"
        assert said == [
            f"{name}:1: FromAsCasing: 'as' and 'FROM' keywords' casing do not match",
            f"{name}:2: UndefinedVar: Usage of undefined variable '$y'",
        ]
    assert rootless("build", "-q", context).stderr == ""


def test_a_build_fails_where_findings_are_errors(rootless, context):
    (context / "Dockerfile").write_text("# check=error=true\nFROM scratch as a\nWORKDIR /x\n")
    failed = rootless("build", "--progress=plain", context)
    assert failed.exit == 1
    assert "lint violation found for rules: FromAsCasing" in failed.stderr
    assert "WORKDIR" not in failed.stderr
    argument = "--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=all;error=true"
    assert rootless("build", argument, context).exit == 0
