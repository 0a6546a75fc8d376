"""Devices for commands: docker's spelling of a node, and names of CDI files."""

from __future__ import annotations

import json
import os

import pytest

from rootless.errors import NotFoundError, RootlessError
from rootless.sandbox.hardware import Granted, every, gpus, of_flag, of_step
from rootless.sandbox.operations.tree import Bind

WHY = "a device of this machine"
ZERO = Bind("/dev/zero", "/dev/zero", why=WHY)


@pytest.fixture
def folders(tmp_path):
    """What a driver installs, and a file that is none."""
    (tmp_path / "vendor.json").write_text(
        json.dumps(
            {
                "cdiVersion": "0.6.0",
                "kind": "vendor.com/device",
                "devices": [
                    {
                        "name": "foo",
                        "containerEdits": {
                            "deviceNodes": [
                                {"path": "/dev/foo", "hostPath": "/dev/zero", "permissions": "r"}
                            ],
                            "mounts": [
                                {"hostPath": "/usr/lib", "containerPath": "/l", "options": ["ro"]}
                            ],
                            "env": ["FOO=bar=x"],
                        },
                    },
                    {"name": "gone", "containerEdits": {"deviceNodes": [{"path": "/dev/gone"}]}},
                    {"name": "odd", "containerEdits": {"deviceNodes": [{"hostPath": "/dev/x"}]}},
                ],
                "containerEdits": {"env": ["ALL=1"]},
            }
        )
    )
    (tmp_path / "readme.txt").write_text("{")
    return (str(tmp_path), "/nonexistent")


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        ("/dev/zero", ZERO),
        ("/dev/zero:/dev/mine", ZERO.replace(path="/dev/mine")),
        ("/dev/zero:r", ZERO),
        ("/dev/zero:/dev/mine:rwm", ZERO.replace(path="/dev/mine")),
    ],
)
def test_nodes(text, bind):
    assert of_flag(text) == Granted((bind,))


def test_what_a_cdi_file_says(folders):
    granted = of_step("vendor.com/device=foo", folders)
    assert granted == of_flag("vendor.com/device=foo", folders)
    assert granted == of_step("name=vendor.com/device=foo,required=true", folders)
    assert granted.env == (("ALL", "1"), ("FOO", "bar=x"))
    assert granted.binds == (
        Bind("/dev/zero", "/dev/foo", why=WHY),
        Bind("/usr/lib", "/l", read_only=True, why="what a CDI device needs"),
    )
    assert of_step("vendor.com/device=nope,required=false", folders) == Granted()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vendor.com/device=fop", "there is no CDI device vendor.com/device=fop"),
        ("vendor.com/device=gone", "the device /dev/gone cannot be shown"),
        ("vendor.com/device=odd", "is no CDI file"),
        ("vendor.com/device", "is not a device"),
        ("foo", "is not a device"),
        ("a/b=c,bad=1", "unexpected key 'bad'"),
    ],
)
def test_what_is_no_device(folders, text, problem):
    with pytest.raises(RootlessError, match=problem) as caught:
        of_step(text, folders)
    if "fop" in text:
        assert caught.value.hint == "did you mean vendor.com/device=foo?"


@pytest.mark.parametrize(
    "text", ["/dev/nonexistent", "/etc/passwd", "/dev/zero:x:y:z", "/dev/zero:x"]
)
def test_what_is_no_node(text):
    with pytest.raises(RootlessError):
        of_flag(text)


def test_a_file_that_is_broken_is_named(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(RootlessError, match=r"bad\.json"):
        of_step("a/b=c", (str(tmp_path),))
    with pytest.raises(NotFoundError):
        of_step("a/b=c", ())


YAML = """
cdiVersion: "0.5.0"
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes: [{path: /dev/zero}]
- name: all
  containerEdits:
    deviceNodes:
    - path: /dev/zero
    - {path: /dev/null, hostPath: /dev/full}
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  hooks: [{hookName: createContainer, path: /usr/bin/nvidia-ctk}]
"""


def test_yaml_and_graphics_processors(tmp_path):
    (tmp_path / "nvidia.yaml").write_text(YAML)
    folders = (str(tmp_path),)
    assert gpus(None, (), folders) == ["nvidia.com/gpu=all"]
    assert gpus(2, (), folders) == ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    assert gpus(None, ("0",), folders) == ["nvidia.com/gpu=0"]
    granted = of_flag("nvidia.com/gpu=all", folders)
    assert granted.env == (("NVIDIA_VISIBLE_DEVICES", "void"),)
    assert [(one.source, one.path) for one in granted.binds] == [
        ("/dev/zero", "/dev/zero"), ("/dev/full", "/dev/null"),
    ]  # fmt: skip
    with pytest.raises(NotFoundError, match="no CDI file of this machine describes a GPU"):
        gpus(None, (), ())


@pytest.mark.parametrize("text", ["a: [", "!!python/object:os.system {}", "a: &a [*a", "\0"])
def test_yaml_that_is_none(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(RootlessError, match=r"bad\.yaml is no YAML"):
        of_flag("a/b=c", (str(tmp_path),))


def test_the_first_folder_goes_before_the_second(tmp_path):
    for name, path in (("run", "/dev/zero"), ("etc", "/dev/full")):
        (tmp_path / name).mkdir()
        told = {
            "kind": "a/b",
            "devices": [{"name": "c", "containerEdits": {"deviceNodes": [{"path": path}]}}],
        }
        (tmp_path / name / "x.json").write_text(json.dumps(told))
    found = of_flag("a/b=c", (str(tmp_path / "run"), str(tmp_path / "etc")))
    assert found.binds[0].source == "/dev/zero"


def test_a_folder_stands_for_its_devices(tmp_path):
    """/dev/pts always has ptmx; nothing else in there is certain."""
    found = of_flag("/dev/pts:/dev/theirs").binds
    assert ("/dev/pts/ptmx", "/dev/theirs/ptmx") in [(one.source, one.path) for one in found]
    with pytest.raises(NotFoundError, match="there is no device in"):
        of_flag(str(tmp_path))


def test_every_device_but_those_a_container_has_anyway():
    found = {one.path for one in every()}
    assert not {path for path in found if path.startswith(("/dev/tty", "/dev/pts", "/dev/null"))}
    for path in ("/dev/fuse", "/dev/kmsg"):
        assert (path in found) == (os.path.exists(path) and os.access(path, os.R_OK))
