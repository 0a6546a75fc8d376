from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import IntegrityError
from rootless.oci.config import Healthcheck, History, ImageConfig
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform

DIFF_ID = Digest.of(b"layer")
FULL = ImageConfig(
    platform=Platform("linux", "arm", "v7"),
    created="2024-01-02T03:04:05Z",
    author="me <me@example.com>",
    user="1000:1000",
    env=("PATH=/bin", "EMPTY=", "A=b=c"),
    entrypoint=("/init", "--"),
    cmd=(),
    working_dir="/w",
    labels={"k": "v", "ü": "\u2028"},
    exposed_ports=("80/tcp", "53/udp"),
    volumes=("/data",),
    stop_signal="SIGQUIT",
    shell=("/bin/bash", "-c"),
    healthcheck=Healthcheck(("CMD", "true"), interval=10**9, timeout=5, retries=3),
    onbuild=("RUN true",),
    diff_ids=(DIFF_ID, DIFF_ID),
    history=(
        History("2024-01-02T03:04:05Z", "RUN true", "c", "a"),
        History(created_by="ENV", empty_layer=True),
    ),
)
BARE = ImageConfig(Platform("linux", "amd64"))


@pytest.mark.parametrize("config", [FULL, BARE, BARE.replace(cmd=("sh",), entrypoint=())])
def test_what_we_write_we_read(config):
    content = config.encode()
    assert ImageConfig.decode(content) == config
    assert ImageConfig.decode(content).encode() == content


def test_dockers_names():
    value = json.loads(FULL.encode())
    assert value["architecture"], value["variant"] == ("arm", "v7")
    assert value["config"]["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert value["config"]["Healthcheck"] == {
        "Test": ["CMD", "true"], "Interval": 10**9, "Timeout": 5, "Retries": 3,
    }  # fmt: skip
    assert value["config"]["Cmd"] == []
    assert value["config"]["OnBuild"] == ["RUN true"]
    assert value["rootfs"] == {"type": "layers", "diff_ids": [str(DIFF_ID)] * 2}
    assert value["history"][1] == {"created_by": "ENV", "empty_layer": True}
    assert set(json.loads(BARE.encode())) == {"architecture", "os", "config", "rootfs", "history"}


def decode(**value):
    return ImageConfig.decode(
        json.dumps({"architecture": "amd64", "os": "linux", **value}).encode()
    )


def test_null_is_the_same_as_missing():
    names = ("User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Labels", "ExposedPorts", "Volumes",
             "StopSignal", "Shell", "Healthcheck", "OnBuild")  # fmt: skip
    assert decode(config=dict.fromkeys(names)) == BARE
    assert decode(config=None, rootfs=None, history=None, created=None, variant=None) == BARE
    assert decode(rootfs={"type": "layers", "diff_ids": None}) == BARE


def test_unset_and_empty_are_different():
    assert decode(config={"Cmd": []}).cmd == ()
    assert decode(config={}).cmd is None


def test_fields_nobody_knows_are_let_be():
    config = decode(config={"Image": "", "ArgsEscaped": True, "Cmd": ["x"]}, container="1", id=3)
    assert config == BARE.replace(cmd=("x",))


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"config": []}, "config"),
        ({"config": {"Env": "A=b"}}, "Env"),
        ({"config": {"Env": [1]}}, "Env"),
        ({"config": {"Cmd": "sh"}}, "Cmd"),
        ({"config": {"Cmd": [["sh"]]}}, "Cmd"),
        ({"config": {"User": 0}}, "User"),
        ({"config": {"Labels": ["a"]}}, "Labels"),
        ({"config": {"Labels": {"a": 1}}}, "Labels.a"),
        ({"config": {"Volumes": ["/x"]}}, "Volumes"),
        ({"config": {"Healthcheck": {"Interval": "5s"}}}, "Healthcheck"),
        ({"rootfs": [1]}, "rootfs"),
        ({"rootfs": {"diff_ids": "sha256:"}}, "diff_ids"),
        ({"rootfs": {"diff_ids": ["sha256:../x"]}}, "is not a digest"),
        ({"history": {}}, "history"),
        ({"history": ["RUN"]}, "history"),
        ({"history": [{"created_by": 1}]}, "history.created_by"),
        ({"os": 1}, "os"),
    ],
)
def test_the_wrong_field_is_named(value, field):
    with pytest.raises(IntegrityError, match=field):
        decode(**value)


def test_environment_keeps_order_and_place():
    config = BARE.replace(env=("A=1", "B=2=2", "C"))
    assert config.environment == {"A": "1", "B": "2=2", "C": ""}
    assert config.with_env({"B": "x"}).env == ("A=1", "B=x", "C=")
    assert config.with_env({"D": ""}).env == ("A=1", "B=2=2", "C=", "D=")


words = st.text(max_size=8)
configs = st.builds(
    ImageConfig,
    platform=st.just(Platform("linux", "amd64")),
    user=words,
    env=st.lists(words.map(lambda word: f"A={word}")).map(tuple),
    entrypoint=st.none() | st.lists(words).map(tuple),
    cmd=st.none() | st.lists(words).map(tuple),
    labels=st.dictionaries(words, words),
    history=st.lists(st.builds(History, words, words, words, words, st.booleans())).map(tuple),
)


@given(configs)
def test_any_words_come_back(config):
    assert ImageConfig.decode(config.encode()) == config
