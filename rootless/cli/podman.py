"""What podman answers where docker answers otherwise, for tools that call us by podman's name."""

from __future__ import annotations

import time

from rootless.cli import containers, jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.container.spec import Container

LIKE = "5.4.0"
"""The version whose verbs and flags, as far as compose tools ask, are there."""


def print_containers(shown: Sequence[Container]) -> None:
    """`ps --format json`: one list, where docker prints an object a line."""
    print(jsontext.indented([_container(one) for one in shown]))


def _container(container: Container) -> dict[str, Any]:
    spec, state = container.spec, container.state
    return {
        "AutoRemove": spec.remove,
        "Command": list(container.command),
        "CreatedAt": containers.row(container, full=True)["RunningFor"],
        "Exited": state.status == "exited",
        "ExitedAt": int(state.finished),
        "ExitCode": state.exit_code,
        "Id": container.id,
        "Image": container.image,
        "ImageID": container.image_id.hex,
        "IsInfra": False,
        "Labels": dict(container.labels),
        "Mounts": [one.target for one in spec.mounts],
        "Names": [container.name],
        "Networks": list(spec.networks),
        "Pod": spec.pod,
        "PodName": spec.pod,
        "Ports": [
            {
                "host_ip": one.host_ip,
                "container_port": one.container_port,
                "host_port": one.host_port,
                "range": 1,
                "protocol": one.protocol,
            }
            for one in container.ports
        ],
        "Restarts": state.restarts,
        "StartedAt": int(state.started),
        "State": state.status,
        "Status": containers.row(container, full=True)["Status"],
        "Created": int(container.created),
        "CreatedFor": int(time.time() - container.created),
    }
