"""What a container is, as docker's API says it: a value for whoever looks into containers.

Reads metadata only, outside the namespace; nothing is changed.
"""

from __future__ import annotations

import os

from rootless import runspec
from rootless.container import hostconfig, logs, networking, records
from rootless.record import Record
from rootless.store import images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.container.health import Health
    from rootless.container.spec import Container
    from rootless.network.bridge import Plugged
    from rootless.network.networks import Endpoint, Network
    from rootless.store import Store

_NEVER = "0001-01-01T00:00:00Z"
_SHM_SIZE = 64 << 20
_HOST_CONFIG: Mapping[str, Any] = {
    "Binds": None,
    "ContainerIDFile": "",
    "LogConfig": {"Type": "none", "Config": {}},
    "NetworkMode": "",
    "PortBindings": {},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "AutoRemove": False,
    "VolumeDriver": "",
    "VolumesFrom": None,
    "ConsoleSize": [0, 0],
    **dict.fromkeys(("CapAdd", "CapDrop")),
    "CgroupnsMode": "private",
    "Dns": [],
    "DnsOptions": [],
    "DnsSearch": [],
    **dict.fromkeys(("ExtraHosts", "GroupAdd")),
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "OomScoreAdj": 0,
    "PidMode": "",
    **dict.fromkeys(("Privileged", "PublishAllPorts", "ReadonlyRootfs"), False),
    "SecurityOpt": None,
    **dict.fromkeys(("UTSMode", "UsernsMode"), ""),
    "ShmSize": _SHM_SIZE,
    "Runtime": "rootless",
    "Isolation": "",
    **dict.fromkeys(("CpuShares", "Memory", "NanoCpus"), 0),
    "CgroupParent": "",
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "BlkioDeviceReadBps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteIOps": [],
    **dict.fromkeys(("CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime"), 0),
    **dict.fromkeys(("CpusetCpus", "CpusetMems"), ""),
    "Devices": [],
    **dict.fromkeys(("DeviceCgroupRules", "DeviceRequests")),
    **dict.fromkeys(("MemoryReservation", "MemorySwap"), 0),
    **dict.fromkeys(("MemorySwappiness", "OomKillDisable", "PidsLimit")),
    "Ulimits": [],
    **dict.fromkeys(("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"), 0),
    "MaskedPaths": list(runspec.MASKED),
    "ReadonlyPaths": list(runspec.READ_ONLY),
}
"""docker's HostConfig of a container nothing was asked for."""
_ENDPOINT: Mapping[str, Any] = {
    **dict.fromkeys(("IPAMConfig", "Links", "Aliases")),
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    **dict.fromkeys(("NetworkID", "EndpointID", "Gateway", "IPAddress"), ""),
    "IPPrefixLen": 0,
    **dict.fromkeys(("IPv6Gateway", "GlobalIPv6Address"), ""),
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}
_NETWORK: Mapping[str, Any] = {
    **dict.fromkeys(("Bridge", "SandboxID", "SandboxKey"), ""),
    "Ports": {},
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    **dict.fromkeys(("SecondaryIPAddresses", "SecondaryIPv6Addresses")),
    **dict.fromkeys(("EndpointID", "Gateway", "GlobalIPv6Address"), ""),
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    **dict.fromkeys(("IPv6Gateway", "MacAddress"), ""),
}


