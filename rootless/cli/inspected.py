"""What `inspect` shows, with the types that docker's Go has for it: a template sees them.

A field that JSON leaves out is there with its zero value, a list that is null is empty, a number
compares with numbers. Pure; imported only when somebody gives --format.
"""

from __future__ import annotations

from rootless.cli.template.values import Duration, List, Map, Nil, Struct, Time, is_true
from rootless.image.inspection import NEVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# NAME, then a line a field: its name, its type, its name in JSON where that differs; a "?" before
# the type for what JSON leaves out when it is empty.
_DECLARED = """
image.InspectResponse
ID string Id
RepoTags []string
RepoDigests []string
Parent string
Comment string
Created string
Container ?string
ContainerConfig ?*container.Config
DockerVersion string
Author string
Config *v1.ImageConfig
Architecture string
Variant ?string
Os string
OsVersion ?string
Size int
VirtualSize ?int
GraphDriver storage.DriverData
RootFS image.RootFS
Metadata image.Metadata
Descriptor ?*v1.Descriptor

v1.ImageConfig
User ?string
ExposedPorts ?map[string]struct{}
Env ?[]string
Entrypoint ?[]string
Cmd ?[]string
Volumes ?map[string]struct{}
WorkingDir ?string
Labels ?map[string]string
StopSignal ?string
ArgsEscaped ?bool
Healthcheck ?*v1.HealthcheckConfig
OnBuild ?[]string
Shell ?[]string

v1.HealthcheckConfig
Test ?[]string
Interval ?duration
Timeout ?duration
StartPeriod ?duration
StartInterval ?duration
Retries ?int

v1.Descriptor
MediaType string mediaType
Digest string digest
Size int size
Annotations ?map[string]string annotations
Platform ?*v1.Platform platform

v1.Platform
Architecture string architecture
OS string os
Variant ?string variant

storage.DriverData
Data map[string]string
Name string

image.RootFS
Type string
Layers ?[]string

image.Metadata
LastTagTime ?time

container.InspectResponse
ID string Id
Created string
Path string
Args []string
State *container.State
Image string
ResolvConfPath string
HostnamePath string
HostsPath string
LogPath string
Name string
RestartCount int
Driver string
Platform string
MountLabel string
ProcessLabel string
AppArmorProfile string
ExecIDs []string
HostConfig *container.HostConfig
GraphDriver storage.DriverData
SizeRw ?*int64
SizeRootFs ?*int64
Mounts []container.MountPoint
Config *container.Config
NetworkSettings *container.NetworkSettings

container.State
Status string
Running bool
Paused bool
Restarting bool
OOMKilled bool
Dead bool
Pid int
ExitCode int
Error string
StartedAt string
FinishedAt string
Health ?*container.Health

container.Health
Status string
FailingStreak int
Log []any

container.MountPoint
Type ?string
Name ?string
Source string
Destination string
Driver ?string
Mode string
RW bool
Propagation string

container.Config
Hostname string
Domainname string
User string
AttachStdin bool
AttachStdout bool
AttachStderr bool
ExposedPorts ?map[string]struct{}
Tty bool
OpenStdin bool
StdinOnce bool
Env []string
Cmd []string
Healthcheck ?*v1.HealthcheckConfig
ArgsEscaped ?bool
Image string
Volumes map[string]struct{}
WorkingDir string
Entrypoint []string
NetworkDisabled ?bool
OnBuild []string
Labels map[string]string
StopSignal ?string
StopTimeout ?*int
Shell ?[]string

container.HostConfig
Binds []string
ContainerIDFile string
LogConfig container.LogConfig
NetworkMode string
PortBindings map[string][]nat.PortBinding
RestartPolicy container.RestartPolicy
AutoRemove bool
VolumeDriver string
VolumesFrom []string
ConsoleSize []int
Annotations ?map[string]string
CapAdd []string
CapDrop []string
CgroupnsMode string
DNS []string Dns
DNSOptions []string DnsOptions
DNSSearch []string DnsSearch
ExtraHosts []string
GroupAdd []string
IpcMode string
Cgroup string
Links []string
OomScoreAdj int
PidMode string
Privileged bool
PublishAllPorts bool
ReadonlyRootfs bool
SecurityOpt []string
StorageOpt ?map[string]string
Tmpfs ?map[string]string
UTSMode string
UsernsMode string
ShmSize int
Sysctls ?map[string]string
Runtime ?string
Isolation string
CPUShares int CpuShares
Memory int
NanoCPUs int NanoCpus
CgroupParent string
BlkioWeight int
BlkioWeightDevice []any
BlkioDeviceReadBps []any
BlkioDeviceWriteBps []any
BlkioDeviceReadIOps []any
BlkioDeviceWriteIOps []any
CPUPeriod int CpuPeriod
CPUQuota int CpuQuota
CPURealtimePeriod int CpuRealtimePeriod
CPURealtimeRuntime int CpuRealtimeRuntime
CpusetCpus string
CpusetMems string
Devices []any
DeviceCgroupRules []string
DeviceRequests []any
MemoryReservation int
MemorySwap int
MemorySwappiness *int64
OomKillDisable *bool
PidsLimit *int64
Ulimits []any
CPUCount int CpuCount
CPUPercent int CpuPercent
IOMaximumIOps int
IOMaximumBandwidth int
Mounts ?[]any
MaskedPaths []string
ReadonlyPaths []string
Init ?*bool

container.LogConfig
Type string
Config map[string]string

container.RestartPolicy
Name string
MaximumRetryCount int

nat.PortBinding
HostIP string HostIp
HostPort string

container.NetworkSettings
Bridge string
SandboxID string
SandboxKey string
Ports map[string][]nat.PortBinding
HairpinMode bool
LinkLocalIPv6Address string
LinkLocalIPv6PrefixLen int
SecondaryIPAddresses []any
SecondaryIPv6Addresses []any
EndpointID string
Gateway string
GlobalIPv6Address string
GlobalIPv6PrefixLen int
IPAddress string
IPPrefixLen int
IPv6Gateway string
MacAddress string
Networks map[string]*network.EndpointSettings

network.EndpointSettings
IPAMConfig any
Links []string
Aliases []string
MacAddress string
DriverOpts map[string]string
GwPriority int
NetworkID string
EndpointID string
Gateway string
IPAddress string
IPPrefixLen int
IPv6Gateway string
GlobalIPv6Address string
GlobalIPv6PrefixLen int
DNSNames []string
"""
_ZEROS: Mapping[str, Any] = {
    "string": "",
    "int": 0,
    "bool": False,
    "any": None,
    "duration": 0,
    "time": NEVER,
}
_KINDS = {"duration": Duration, "time": Time}
_GO_NAMES = {"any": "interface {}", "struct{}": "struct {}"}


