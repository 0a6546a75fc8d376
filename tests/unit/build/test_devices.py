"""Devices for commands: docker's spelling of a node, and names of CDI files."""

from __future__ import annotations

import json

import pytest

from rootless.build.carry.devices import Granted, of_flag, of_step
from rootless.errors import NotFoundError, RootlessError
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
        ("/dev/zero:r", ZERO.replace(read_only=True)),
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
        Bind("/dev/zero", "/dev/foo", read_only=True, why=WHY),
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
