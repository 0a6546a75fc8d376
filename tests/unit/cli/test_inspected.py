"""What `inspect --format` makes of docker's own answers, and that ours have their shape.

tests/corpus/inspect holds what docker 28 said: of an image from a registry and one that it built,
of containers created, exited and running, and what its --format made of each.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rootless.cli import inspect as verb
from rootless.cli.template import BAD_TEMPLATE, Template
from rootless.container.inspection import Inspection as ContainerInspection
from rootless.container.spec import Container, ContainerSpec, Mount
from rootless.container.state import ContainerState
from rootless.errors import RootlessError
from rootless.image.inspection import Inspection, run_config
from rootless.network.ports import PortMapping
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Manifest
from rootless.oci.reference import Reference
from rootless.sandbox import caps
from rootless.store.images import Image

RECORDED = Path(__file__).parents[2] / "corpus" / "inspect"
NAMES = ("container_created", "container_exited", "container_running", "image_bb", "image_full")


def recorded(name):
    (value,) = json.loads((RECORDED / f"{name}.json").read_text())
    return value


def _rendered(case):
    kind = case["of"].partition("_")[0]
    template = Template(case["format"], exit_code=BAD_TEMPLATE)
    return verb.rendered(template, verb.Found(kind, recorded(case["of"])))


def _less_types(said):
    """An answer without the type of a value that JSON made: interface {}, json.Number."""
    return said[0], re.sub(r"(in type|; got) .*", r"\1 …", said[1]) if said[0] else said[1]


@pytest.mark.parametrize("name", NAMES)
def test_docker_answers(name):
    lines = (RECORDED / "formats.jsonl").read_text().splitlines()
    cases = [one for one in map(json.loads, lines) if one["of"] == name]
    assert len(cases) > 30
    wrong = []
    for case in cases:
        if case["format"] == "json":
            continue
        try:
            said = (0, _rendered(case) + "\n")
        except RootlessError as error:
            said = (64 if error.exit_code == BAD_TEMPLATE else 1, error.message)
        expected = (case["exit"], case["err"] if case["exit"] else case["out"])
        said, expected = _less_types(said), _less_types(expected)
        if said != expected:
            wrong.append((case["format"], expected, said))
    assert not wrong, "\n".join(map(str, wrong))


def _image(name, shown):
    content = (RECORDED / f"config_{name}.json").read_bytes()
    digest = Digest.of(content)
    config = Descriptor("application/vnd.oci.image.config.v1+json", digest, len(content))
    manifest = Manifest("application/vnd.oci.image.manifest.v1+json", config, ())
    image = Image(
        Descriptor(manifest.media_type, digest, 1),
        manifest,
        ImageConfig.decode(content),
        tuple(map(Reference.parse, shown["RepoTags"])),
        tuple(map(Reference.parse, shown["RepoDigests"])),
    )
    return Inspection(image, run_config(content), shown["Size"], ("/top", "/middle", "/base"))


@pytest.mark.parametrize("name", ["bb", "full"])
def test_an_image_is_shown_as_docker_shows_it(name):
    theirs = recorded(f"image_{name}")
    ours = _image(name, theirs).encode()
    assert ours.pop("GraphDriver") == {
        "Data": {"LowerDir": "/middle:/base", "UpperDir": "/top"},
        "Name": "overlay",
    }
    assert ours.pop("Metadata").keys() == theirs.pop("Metadata").keys()
    assert ours.pop("Descriptor")["size"] == 1  # docker has it with containerd's image store
    del theirs["GraphDriver"]
    assert json.dumps(ours) == json.dumps(theirs)


def _container(theirs, state, **facts):
    """The container that docker was asked for."""
    spec = ContainerSpec(
        id=theirs["Id"],
        name=theirs["Name"][1:],
        image=theirs["Config"]["Image"],
        image_id=Digest.parse(theirs["Image"]),
        created=1.25,
        network="none",
        **facts,
    )
    return Container(spec, state)


def _alike(value, like):
    """`value` with what is the machine's own replaced by what docker said."""
    for key in ("Created", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "Driver"):
        value[key] = like[key]
    for key in ("StartedAt", "FinishedAt", "Pid", "Health"):
        if key in like["State"]:
            value["State"][key] = like["State"][key]
    for key in ("LogConfig", "Runtime", "CgroupnsMode", "OomKillDisable"):
        value["HostConfig"][key] = like["HostConfig"][key]
    for one in (value, like):
        one["HostConfig"]["MaskedPaths"].sort()
        one["HostConfig"]["ReadonlyPaths"].sort()
        one["GraphDriver"] = sorted(one["GraphDriver"]["Data"])
    for network in (value["NetworkSettings"], like["NetworkSettings"]):
        for key in ("NetworkID", "EndpointID"):
            network["Networks"]["none"][key] = ""
        network.update(dict.fromkeys(("SandboxID", "SandboxKey"), ""))
    return value


def test_a_container_is_shown_as_docker_shows_it():
    theirs = recorded("container_exited")
    mounts = (
        Mount("bind", "/mnt", "/tmp/mnt", read_only=True, options=("create",), flag="-v"),
        Mount("tmpfs", "/t", options=("size=1m",), flag="--tmpfs"),
    )
    container = _container(
        theirs,
        ContainerState("exited", started=2, finished=2.5, exit_code=3),
        config={
            "User": "0:0",
            "Env": theirs["Config"]["Env"],
            "Cmd": theirs["Config"]["Cmd"],
            "WorkingDir": "/tmp",
            "Labels": {"l": "v"},
        },
        hostname="hosty",
        mounts=mounts,
        hosts=(("1.2.3.4", "x"),),
        read_only=True,
        capabilities=caps.DEFAULT - {"CHOWN"} | {"NET_ADMIN"},
    )
    ours = ContainerInspection(container, "/home", 0, ("/base",)).encode()
    assert ours["Created"] == "1970-01-01T00:00:01.25Z"
    assert ours["State"]["FinishedAt"] == "1970-01-01T00:00:02.5Z"
    assert list(ours) == list(theirs)
    for part in ("State", "Config", "NetworkSettings"):
        assert list(ours[part]) == list(theirs[part])
    assert _alike(ours, theirs) == theirs


def test_a_running_container_is_shown_as_docker_shows_it():
    theirs = recorded("container_running")
    run = theirs["Config"]
    names = ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels")
    config = {name: run[name] for name in (*names, "Healthcheck", "StopSignal")}
    ports = (PortMapping(80, 8080, "127.0.0.1"),)
    container = _container(
        theirs,
        ContainerState("running", started=2, ports=ports),
        config=config,
        hostname=run["Hostname"],
        ports=ports,
        interactive=True,
        init=True,
    )
    ours = ContainerInspection(container, "/home", 7, ("/base",), (1, 3)).encode()
    assert (ours.pop("SizeRw"), ours.pop("SizeRootFs"), ours["State"]["Pid"]) == (1, 3, 7)
    assert ours["NetworkSettings"]["Ports"] == {
        "53/udp": None,
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
    }
    ours["NetworkSettings"]["Ports"] = theirs["NetworkSettings"]["Ports"]  # of no network: none
    ours["Mounts"] = theirs["Mounts"]  # volumes have names of their own
    for key in ("AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"):
        ours["Config"][key] = theirs["Config"][key]  # docker's was detached
    assert _alike(ours, theirs) == theirs
