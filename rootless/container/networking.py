"""How a container gets its network, over one start: one face for all the ways there are.

    none, host              nothing to do
    pasta, slirp4netns      a program of its own, for its own network namespace
    user-defined networks   addresses reserved, then a cable to each bridge (`network.membership`)
    container:ID            its monitor moves into the other's network namespace before it starts

Runs in the container's monitor, uid 0 of the user namespace; `begin` in the command, before it is.
For the last two that is not a new namespace: the holder's, or the other container's, is joined.
"""

from __future__ import annotations

import os

from rootless import linux, living, userns
from rootless.container import connecting, records, start
from rootless.container.spec import Container
from rootless.errors import RootlessError
from rootless.network import choice, ports
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    from rootless.container.connecting import Connection
    from rootless.container.spec import ContainerSpec
    from rootless.container.start import Ground
    from rootless.network.membership import Reserved
    from rootless.network.networks import Networks
    from rootless.network.ports import PortMapping
    from rootless.store import Store

    class Entering(Protocol):
        """On the way into a user namespace."""

        def finish(self) -> userns.IdMap:
            """Be uid 0 there."""

    class Attached(Protocol):
        """A connected network namespace."""

        def wait_ready(self) -> None:
            """Return when the network is up."""

        def stop(self) -> None:
            """End what connects it; harmless twice."""


CONTAINER = "container:"


class Joining(Record):
    """On the way into the user namespace of a process."""

    pid: int

    def finish(self) -> userns.IdMap:
        """Be uid 0 there."""
        return userns.join(self.pid)


def begin(store: Store, specs: Iterable[ContainerSpec], search_path: str) -> Entering:
    """Leave for the user namespace in which containers as these can run; `finish` is next."""
    for spec in specs:
        if spec.is_bridged:
            from rootless.network import holder

            return Joining(holder.ensure(networks(store), way_out(search_path)).process.pid)
        for mode in (spec.network, *spec.confinement.others.values()):
            if mode.startswith(CONTAINER):
                other = records.search(store, mode.removeprefix(CONTAINER))
                if isinstance(other, Container) and other.is_running:  # else its start says so
                    return Joining(_monitor(store, other))
    return userns.begin()


def networks(store: Store) -> Networks:
    """The networks of a store."""
    from rootless.network.networks import Networks

    return Networks(store.path("networks"))


def way_out(search_path: str) -> choice.Choice:
    """What connects bridges with the outside on this machine."""
    return choice.choose("", search_path, tun=choice.has_tun())


def find_other(store: Store, network: str) -> Container:
    """The running container that `container:NAME` means. RootlessError in docker's words."""
    found = records.find(store, network.removeprefix(CONTAINER))
    if not isinstance(found, Container) or not found.is_running:
        raise RootlessError(
            f"cannot join network of a non running container: {found.id}",
            hint=f"start it first: rootless start {found.id[:12]}",
        )
    return found


