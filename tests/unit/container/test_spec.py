"""What container.json keeps: all of a container, and how an image made of it is to run."""

from __future__ import annotations

import pytest

from rootless import leanjson, record_json
from rootless.container import spec
from rootless.container.overrides import Overrides
from rootless.container.spec import ContainerSpec, Mount, Restart
from rootless.errors import IntegrityError
from rootless.network.ports import PortMapping
from rootless.oci.config import Healthcheck, ImageConfig, encode_run
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform

IMAGE = ImageConfig(
    Platform.parse("linux/amd64"),
    user="0",
    env=("PATH=/bin", "A=1", "B=2"),
    entrypoint=("/bin/sh", "-c"),
    cmd=("echo hi",),
    working_dir="/wd",
    labels={"l1": "a"},
    exposed_ports=("80/tcp",),
    volumes=("/vol",),
    stop_signal="SIGINT",
    healthcheck=Healthcheck(("CMD-SHELL", "true"), retries=3),
)


CONTAINER = ContainerSpec(
    "0" * 64,
    "web",
    "busybox",
    Digest.of(b"x"),
    1.5,
    config=encode_run(IMAGE),
    mounts=(Mount("bind", "/data", "/srv", read_only=True, options=("ro", "z")),),
    ports=(PortMapping(80, 8080, "127.0.0.1"), PortMapping(53, protocol="udp")),
    hosts=(("127.0.0.1", "me"),),
    capabilities=frozenset({"CHOWN", "KILL"}),
    stop_timeout=3,
    restart=Restart("on-failure", 2),
)


def test_a_record_comes_back_as_it_was():
    again = spec.decode(leanjson.loads(leanjson.dumps(record_json.encode(CONTAINER))))
    assert again == CONTAINER
    assert again.run == IMAGE.replace(platform=again.run.platform)
    assert again.command == ("/bin/sh", "-c", "echo hi")


def test_what_is_as_usual_is_not_written():
    usual = ContainerSpec("0" * 64, "web", "busybox", Digest.of(b"x"), 1.5)
    assert record_json.encode(usual).keys() == {"id", "name", "image", "image_id", "created"}


def test_what_another_version_knows_is_passed_over():
    value = record_json.encode(CONTAINER)
    del value["mounts"]
    assert spec.decode({**value, "colour": "red"}) == CONTAINER.replace(mounts=())


@pytest.mark.parametrize(
    ("field", "odd", "told"),
    [
        ("config", [], "config is not an object"),
        ("id", None, "id is not a text"),
        ("created", -1, "created is not a time"),
        ("created", 1e300, "created is not a time"),
        ("image_id", "x", "is not a digest"),
        ("remove", 1, "remove is not a truth value"),
        ("stop_timeout", True, "stop_timeout is not a whole number"),
        ("ports", [5], "ports is not an object"),
        ("ports", [{}], "container_port is missing"),
        ("hosts", [["a"]], "hosts is not a list of 2"),
        ("restart", "no", "restart is not an object"),
        ("mounts", {}, "mounts is not a list"),
    ],
)
def test_what_is_wrong_in_a_record_is_named(field, odd, told):
    with pytest.raises(IntegrityError, match=told):
        spec.decode({**record_json.encode(CONTAINER), field: odd})


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({}, {}),
        ({"command": ("ls",)}, {"cmd": ("ls",)}),
        ({"entrypoint": ("/bin/ls",)}, {"entrypoint": ("/bin/ls",), "cmd": None}),
        (
            {"entrypoint": ("ls",), "command": ("-l",)},
            {"entrypoint": ("ls",), "cmd": ("-l",)},
        ),
        ({"entrypoint": (), "command": ("ls",)}, {"entrypoint": None, "cmd": ("ls",)}),
        ({"env": {"B": "3", "C": "4"}}, {"env": ("B=3", "C=4", "PATH=/bin", "A=1")}),
        ({"user": ""}, {"user": ""}),
        ({"user": "1000:1000"}, {"user": "1000:1000"}),
        ({"working_dir": "/other"}, {"working_dir": "/other"}),
        ({"exposed_ports": ("81/tcp",)}, {"exposed_ports": ("80/tcp", "81/tcp")}),
        ({"exposed_ports": ("80/tcp",)}, {}),
        ({"labels": {"l1": "b", "l2": ""}}, {"labels": {"l1": "b", "l2": ""}}),
        ({"stop_signal": "SIGQUIT"}, {"stop_signal": "SIGQUIT"}),
    ],
)
def test_the_image_and_what_the_user_changed(fields, differs):
    """As docker 28.5 has it in a container's Config."""
    assert Overrides(**fields).over(IMAGE) == IMAGE.replace(**differs)


def test_shell_and_triggers_stay_with_the_image():
    base = IMAGE.replace(shell=("/bin/bash", "-c"), onbuild=("RUN x",))
    assert Overrides().over(base) == IMAGE
