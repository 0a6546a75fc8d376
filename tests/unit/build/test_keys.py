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


def of_run(flags, *, build_args=None):
    text = f"FROM x\nARG N\nRUN {flags} a\n".encode()
    planned = stages.plan(parse(text), build_args or {}, AMD64)
    planned = planned.replace(allow=frozenset({"security.insecure", "network.host", "device"}))
    (step,) = steps.resolve(planned, planned.target, ImageConfig(AMD64)).steps
    return keys.canonical(step.action, AMD64, "default")


def test_what_counts_of_mounts():
    """As in docker: of a cache its place only; of a secret all but what it is."""
    plain = of_run("")
    assert plain == of_run("", build_args={"http_proxy": "p", "BUILDKIT_CACHE_MOUNT_NS": "n"})
    cache = of_run("--mount=type=cache,target=/c")
    assert cache == of_run("--mount=type=cache,target=/c,id=other,sharing=locked,uid=3,mode=0700")
    different = [
        *(plain, cache, of_run("--mount=type=cache,target=/d"), of_run("--security=insecure")),
        *(
            of_run("--mount=type=tmpfs,target=/c"),
            of_run("--mount=target=/c"),
            of_run("--device=a/b=c"),
        ),
        *(
            of_run("--mount=target=/c,rw"),
            of_run("--mount=type=ssh"),
            of_run("--mount=type=ssh,id=a"),
        ),
        *(of_run("--mount=type=secret,id=a"), of_run("--mount=type=secret,id=b")),
        *(of_run("--mount=type=secret,id=a,required"), of_run("--mount=type=secret,id=a,env=A")),
        *(of_run("--network=none"), of_run("--network=host")),
    ]
    assert len({repr(one) for one in different}) == len(different)
