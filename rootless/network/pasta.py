"""pasta (package passt): the host's own addresses and routes, copied into the namespace.

Uses what passt has had since 2023 (Debian 12). The container does not reach the host's loopback:
neither through the gateway's address (--no-map-gw) nor by ports (-T, -U none); with `reaches_host`
it has an address of its own, and so reaches what listens on the host's. With passt of 2023,
the answers of a published UDP port do not reach programs on the host itself. Runs as
`Attachment` describes.
"""

from __future__ import annotations

from rootless.network import attachment, ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.choice import Choice

FORWARDER = "169.254.1.1"

# An address of its own: a container that has the host's own finds itself there, not the host.
_APART = ("--address", "10.0.2.100", "--netmask", "24", "--gateway", "10.0.2.2")


def start(
    chosen: Choice,
    netns: str,
    mappings: tuple[ports.PortMapping, ...],
    *,
    forward_dns: bool,
    device: str = "",
) -> attachment.Attachment:
    """Begin to connect the network namespace at `netns`; `mappings` as `ports.claim` gives them.

    `device` is how its network device is called there, the host's own name if it is "".
    """
    words = command(chosen, mappings, attachment.NETNS_PATH, forward_dns=forward_dns)
    called = ("--ns-ifname", device) if device else ()
    ready = ("--foreground", "--pid", attachment.READY_PATH)
    return attachment.Attachment((*words, *called, *ready), netns, holds_ports=bool(mappings))


def command(
    chosen: Choice, mappings: tuple[ports.PortMapping, ...], netns: str, *, forward_dns: bool
) -> tuple[str, ...]:
    """Connects the namespace at the path `netns`, and goes to the background when it is ready.

    With `forward_dns`, the container asks FORWARDER, and pasta the host's resolver, which may be on
    the host's loopback. Otherwise the host's resolvers must be asked directly: forwarding would
    change the sender of their answers too.
    """
    # Where root is the host's root, pasta would become nobody, who may not enter the namespace.
    user = ("--runas", "0:0") if _root_is_the_hosts() else ()
    # The lifetime is ours to end, so the path of the namespace need not be watched.
    argv = (chosen.program, "--quiet", "--config-net", "--no-netns-quit", "--no-map-gw")
    dns = ("--dns-forward", FORWARDER) if forward_dns else ()
    apart = _APART if chosen.reaches_host else ()
    return (
        *(*argv, *user, *dns, *apart, *_forward("tcp", "--tcp-ports", mappings)),
        *_forward("udp", "--udp-ports", mappings),
        *("--tcp-ns", "none", "--udp-ns", "none", "--netns", netns),
    )


def _root_is_the_hosts() -> bool:
    with open("/proc/self/uid_map", encoding="utf-8") as file:
        return file.readline().split()[:2] == ["0", "0"]


def _forward(protocol: str, option: str, mappings: tuple[ports.PortMapping, ...]) -> list[str]:
    specs = [
        f"{mapping.host_ip}{'/' if mapping.host_ip else ''}"
        f"{mapping.host_port}:{mapping.container_port}"
        for mapping in mappings
        if mapping.protocol == protocol
    ]
    return [word for spec in specs or ["none"] for word in (option, spec)]
