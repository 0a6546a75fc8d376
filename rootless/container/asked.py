"""What the user of a container asked for, in the words of docker's `inspect`. Pure."""

from __future__ import annotations

from rootless.sandbox import caps
from rootless.sandbox.operations.tree import Bind, Tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.container.request import Request


def encode(request: Request, hostname: str) -> dict[str, Any]:
    """Mounts, and of Config and HostConfig the keys whose values are not docker's defaults."""
    config = {
        "Hostname": hostname,
        **dict.fromkeys(("AttachStdin", "OpenStdin", "StdinOnce"), request.interactive),
        "Tty": request.terminal,
    }
    return {
        "Config": {name: value for name, value in config.items() if value},
        "HostConfig": _host_config(request),
        "Mounts": [_mount(one) for one in request.mounts if isinstance(one, Bind)],
    }


def _host_config(request: Request) -> dict[str, Any]:
    every: dict[str, Any] = {
        "Binds": [_bind(one) for one in request.mounts if isinstance(one, Bind)],
        "ContainerIDFile": request.cidfile,
        "PortBindings": _ports(request),
        "AutoRemove": request.remove,
        "CapAdd": _capabilities(request.capabilities - caps.DEFAULT),
        "CapDrop": _capabilities(caps.DEFAULT - request.capabilities),
        "Dns": list(request.dns),
        "ExtraHosts": [f"{name}:{address}" for name, address in request.hosts],
        "ReadonlyRootfs": request.read_only,
        "SecurityOpt": _security(request),
        "Tmpfs": {one.path: one.options for one in request.mounts if isinstance(one, Tmpfs)},
        "Init": request.init,
    }
    return {name: value for name, value in every.items() if value}


def _mount(mount: Bind) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": mount.source,
        "Destination": mount.path,
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
        "Propagation": "rprivate",
    }


def _bind(mount: Bind) -> str:
    return f"{mount.source}:{mount.path}{':ro' if mount.read_only else ''}"


def _capabilities(names: frozenset[str]) -> list[str]:
    return [name if name.startswith("CAP_") else f"CAP_{name}" for name in sorted(names)]


def _security(request: Request) -> list[str]:
    options = ["no-new-privileges"] if request.no_new_privileges else []
    return options if request.seccomp else [*options, "seccomp=unconfined"]


def _ports(request: Request) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in request.ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port)}
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    return bindings
