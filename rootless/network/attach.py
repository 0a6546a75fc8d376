"""One face for the network programs: whichever `choice` chose, started in the same way."""

from __future__ import annotations

from rootless.network import attachment, choice, pasta, ports, slirp4netns

# What a container may ask instead of a resolver on the host's loopback.
FORWARDERS = {"pasta": pasta.FORWARDER, "slirp4netns": slirp4netns.FORWARDER}


def start(
    chosen: choice.Choice,
    netns: str,
    mappings: tuple[ports.PortMapping, ...],
    *,
    forward_dns: bool,
    run_dir: str,
) -> attachment.Attachment:
    """Begin to connect the network namespace at the path `netns`, which our user namespace owns.

    Await it with `wait_ready`. `mappings` as `ports.claim` gives them; `forward_dns` is
    `dns.needs_forwarder` of the host's resolv.conf; `run_dir` a short private directory.
    """
    if chosen.mode == "pasta":
        return pasta.start(chosen, netns, mappings, forward_dns=forward_dns)
    return slirp4netns.start(chosen.program, netns, mappings, run_dir=run_dir)


def outside(chosen: choice.Choice, netns: str, device: str) -> attachment.Attachment:
    """Begin to connect the namespace of the bridges at path `netns`, as its `device`.

    It has addresses of its own, so that the host's stay the host's for containers behind it.
    """
    if chosen.mode == "pasta":
        apart = chosen.replace(reaches_host=True)
        return pasta.start(apart, netns, (), forward_dns=False, device=device)
    return slirp4netns.start(chosen.program, netns, (), run_dir="")
