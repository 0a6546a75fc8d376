"""Whatever container.json says, inspecting it ends with a value or with a complaint."""

from __future__ import annotations

import copy

from rootless.cli import inspected, jsontext
from rootless.cli.template import Template
from rootless.container import spec
from rootless.container.inspection import Inspection
from rootless.errors import IntegrityError

RECORD = {
    "id": "a" * 64,
    "name": "web",
    "image": "base",
    "image_id": "sha256:" + "b" * 64,
    "command": ["sh"],
    "created": 1.5,
    "ports": ["0.0.0.0:80->80/tcp"],
    "network": "pasta",
    "mounts": ["/src"],
    "mount_points": ["/dst"],
    "config": {
        "User": "u",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=b"],
        "Cmd": ["sh"],
        "Volumes": {"/v": {}},
        "Labels": {"a": "b"},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5},
    },
    "asked": {
        "Config": {"Hostname": "h", "Tty": True},
        "HostConfig": {
            "Binds": ["/src:/dst"],
            "CapAdd": ["CAP_X"],
            "Tmpfs": {"/t": ""},
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]},
        },
        "Mounts": [{"Type": "bind", "Source": "/src", "Destination": "/dst"}],
    },
    "remove": False,
}
TEMPLATE = Template("{{.}} {{json .}}")
ODD: tuple[object, ...] = (
    None,
    5,
    -1,
    "x",
    "",
    True,
    [],
    {},
    [5],
    ["x"],
    [{}],
    {"a": 5},
    {"80/tcp": 5},
    [None],
)


def _places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _places(item, (*path, number))


def _with(path, odd):
    record = copy.deepcopy(RECORD)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    return record


def _shown(record):
    container = spec.decode(record)
    value = Inspection(container, "/home", 1, ()).encode()
    jsontext.indented(value)
    TEMPLATE.render(inspected.container(value))
    return value


def test_a_record_is_shown():
    value = _shown(RECORD)
    assert value["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]
    }
    assert value["Config"]["Hostname"] == "h"


def test_anything_odd_in_a_record_is_shown_or_named():
    shown = named = 0
    for path in _places(RECORD):
        for odd in ODD if path else ():
            try:
                _shown(_with(path, odd))
                shown += 1
            except IntegrityError:
                named += 1
    assert shown > 100
    assert named > 100
