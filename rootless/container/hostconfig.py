"""What the user of a container asked for, in the words of docker's `inspect`. Pure."""

from __future__ import annotations

from rootless.container import limits
from rootless.container.confinement import USUAL
from rootless.sandbox import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.container.confinement import Confinement
    from rootless.container.spec import ContainerSpec, Mount

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


def host_config(spec: ContainerSpec) -> dict[str, Any]:
    """The keys of HostConfig whose values are not docker's defaults."""
    every: dict[str, Any] = {
        "Binds": [_bind(one) for one in spec.mounts if one.flag == "-v"],
        "Mounts": _of_mounts(spec),
        "VolumesFrom": list(spec.volumes_from),
        "ContainerIDFile": spec.cidfile,
        "LogConfig": {"Type": spec.log_driver, "Config": dict(spec.log_options)},
        "NetworkMode": spec.network,
        "PortBindings": _ports(spec),
        "RestartPolicy": {"Name": spec.restart.policy, "MaximumRetryCount": spec.restart.most},
        "AutoRemove": spec.remove,
        "CapAdd": _capabilities(spec.capabilities - caps.DEFAULT),
        "CapDrop": _capabilities(caps.DEFAULT - spec.capabilities),
        "Dns": list(spec.dns),
        "ExtraHosts": [f"{name}:{address}" for address, name in spec.hosts],
        "ReadonlyRootfs": spec.read_only,
        "SecurityOpt": _security(spec),
        "Tmpfs": {
            one.target: ",".join((*one.options, *(("ro",) if one.read_only else ())))
            for one in spec.mounts
            if one.flag == "--tmpfs"
        },
        "Init": spec.init,
        "Annotations": dict(spec.annotations),
        **_confinement(spec.confinement),
        **limits.host_config(spec.limits),
    }
    return {name: value for name, value in every.items() if value}


def mounts(spec: ContainerSpec, data: Callable[[str], str]) -> list[dict[str, Any]]:
    """`Mounts` of a container; `data` tells where a volume's files are. Of what is in memory,
    docker shows there what came by --mount.
    """
    return [
        _mount(one, data) for one in spec.mounts if one.kind != "tmpfs" or one.flag == "--mount"
    ]


def _mount(mount: Mount, data: Callable[[str], str]) -> dict[str, Any]:
    volume, image = mount.kind == "volume", mount.kind == "image"
    found = next((one for one in mount.options if one in PROPAGATIONS), "rprivate")
    return {
        "Type": mount.kind,
        **({"Name": mount.name} if volume else {"Name": mount.source} if image else {}),
        "Source": data(mount.name) if volume else mount.source,
        "Destination": mount.target,
        **({"Driver": "local"} if volume else {}),
        "Mode": "" if mount.flag == "--mount" else ",".join(_words(mount)),
        "RW": not mount.read_only,
        "Propagation": found if mount.kind in ("bind", "image") else "",
    }


def _bind(mount: Mount) -> str:
    """As -v spells it."""
    words = ",".join(_words(mount))
    return f"{mount.source or mount.name}:{mount.target}{':' if words else ''}{words}"


def _words(mount: Mount) -> list[str]:
    kept = [one for one in mount.options if one != "create"]
    return ["ro", *kept] if mount.read_only else kept


def _of_mounts(spec: ContainerSpec) -> list[dict[str, Any]]:
    """What came by --mount, as it was asked for."""
    return [_asked(one) for one in spec.mounts if one.flag == "--mount"]


def _asked(mount: Mount) -> dict[str, Any]:
    told: dict[str, Any] = {"Type": mount.kind, "Source": mount.source or mount.name}
    told |= {"Target": mount.target, "ReadOnly": mount.read_only and mount.kind != "image"}
    propagation = next((one for one in mount.options if one in PROPAGATIONS), "")
    if mount.kind == "bind" and propagation:
        told["BindOptions"] = {"Propagation": propagation}
    if mount.kind == "volume" and mount.options:
        subpath = mount.value("subpath")
        options = {"NoCopy": "nocopy" in mount.options, "Labels": mount.values("label")}
        options |= {"Subpath": subpath}
        found = {key: one for key, one in options.items() if one}
        told["VolumeOptions"] = {**found, "DriverConfig": {}}
    if mount.kind == "image" and mount.options:
        told["ImageOptions"] = {"Subpath": mount.value("subpath")}
    if mount.kind == "tmpfs" and mount.options:
        size, mode = mount.value("size"), mount.value("mode")
        options = {"SizeBytes": int(size or 0), "Mode": int(mode or "0", 8)}
        told["TmpfsOptions"] = {key: one for key, one in options.items() if one}
    return {key: one for key, one in told.items() if one}


def _capabilities(names: frozenset[str]) -> list[str]:
    return [name if name.startswith("CAP_") else f"CAP_{name}" for name in sorted(names)]


def _confinement(given: Confinement) -> dict[str, Any]:
    """What differs from the usual; a list that is empty here is None for docker."""
    if given == USUAL:
        return {}
    return {
        "Privileged": given.privileged,
        "MaskedPaths": list(given.hidden),
        "ReadonlyPaths": list(given.protected),
        "Sysctls": dict(given.sysctls),
        "ShmSize": given.shm_size,
        "Ulimits": [_ulimit(text) for text in given.limits],
        "OomScoreAdj": given.oom_score or 0,
        "GroupAdd": list(given.groups),
        "PidMode": given.pid,
        "IpcMode": given.ipc or "private",
        "UTSMode": given.uts,
        "UsernsMode": given.userns,
        "CgroupnsMode": given.cgroup or "private",
        "Devices": [_device(text) for text in given.devices if text.startswith("/")],
        "DeviceRequests": _requests(given),
    }


def _ulimit(text: str) -> dict[str, Any]:
    name, _, values = text.partition("=")
    soft, _, hard = values.partition(":")
    return {"Name": name, "Hard": int(hard), "Soft": int(soft)}


def _device(text: str) -> dict[str, str]:
    from rootless.sandbox import hardware

    source, inside = hardware.split(text)
    last = text.rpartition(":")[2]
    access = last if text != source and "/" not in last else "rwm"
    return {"PathOnHost": source, "PathInContainer": inside, "CgroupPermissions": access}


def _requests(given: Confinement) -> list[dict[str, Any]]:
    names = [text for text in given.devices if not text.startswith("/")]
    return [{"Driver": "cdi", "Count": 0, "DeviceIDs": names}] if names else []


def _security(spec: ContainerSpec) -> list[str]:
    """docker names of a profile its text, of masks only what is left of them."""
    options = ["no-new-privileges"] if spec.no_new_privileges else []
    if spec.confinement.privileged:
        return [*options, "label=disable"]
    return [*options, f"seccomp={spec.seccomp}"] if spec.seccomp else options


def _ports(spec: ContainerSpec) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in spec.ports:
        binding = {"HostIp": port.host_ip, "HostPort": str(port.host_port or "")}
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    return bindings
