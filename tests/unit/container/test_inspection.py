"""Whatever container.json says, inspecting it ends with a value or with a complaint."""

from __future__ import annotations

import copy

from rootless.cli import inspected, jsontext
from rootless.cli.template import Template
from rootless.container import spec, state
from rootless.container.inspection import Inspection
from rootless.errors import IntegrityError

RECORD = {
    "id": "a" * 64,
    "name": "web",
    "image": "base",
    "image_id": "sha256:" + "b" * 64,
    "created": 1.5,
    "ports": [{"container_port": 80, "host_port": 80}],
    "network": "pasta",
    "hostname": "h",
    "terminal": True,
    "capabilities": ["X"],
    "mounts": [
        {"kind": "bind", "source": "/src", "target": "/dst", "options": ["ro"]},
        {"kind": "tmpfs", "target": "/t"},
    ],
    "config": {
        "User": "u",
        "ExposedPorts": {"80/tcp": {}},
        "Env": ["A=b"],
        "Cmd": ["sh"],
        "Volumes": {"/v": {}},
        "Labels": {"a": "b"},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 5},
    },
    "remove": False,
}
STATE = {
    "status": "running",
    "started": 2.5,
    "ports": [{"container_port": 80, "host_port": 80}],
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


def _with(whole, path, odd):
    if not path:
        return odd
    record = copy.deepcopy(whole)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    return record


def _shown(record, how):
    container = spec.Container(spec.decode(record), state.decode(how))
    value = Inspection(container, "/home", 1, ()).encode()
    jsontext.indented(value)
    TEMPLATE.render(inspected.container(value))
    return value


def test_a_record_is_shown():
    value = _shown(RECORD, STATE)
    assert value["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]
    }
    assert value["Config"]["Hostname"] == "h"
    assert value["State"]["StartedAt"] == "1970-01-01T00:00:02.5Z"


def test_anything_odd_in_a_record_is_shown_or_named():
    shown = named = 0
    odd_records = [(_with(RECORD, path, odd), STATE) for path in _places(RECORD) for odd in ODD]
    odd_states = [(RECORD, _with(STATE, path, odd)) for path in _places(STATE) for odd in ODD]
    for record, how in odd_records + odd_states:
        try:
            _shown(record, how)
            shown += 1
        except IntegrityError:
            named += 1
    assert shown > 100
    assert named > 100
