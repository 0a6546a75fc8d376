"""What `-c` of commit and import does to a config; the table is what docker 28.5 answered."""

from __future__ import annotations

import pytest

from rootless.build.plan.changes import ALLOWED, Changes
from rootless.errors import UsageError
from rootless.oci.config import DEFAULT_PATH, Healthcheck, History, ImageConfig
from rootless.oci.platform import Platform

BASE = ImageConfig(
    Platform.parse("linux/amd64"),
    created="2020-01-02T03:04:05Z",
    user="0",
    env=("PATH=/bin", "A=1", "B=2"),
    entrypoint=("/bin/sh", "-c"),
    cmd=("echo hi",),
    working_dir="/wd",
    labels={"l1": "a", "l2": "b"},
    exposed_ports=("80/tcp",),
    volumes=("/vol",),
    stop_signal="SIGINT",
    healthcheck=Healthcheck(("CMD-SHELL", "true")),
    history=(History(created_by="base"),),
)
DOCKER = [
    (["CMD ['x']"], {"cmd": ("/bin/sh", "-c", "['x']")}),
    (['CMD ["x"]'], {"cmd": ("x",)}),
    (["CMD x y"], {"cmd": ("/bin/sh", "-c", "x y")}),
    (["cmd z"], {"cmd": ("/bin/sh", "-c", "z")}),
    (["CMD ["], {"cmd": ("/bin/sh", "-c", "[")}),
    (["CMD []"], {"cmd": ()}),
    (["ENTRYPOINT x"], {"entrypoint": ("/bin/sh", "-c", "x"), "cmd": None}),
    (['ENTRYPOINT ["a","b"]'], {"entrypoint": ("a", "b"), "cmd": None}),
    (['ENTRYPOINT ["a"]', "CMD c"], {"entrypoint": ("a",), "cmd": ("/bin/sh", "-c", "c")}),
    (["CMD c", 'ENTRYPOINT ["a"]'], {"entrypoint": ("a",), "cmd": ("/bin/sh", "-c", "c")}),
    (["ENV Z=1 Y=$A"], {"env": ("PATH=/bin", "A=1", "B=2", "Z=1", "Y=1")}),
    (["ENV PATH=/x:$PATH"], {"env": ("PATH=/x:/bin", "A=1", "B=2")}),
    (["ENV A=1\nENV B=9"], {"env": ("PATH=/bin", "A=1", "B=9")}),
    (["EXPOSE 99"], {"exposed_ports": ("80/tcp", "99/tcp")}),
    (["LABEL k=v l2=c"], {"labels": {"l1": "a", "l2": "c", "k": "v"}}),
    (["ONBUILD RUN x"], {"onbuild": ("RUN x",)}),
    (["STOPSIGNAL SIGKILL"], {"stop_signal": "SIGKILL"}),
    (["USER bob"], {"user": "bob"}),
    (["USER $B"], {"user": "2"}),
    (["VOLUME /v2"], {"volumes": ("/vol", "/v2")}),
    (["WORKDIR rel"], {"working_dir": "/wd/rel"}),
    (["WORKDIR /abs"], {"working_dir": "/abs"}),
    (["WORKDIR $A"], {"working_dir": "/wd/1"}),
    (["HEALTHCHECK NONE"], {"healthcheck": Healthcheck(("NONE",))}),
    (["HEALTHCHECK CMD foo"], {"healthcheck": Healthcheck(("CMD-SHELL", "foo"))}),
]


@pytest.mark.parametrize(("texts", "differs"), DOCKER, ids=lambda one: str(one)[:40])
def test_a_change_does_what_docker_does(texts, differs):
    assert Changes.parse(texts).apply(BASE) == BASE.replace(**differs)


def test_without_changes_nothing_changes():
    assert Changes.parse([]).apply(BASE) is BASE


def test_no_path_is_invented():
    bare = ImageConfig(Platform.parse("linux/amd64"))
    assert Changes.parse(["CMD x"]).apply(bare).env == ()
    assert Changes.parse(["ENV A=1"]).apply(bare).env == ("A=1",)
    assert Changes.parse(["ENV PATH=/x"]).apply(bare).env == ("PATH=/x",)
    has_default = bare.replace(env=(f"PATH={DEFAULT_PATH}",))
    assert Changes.parse(["CMD x"]).apply(has_default).env == has_default.env


@pytest.mark.parametrize(
    "text",
    ['SHELL ["/bin/x"]', "MAINTAINER me", "ARG x", "RUN true", "COPY a b", "ADD a b", "FROM x"],
)
def test_what_docker_does_not_allow(text):
    with pytest.raises(UsageError) as caught:
        Changes.parse(["CMD x", text])
    assert caught.value.message == f"{text.split()[0]} is not a valid change command"
    assert all(keyword in caught.value.hint for keyword in ALLOWED)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("BOGUS x", "there is no instruction 'BOGUS'"),
        ("ENV", "needs a name and a value"),
        ("EXPOSE abc", "'abc' is not a port"),
        ("STOPSIGNAL foo", "'foo' is not a signal"),
        ("VOLUME", "VOLUME needs"),
        ("ENV A=${B", "${B"),
        ("", "is no instruction"),
        ("# only a comment", "is no instruction"),
        ("\udcff", "not UTF-8 text"),
        ("LABEL a=" + "x" * 5000 + " EXPOSE", "a=x"),
    ],
)
def test_an_error_names_the_change(text, problem):
    good = ["CMD x", "ENV A=1\nENV C=2"]
    for texts in ([*good, text], [text, *good]):
        with pytest.raises(UsageError) as caught:
            Changes.parse(texts).apply(BASE)
        assert repr(text)[:50] in caught.value.message
        assert problem in caught.value.message
        assert len(caught.value.message) < 400


def test_a_change_that_ends_in_a_backslash_is_its_own():
    changed = Changes.parse(["LABEL a=b \\", "CMD c"]).apply(BASE)
    assert changed.labels["a"] == "b"
    assert changed.cmd == ("/bin/sh", "-c", "c")