class Inspection(Record):
    """A container. `home` is its directory; `pid` that of its process 1, or 0.

    `layers` are the directories below its own, the topmost first, as far as they are there.
    `sizes` are the bytes of its own files and of all it shows, where they were asked for.
    `plugged` are the user-defined networks that it is on now.
    """

    container: Container
    home: str
    pid: int
    layers: tuple[str, ...]
    sizes: tuple[int, int] | None = None
    plugged: tuple[Plugged, ...] = ()

    def encode(self) -> dict[str, Any]:
        """The object that docker's API answers, its keys in docker's order."""
        one = self.container
        return {
            "Id": one.id,
            "Created": rfc3339(one.created),
            "Path": one.command[0] if one.command else "",
            "Args": list(one.command[1:]),
            "State": self._state(),
            "Image": str(one.image_id),
            # These are in memory, seen by the container only.
            **dict.fromkeys(("ResolvConfPath", "HostnamePath", "HostsPath"), ""),
            "LogPath": f"{self.home}/{logs.NAME}" if one.spec.log_driver == "json-file" else "",
            "Name": f"/{one.name}",
            "RestartCount": one.state.restarts,
            "Driver": "overlay",
            "Platform": "linux",
            **dict.fromkeys(("MountLabel", "ProcessLabel", "AppArmorProfile"), ""),
            "ExecIDs": None,
            "HostConfig": {**_HOST_CONFIG, **hostconfig.host_config(one.spec)},
            "GraphDriver": {"Data": self._overlay(), "Name": "overlay"},
            **self._shown_sizes(),
            "Mounts": hostconfig.mounts(one.spec, self._data),
            "Config": self._config(),
            "NetworkSettings": self._network(),
        }

    def _data(self, volume: str) -> str:
        store = os.path.dirname(os.path.dirname(self.home))
        return f"{store}/volumes/{volume}/data"

    def _state(self) -> dict[str, Any]:
        state = self.container.state
        return {
            "Status": state.status,
            "Running": state.is_running,
            "Paused": state.status == "paused",
            "Restarting": state.status == "restarting",
            "OOMKilled": state.oom_killed,
            "Dead": False,
            "Pid": self.pid,
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": rfc3339(state.started) if state.started else _NEVER,
            "FinishedAt": rfc3339(state.finished) if state.finished else _NEVER,
            **({"Health": _health(state.health)} if state.health else {}),
        }

    def _overlay(self) -> dict[str, str]:
        return {
            "ID": self.container.id,
            **({"LowerDir": ":".join(self.layers)} if self.layers else {}),
            "MergedDir": f"{self.home}/target",
            "UpperDir": f"{self.home}/diff",
            "WorkDir": f"{self.home}/work",
        }

    def _shown_sizes(self) -> dict[str, int]:
        return dict(zip(("SizeRw", "SizeRootFs"), self.sizes, strict=True)) if self.sizes else {}

    def _config(self) -> dict[str, Any]:
        """How it runs, as docker's config of a container has it."""
        spec, run = self.container.spec, self.container.spec.config
        optional = ("ExposedPorts", "Healthcheck", "StopSignal")
        shown = {name: {name: run[name]} if name in run else {} for name in optional}
        typed = spec.interactive and not spec.detached
        return {
            "Hostname": spec.own_name,
            "Domainname": "",
            "User": run.get("User", ""),
            "AttachStdin": typed,
            **dict.fromkeys(("AttachStdout", "AttachStderr"), not spec.detached),
            **shown["ExposedPorts"],
            "Tty": spec.terminal,
            "OpenStdin": spec.interactive,
            "StdinOnce": typed,
            "Env": run.get("Env", []),
            "Cmd": run.get("Cmd"),
            **shown["Healthcheck"],
            "Image": spec.image,
            "Volumes": run.get("Volumes"),
            "WorkingDir": run.get("WorkingDir", ""),
            "Entrypoint": run.get("Entrypoint"),
            "OnBuild": None,
            "Labels": run.get("Labels", {}),
            **shown["StopSignal"],
            **({} if spec.stop_timeout is None else {"StopTimeout": spec.stop_timeout}),
        }

    def _network(self) -> dict[str, Any]:
        """No address is ours to tell: what provides the network keeps it to itself."""
        one = self.container
        ports: dict[str, Any] = dict.fromkeys(one.spec.run.exposed_ports) if one.is_running else {}
        for port in one.ports:
            name = f"{port.container_port}/{port.protocol}"
            where = {"HostIp": port.host_ip or "0.0.0.0", "HostPort": str(port.host_port)}
            ports[name] = [*(ports.get(name) or ()), where]
        return {**_NETWORK, "Ports": ports, "Networks": self._networks()}

    def _networks(self) -> dict[str, Any]:
        """What is known of each: addresses only while it runs, and only of user-defined ones."""
        found: dict[str, Any] = {name: dict(_ENDPOINT) for name in self.container.spec.networks}
        for wish in self.container.spec.wishes:
            asked = {"IPv4Address": wish.address, "IPv6Address": wish.address6}
            given = {name: value for name, value in asked.items() if value}
            found[wish.network].update(
                IPAMConfig=given or None,
                Links=[f"{name}:{alias}" for alias, name in wish.links] or None,
                Aliases=list(wish.aliases) or None,
                MacAddress=wish.mac,
            )
        for network, endpoint in self.plugged:
            found.setdefault(network.name, dict(_ENDPOINT)).update(_plugged(network, endpoint))
        return found


def _health(found: Health) -> dict[str, Any]:
    log = [
        {
            "Start": rfc3339(one.start),
            "End": rfc3339(one.end),
            "ExitCode": one.exit_code,
            "Output": one.output,
        }
        for one in found.log
    ]
    return {"Status": found.status, "FailingStreak": found.streak, "Log": log}


def inspect(store: Store, container: Container, *, sized: bool = False) -> Inspection:
    """Look into a container; `sized` weighs its files, as far as they can be seen."""
    home = store.path("containers", container.id)
    found, image_size = _image(store, container)
    own = layers.weigh(f"{home}/diff") if sized else 0
    return Inspection(
        container,
        home,
        records.pid(store, container) if container.is_running else 0,
        found,
        (own, own + image_size) if sized else None,
        tuple(networking.networks(store).of_container(container.id))
        if container.spec.wishes and container.is_running
        else (),
    )


def _plugged(network: Network, endpoint: Endpoint) -> dict[str, Any]:
    """docker's EndpointSettings of one that runs."""
    four, six = (
        next((one for one in network.subnets if one.block.is_six == is_six), None)
        for is_six in (False, True)
    )
    return {
        "MacAddress": endpoint.mac,
        "NetworkID": network.id,
        "EndpointID": endpoint.id,
        "Gateway": four.gateway if four and not network.internal else "",
        "IPAddress": endpoint.address,
        "IPPrefixLen": four.block.length if four else 0,
        "IPv6Gateway": six.gateway if six and not network.internal else "",
        "GlobalIPv6Address": endpoint.address6,
        "GlobalIPv6PrefixLen": six.block.length if six else 0,
        "DNSNames": list(dict.fromkeys(filter(None, endpoint.names))),
    }


def _image(store: Store, container: Container) -> tuple[tuple[str, ...], int]:
    """The directories of its image's layers and their size; the image may have been removed."""
    from rootless.errors import RootlessError

    try:
        image = images.resolve(store, str(container.image_id))
    except RootlessError:
        return (), 0
    known = [layers.find(store, diff_id) for diff_id in reversed(image.config.diff_ids)]
    return tuple(layer.path for layer in known if layer), images.size(store, image)


def rfc3339(seconds: float) -> str:
    """A moment as JSON made by Go has it, in UTC."""
    import time

    whole = int(seconds)
    part = f"{seconds - whole:.6f}"[1:].rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + part + "Z"