def image(value: Mapping[str, Any]) -> Struct:
    """An inspected image, from docker's JSON of it."""
    return _Types().struct("image.InspectResponse", value)


def container(value: Mapping[str, Any]) -> Struct:
    """An inspected container, from docker's JSON of it."""
    return _Types().struct("container.InspectResponse", value)


class _Types:
    def __init__(self) -> None:
        self.fields = {
            name: [line.split() for line in lines]
            for name, *lines in (one.splitlines() for one in _DECLARED.strip().split("\n\n"))
        }

    def struct(self, name: str, value: Mapping[str, Any]) -> Struct:
        """`value` as the struct of that name."""
        made, keys = {}, {}
        for field, kind, *other in self.fields[name]:
            key = other[0] if other else field
            made[field] = self.typed(kind.lstrip("?"), value.get(key))
            if kind[0] != "?" or is_true(made[field]):
                keys[field] = key
        return Struct(name, made, keys)

    def typed(self, kind: str, value: Any) -> Any:
        """`value` as Go has it in a variable of type `kind`; None is the type's zero.

        What a damaged record has in another shape stays as it is.
        """
        shape = self._shape(kind)
        if value is not None and not isinstance(value, shape):
            return value
        if kind[0] == "*":
            name = kind[1:]
            if value is None:
                return Nil(name, self._names(name))
            return self.struct(name, value) if name in self.fields else value
        if kind.startswith("[]"):
            items = [self.typed(kind[2:], item) for item in value or ()]
            return List(items, _go_name(kind[2:]), is_nil=value is None)
        if kind.startswith("map[string]"):
            return self._map(kind.removeprefix("map[string]"), value)
        if kind in self.fields:
            return self.struct(kind, value or {})
        if kind in _KINDS:
            return _KINDS[kind](value or _ZEROS[kind])
        return _ZEROS.get(kind) if value is None else value

    def _shape(self, kind: str) -> type[Any]:
        """What Python has for values of that type."""
        name = kind.lstrip("*")
        if name.startswith("[]"):
            return list
        if name.startswith("map[") or name in self.fields:
            return dict
        return {"duration": int, "time": str}.get(name, object)

    def _map(self, element: str, value: Any) -> Map:
        if element == "struct{}":
            empty = Struct("struct {}", {})
            return Map(dict.fromkeys(value or (), empty), "struct {}", empty, is_nil=value is None)
        items = {key: self.typed(element, item) for key, item in (value or {}).items()}
        zero = self.typed(element, None)
        return Map(items, _go_name(element), zero, is_nil=value is None)

    def _names(self, name: str) -> list[str]:
        return [field for field, *_ in self.fields.get(name, ())]


def _go_name(kind: str) -> str:
    return _GO_NAMES.get(kind, kind)
