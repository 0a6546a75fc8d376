"""Stages: their bases, their names, and ARG before FROM."""

import pytest

from rootless.build.plan import stages as planning
from rootless.dockerfile import DockerfileError, parse
from rootless.errors import RootlessError
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference

AMD64 = Platform.parse("linux/amd64")


def plan(text, build_args=None, target=""):
    return planning.plan(parse(text.encode()), build_args or {}, AMD64, target)


def bases(planned):
    return [one.base for one in planned.stages]


def test_a_base_is_an_image_an_earlier_stage_or_nothing():
    planned = plan("FROM scratch\nFROM busybox AS Tools\nFROM tools\nFROM tools:1\n")
    assert bases(planned) == [None, Reference.parse("busybox"), 1, Reference.parse("tools:1")]
    assert [one.name for one in planned.stages] == ["", "tools", "", ""]


def test_a_stage_that_comes_later_is_an_image():
    assert bases(plan("FROM tools\nFROM busybox AS tools\n"))[0] == Reference.parse("tools")


def test_global_arguments_serve_from():
    text = "ARG V=3.12\nARG NAME=python:$V\nFROM ${NAME}-alpine\nRUN true\n"
    assert bases(plan(text)) == [Reference.parse("python:3.12-alpine")]
    assert bases(plan(text, {"V": "3.13"})) == [Reference.parse("python:3.13-alpine")]
    assert bases(plan(text, {"NAME": "pypy"})) == [Reference.parse("pypy-alpine")]


def test_a_stage_argument_does_not_serve_a_later_from():
    with pytest.raises(DockerfileError, match=r"Dockerfile:3: FROM has no image name"):
        plan("FROM busybox\nARG V=x\nFROM $V\n")


def test_platform_flag_may_name_the_build_platform():
    planned = plan(
        "FROM --platform=$BUILDPLATFORM busybox AS a\nFROM --platform=arm64 busybox\nFROM a"
    )
    host, arm = Platform.host(), Platform.parse("linux/arm64")
    assert [one.platform for one in planned.stages] == [host, arm, host]


def test_a_bad_platform_shows_its_line():
    with pytest.raises(DockerfileError, match=r"Dockerfile:1: 'a b' is not a platform"):
        plan("FROM --platform=${X:-'a b'} busybox\n")


@pytest.mark.parametrize(("target", "number"), [("", 2), ("b", 1), ("B", 1), ("0", 0)])
def test_target_by_name_or_number(target, number):
    assert plan("FROM x AS a\nFROM x AS b\nFROM x AS c\n", target=target).target.number == number


def test_unknown_target_lists_the_stages():
    with pytest.raises(RootlessError, match=r"'d' could not be found") as caught:
        plan("FROM x AS a\nFROM x\n", target="d")
    assert caught.value.hint == "stages: a, 1"


def test_build_arguments_nobody_asks_for():
    args = {"A": "1", "B": "2", "http_proxy": "p", "BUILDKIT_INLINE_CACHE": "1", "C": "3"}
    planned = plan("ARG A\nFROM x\nARG B\n", args)
    assert list(planned.warnings()) == ["one or more build-args [C] were not consumed"]


def test_what_was_meant_is_said():
    planned = plan("FROM x AS base\nARG VERSION\n", {"VERSON": "1"})
    assert next(planned.warnings()).endswith("were not consumed: did you mean VERSION?")
    with pytest.raises(RootlessError, match="'bsae' could not be found") as caught:
        plan("FROM x AS base\nFROM y\n", target="bsae")
    assert caught.value.hint == "did you mean base? stages: base, 1"


def test_quotes_that_make_no_json():
    (said,) = plan("FROM x\nRUN [ -f x ] && echo [y]\nCMD ['a', 'b']\n").warnings()
    assert said.startswith("line 3: ['a', 'b'] is no JSON array")
    assert "double quotes" in said


def test_the_images_that_the_target_needs():
    text = (
        "FROM a AS base\nFROM unused AS other\nCOPY --from=unused2 / /\nFROM base AS mid\n"
        "COPY --from=b / /\nCOPY --from=mid-typed:1 / /\nFROM scratch\nCOPY --from=2 / /\n"
        "COPY --from=BAD / /\nCOPY --from=base / /\n"
    )
    planned = plan(text)
    assert sorted(str(name) for name, _ in planned.images()) == [
        "docker.io/library/a:latest",
        "docker.io/library/b:latest",
        "docker.io/library/mid-typed:1",
    ]
