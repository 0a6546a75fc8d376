"""What container.json keeps: all of a container, and how an image made of it is to run."""

from __future__ import annotations

import json

import pytest

from rootless import leanjson
from rootless.container import spec, start
from rootless.container.request import Request
from rootless.errors import IntegrityError
from rootless.network.choice import Choice
from rootless.network.ports import PortMapping
from rootless.oci.config import Healthcheck, ImageConfig, decode_run, encode_run
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


def request(**fields):
    return Request("base", Choice("none"), "/run", **fields)


def test_a_record_comes_back_as_it_was():
    container = spec.Container(
        "0" * 64,
        "web",
        "busybox",
        Digest.of(b"x"),
        ("sh", "-c", "a\nb"),
        1.5,
        mount_points=("/data",),
        config=encode_run(IMAGE),
    )
    again = spec.decode(leanjson.loads(leanjson.dumps(spec.encode(container))))
    assert again == container
    assert ImageConfig(IMAGE.platform, **decode_run(again.config)) == IMAGE


def test_a_record_of_an_older_version_has_no_config():
    container = spec.Container("0" * 64, "web", "busybox", Digest.of(b"x"), ("sh",), 1.5)
    old = json.loads(leanjson.dumps(spec.encode(container)))
    del old["config"], old["mount_points"]
    assert spec.decode(old) == container
    with pytest.raises(IntegrityError, match="config is not an object"):
        spec.decode({**old, "config": []})


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
        ({"ports": (PortMapping(81, 8080),)}, {"exposed_ports": ("80/tcp", "81/tcp")}),
        ({"ports": (PortMapping(80, 8080),)}, {}),
        ({"hostname": "h"}, {}),
    ],
)
def test_the_image_and_what_the_user_changed(fields, differs):
    """As docker 28.5 has it in a container's Config."""
    assert start.configured(request(**fields), IMAGE) == IMAGE.replace(**differs)


def test_shell_and_triggers_stay_with_the_image():
    base = IMAGE.replace(shell=("/bin/bash", "-c"), onbuild=("RUN x",))
    assert start.configured(request(), base) == IMAGE
