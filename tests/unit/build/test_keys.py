"""What makes a cache key, and what does not."""

import pytest

from rootless.build.cache.key import key as cache_key
from rootless.build.plan import keys, stages, steps
from rootless.build.plan.actions import RunCommand
from rootless.dockerfile import parse
from rootless.oci.config import ImageConfig
from rootless.oci.platform import Platform

AMD64 = Platform.parse("linux/amd64")


def key(lines, *, chain="", contents="", build_args=None, network="default"):
    """The key of the last step."""
    planned = stages.plan(parse(f"FROM x\n{lines}\n".encode()), build_args or {}, AMD64)
    step = steps.resolve(planned, planned.target, ImageConfig(AMD64)).steps[-1]
    return cache_key(keys.canonical(step.action, AMD64, network), contents, (chain,))


@pytest.mark.parametrize(
    "lines",
    ["RUN b", "ENV A=1\nRUN a", "USER u\nRUN a", "WORKDIR /w\nRUN a", 'SHELL ["s"]\nRUN a',
     "ARG A=1\nRUN a", "RUN --network=none a", "RUN <<E\na\nE"],
)  # fmt: skip
def test_what_a_command_depends_on(lines):
    assert key(lines) != key("RUN a")


@pytest.mark.parametrize(
    "lines", ["LABEL a=b\nRUN a", "CMD x\nRUN a", "run   a", "EXPOSE 1\nRUN a"]
)
def test_what_a_command_does_not_depend_on(lines):
    assert key(lines) == key("RUN a")


def test_a_command_depends_on_the_platform():
    """One base may lie in the store for two of them, with the same layers."""
    command = RunCommand(("a",), {}, "/", "", "default")
    arm = Platform.parse("linux/arm64")
    assert keys.canonical(command, AMD64, "default") != keys.canonical(command, arm, "default")


def test_proxies_are_not_in_the_key():
    assert key("RUN a", build_args={"http_proxy": "p"}) == key("RUN a")


def test_layers_below_and_network_are():
    assert key("RUN a", chain="sha256:1") != key("RUN a")
    assert key("RUN a", network="none") != key("RUN a")


@pytest.mark.parametrize(
    "line", ["COPY a /e", "COPY a /d/", "COPY --chown=1 a /d", "COPY --chmod=1 a /d", "ADD a /d",
             "COPY <<a /d\nx\na"],
)  # fmt: skip
def test_what_a_copy_depends_on(line):
    assert key(line) != key("COPY a /d")


def test_a_copy_depends_on_contents_not_on_where_they_lie():
    assert key("COPY x/a /d", contents="c") == key("COPY a /d", contents="c")
    assert key("COPY a /d", contents="c") != key("COPY a /d", contents="e")
    assert key("COPY <<a /d\nx\na") != key("COPY <<a /d\ny\na")