class Network:
    """A container's network over one start: made before its sandbox, `close`d after it."""

    def __init__(
        self, ground: Ground, spec: ContainerSpec, begun: Connection | None = None
    ) -> None:
        """`begun` is of `connecting.early`. RootlessError for a port, an address or a program that
        cannot be had.
        """
        self.choice = connecting.find(spec, ground.search_path)
        self.ports: tuple[PortMapping, ...] = ()
        self._ground = ground
        self._container = spec.id
        self._reserved: Reserved | None = None
        self._attached: Attached | None = begun
        self._known: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        if self.is_awaited:
            self.ports = ports.claim(spec.ports)
        if self.choice.mode == choice.BRIDGES:
            self._reserved = _reserve(ground, spec)
            self._known = self._reserved.addresses, self._reserved.resolvers
        elif self.choice.mode == choice.CONTAINER:
            self._known = _share(ground.store, spec)
        elif begun is None and connecting.can_begin(self.choice, spec):
            self._attached = begun = connecting.begin(self.choice, self.ports, ground.runtime_dir)
        self._netns_fd = begun.netns_fd if begun else -1

    @property
    def is_awaited(self) -> bool:
        """Whether the container must wait until it is connected."""
        return self.choice.mode in choice.CONNECTED

    def links(self, await_fd: int, terminal_fd: int) -> start.Links:
        """What the plan of the sandbox must know."""
        own, resolvers = self._known
        return start.Links(
            self.choice, await_fd, terminal_fd, own, resolvers, netns_fd=self._netns_fd
        )

    def connect(self, pid: int) -> None:
        """Connect the network namespace of the supervisor `pid`; returns when it is."""
        if self._reserved:
            self._attached = self._reserved.connect(pid, self.ports)
            self._tell("connect")
        elif self._attached is None:
            path = f"/proc/{pid}/ns/net"
            run_dir = self._ground.runtime_dir
            self._attached = connecting.start(self.choice, path, self.ports, run_dir)
        self._attached.wait_ready()

    def close(self) -> None:
        """Give everything back."""
        if self._attached and self._reserved:
            self._tell("disconnect")
        if self._attached:
            self._attached.stop()
        elif self._reserved:
            self._reserved.release()

    def _tell(self, action: str) -> None:
        """Of all the user's networks that it is on now."""
        from rootless.container import events

        store, container = self._ground.store, self._container
        for network, _ in networks(store).of_container(container):
            events.tell_network(store, action, network, container)


def _reserve(ground: Ground, spec: ContainerSpec) -> Reserved:
    from rootless.network import bridge, membership

    monitor = living.identify(os.getpid())
    assert monitor
    member = bridge.Member(spec.id, spec.called, monitor, "", spec.dns)
    return membership.reserve(
        networks(ground.store), member, spec.wishes, way_out(ground.search_path)
    )


def _share(store: Store, spec: ContainerSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Move this process into the network namespace of the other container, if it has its own;
    the other's addresses, and whom it asks for names, as far as they are not the host's.
    """
    other = find_other(store, spec.network)
    try:
        fd = os.open(f"/proc/{init_of(store, other)}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_ino != os.stat("/proc/self/ns/net").st_ino:
                linux.setns(fd, linux.CLONE_NEWNET)
        finally:
            os.close(fd)
    except OSError as error:
        raise RootlessError(
            f"the network of container {other.name} cannot be joined: {error}",
            hint="both must be in one user namespace: start this one alone, by its own command",
        ) from None
    if other.spec.wishes:
        from rootless.network import membership

        plugged = networks(store).of_container(other.id)
        return membership.addresses(plugged), membership.resolvers(plugged)
    if other.spec.network in choice.PACKAGES and connecting.forwards_dns():
        from rootless.network import attach

        return (), (attach.FORWARDERS[other.spec.network],)
    return (), other.spec.dns


def others(store: Store, spec: ContainerSpec) -> tuple[tuple[str, int], ...]:
    """The namespaces that it has of other containers, each by a process in it. RootlessError."""
    found = []
    for name, mode in spec.confinement.others.items():
        other = find_other(store, mode)
        if name == "ipc" and other.spec.confinement.ipc != "shareable":
            raise RootlessError(
                f"cannot join IPC of container {other.id}: non-shareable IPC",
                hint="start the other one with --ipc=shareable",
            )
        found.append((name, init_of(store, other)))
    return tuple(found)


def init_of(store: Store, container: Container) -> int:
    """The pid of a running container's process 1. RootlessError when it has ended."""
    from rootless.container import members

    supervisor = records.pid(store, container)
    pid = members.first(supervisor) if supervisor else 0
    if not pid:
        raise RootlessError(
            f"container {container.name} has ended",
            hint=f"start it first: rootless start {container.name}",
        )
    return pid


def _monitor(store: Store, container: Container) -> int:
    """The process that runs a container: it can be joined, which its supervisor does not allow."""
    try:
        return int(living.stat(records.pid(store, container))[living.PARENT])
    except OSError:
        raise RootlessError(
            f"cannot join network of a non running container: {container.id}"
        ) from None
