"""The checks beside docker's: every case of tests/corpus/checks."""

from __future__ import annotations

import json

import pytest

from rootless.build.plan.stages import platform_arguments
from rootless.dockerfile import parse
from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.ignore import Ignore
from rootless.dockerfile.instructions import From
from rootless.dockerfile.lint import Asked, Options, check, rules
from rootless.errors import UsageError
from rootless.oci.config import ImageConfig
from rootless.oci.platform import Platform
from tests.support import checks

LINUX = Platform.parse("linux/amd64")
CONFIGS = {
    "scratch": ImageConfig(LINUX),
    "checkbase": ImageConfig(LINUX, env=("FROM_BASE=1",), shell=("/bin/bash", "-c")),
    "checktriggers": ImageConfig(
        LINUX, onbuild=("ENV TOKEN x", "WORKDIR relative", "LABEL a=$NOWHERE")
    ),
    "127.0.0.1:5000/foreign": ImageConfig(Platform.parse("linux/arm64")),
}
NEEDED = {  # stages, where a target leaves some out
    "target": (1,),
    "target-first": (0,),
    "triggers-reach": (0, 2, 3),
    "mount-reach": (0, 2),
}
CASES = {case["name"]: case for case in checks.cases()}


def findings(case):
    flags = case.get("flags", [])
    given = dict(zip(flags[::2], flags[1::2], strict=True))
    pairs = zip(flags[::2], flags[1::2], strict=True)
    build_args = dict(value.split("=", 1) for name, value in pairs if name == "--build-arg")
    platform = Platform.parse(given.get("--platform", "linux/amd64"))
    dockerfile = parse(case["dockerfile"].encode())
    stages = [one for one in dockerfile.instructions if isinstance(one, From)]
    target = given.get("--target", "")

    def base(number):
        image = stages[number].image.replace("${Base}", "scratch").replace("$S", "one")
        for at, one in enumerate(stages[:number]):
            if one.name == image:
                return at
        return CONFIGS.get(image, CONFIGS["scratch"])

    asked = Asked(
        base=base,
        platform=lambda number: platform if "foreign" in stages[number].image else None,
        needs=lambda number: number in NEEDED.get(case["name"], [number]),
        build_args=build_args,
        arguments=platform_arguments(platform, target or stages[-1].name),
        ignore=Ignore.parse(case["ignore"].encode()) if "ignore" in case else None,
    )
    found = check(dockerfile, asked, Options.of(dockerfile, build_args))
    return sorted(
        [one.rule, one.detail, one.location.start_line, one.location.end_line] for one in found
    )


@pytest.mark.parametrize("name", CASES)
def test_the_findings_are_dockers(name):
    case = CASES[name]
    try:
        found = findings(case)
    except (DockerfileError, UsageError):
        assert case["answer"]["error"]
        return
    expected = sorted(case["answer"]["warnings"])
    if case["answer"]["error"]:
        assert [one for one in expected if one not in found] == []  # docker stops there
    else:
        assert found == expected


def test_rules_are_described_in_dockers_words():
    said = json.loads((checks.CASES.parent / "rules.json").read_text())
    assert {name: [rules.description(name), rules.url(name)] for name in rules.RULES} == said


def test_every_rule_is_found_in_some_case():
    found = {one[0] for case in CASES.values() for one in case["answer"]["warnings"]}
    assert found == set(rules.RULES)


def test_a_base_that_nobody_knows_makes_no_guesses():
    dockerfile = parse(b"FROM nobody/knows\nENV a=$b\nCMD x\nWORKDIR c\n")
    found = check(dockerfile, Asked(base=lambda _number: None), Options())
    assert [one.rule for one in found] == ["WorkdirRelativePath"]


def test_a_long_name_is_compared_with_nothing():
    known = "A" * 100_000
    dockerfile = parse(f"FROM scratch\nENV {known[:50_000]}=1\nENV b=${known[:50_001]}\n".encode())
    found = check(dockerfile, Asked(base=lambda _number: CONFIGS["scratch"]), Options())
    assert [one.rule for one in found] == ["UndefinedVar"]
    assert "did you mean" not in found[0].detail
