"""The program that connects a container's own network namespace: pasta or slirp4netns.

It is begun before the container is there: by the command itself, as soon as it is uid 0, for one
in the foreground that publishes nothing; else by its monitor, at each start. Both are its parent,
and it ends with them. Where ids of its own are to have power over its network (a low port), the
namespace can only come with the container: `networking` connects that one then.
"""

from __future__ import annotations

import os

from rootless import process, runspec
from rootless.network import choice, dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import ContainerSpec
    from rootless.network.attachment import Attachment
    from rootless.network.choice import Choice
    from rootless.network.ports import PortMapping


class Connection:
    """`netns_fd` is the namespace: the container enters it when it is there."""

    def __init__(self, netns_fd: int, attachment: Attachment) -> None:
        self.netns_fd = netns_fd
        self._attachment = attachment

    def wait_ready(self) -> None:
        """Return when the network is up. RootlessError with the program's own words."""
        self._attachment.wait_ready()

    def stop(self) -> None:
        """End the program, and let go of the namespace; harmless twice."""
        self._attachment.stop()
        if self.netns_fd >= 0:
            os.close(self.netns_fd)
            self.netns_fd = -1


def find(spec: ContainerSpec, search_path: str) -> Choice:
    """How this machine gives the container its network, now. RootlessError when it cannot."""
    if spec.is_bridged:
        return choice.Choice(choice.BRIDGES)
    if choice.is_anothers(spec.network):
        return choice.Choice(choice.CONTAINER)
    if spec.network in choice.PACKAGES and runspec.caveat():
        return _hosts(spec)
    chosen = choice.choose(spec.network, search_path, tun=choice.has_tun())
    return chosen.replace(reaches_host=spec.reaches_host)


def _hosts(spec: ContainerSpec) -> Choice:
    """The host's network, where no container can have its own."""
    if spec.ports or spec.publish_all:
        raise runspec.lacking("a network of its own to publish ports from")
    return choice.Choice("host")


def early(spec: ContainerSpec, search_path: str, run_dir: str) -> Connection | None:
    """Begin for a container that is not there yet; None where that is not its network, or it
    publishes ports (that one of them is taken is said of a container that is there), or is to
    have a cgroup, in which all of it is born.
    """
    chosen = find(spec, search_path)
    is_later = spec.ports or spec.publish_all or spec.limits.wants_group
    if is_later or not can_begin(chosen, spec):
        return None
    return begin(chosen, (), run_dir)


def can_begin(chosen: Choice, spec: ContainerSpec) -> bool:
    """Whether its network namespace may be there before it is."""
    confined = spec.confinement
    has_own_ids = confined.own_ids or confined.userns or confined.uid_map
    return chosen.mode in choice.PACKAGES and not has_own_ids


def begin(chosen: Choice, mappings: tuple[PortMapping, ...], run_dir: str) -> Connection:
    """Make the namespace, and start the program; await it with `wait_ready`."""
    from rootless.network import netns

    try:
        fd = netns.new()
    except OSError as error:
        raise process.refused(error) from error
    try:
        return Connection(fd, start(chosen, f"/proc/self/fd/{fd}", mappings, run_dir))
    except BaseException:
        os.close(fd)
        raise


def start(chosen: Choice, path: str, mappings: tuple[PortMapping, ...], run_dir: str) -> Attachment:
    """Start the program for the network namespace at `path`."""
    from rootless.network import attach

    return attach.start(chosen, path, mappings, forward_dns=forwards_dns(), run_dir=run_dir)


def forwards_dns() -> bool:
    """Whether the host's resolver is one that only the host can reach."""
    return dns.needs_forwarder(dns.of_host())
