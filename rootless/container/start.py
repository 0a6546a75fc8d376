"""From what a container is to the sandbox that it starts as.

Runs in the process that will be the parent of its supervisor, uid 0 of the user namespace. What
depends on this machine and this moment (the network's program, free ports, where layers are) is
found here, at every start anew.
"""

from __future__ import annotations

import os
import time

from rootless import roots, runspec, userns
from rootless.container import connecting, homes, mounts, overrides, own
from rootless.container.confinement import confine
from rootless.network import choice, dns
from rootless.network.ports import PortMapping
from rootless.oci.config import encode_run
from rootless.record import Record
from rootless.sandbox.operations.tree import Files
from rootless.store import skeleton

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.container.overrides import Overrides
    from rootless.container.spec import ContainerSpec, Mount
    from rootless.network.choice import Choice
    from rootless.oci.config import ImageConfig
    from rootless.roots import Root
    from rootless.sandbox.spec import Operation, Spec
    from rootless.store import Store
    from rootless.store.ready import Ready
    from rootless.userns import IdMap

_OWN_NETWORK = frozenset({"none", *choice.CONNECTED})


class Ground(Record):
    """What a start stands on: an image of the store with all its layers, the ids of this process,
    $PATH to find programs on, and a short private directory for sockets. `cgroup` is the directory
    of the container's own, where it has one.
    """

    store: Store
    image: Ready
    ids: IdMap
    search_path: str
    runtime_dir: str
    cgroup: str = ""


class Links(Record):
    """What ties a sandbox to who carries it out: matters only with a network, or a terminal.

    `addresses` are its own, where they are known before it starts, and `resolvers` whom it asks.
    `netns_fd` is its network namespace, where that is there before it.
    """

    network: Choice
    await_fd: int = -1
    terminal_fd: int = -1
    addresses: tuple[str, ...] = ()
    resolvers: tuple[str, ...] = ()
    netns_fd: int = -1


def specify(asked: ContainerSpec, changes: Overrides, image: Ready) -> ContainerSpec:
    """A new container of the image, with an id. RootlessError: nothing to execute."""
    config = changes.over(image.config)
    overrides.check(config, asked.image)
    if asked.on_unhealthy:
        from rootless.container import health

        health.check_action(asked.on_unhealthy, config.healthcheck)
    return asked.replace(
        id=asked.id or homes.new_id(),
        ports=_published(asked, config),
        image_id=image.id,
        created=time.time(),
        config=encode_run(config),
    )


def _published(asked: ContainerSpec, config: ImageConfig) -> tuple[PortMapping, ...]:
    """With -P, every exposed port that -p does not name is published, too."""
    if not asked.publish_all:
        return asked.ports
    named = {f"{one.container_port}/{one.protocol}" for one in asked.ports}
    others = (port.partition("/") for port in config.exposed_ports if port not in named)
    more = (PortMapping(int(port), protocol=kind or "tcp") for port, _, kind in others)
    return (*asked.ports, *more)


def plan(ground: Ground, spec: ContainerSpec, home: str, links: Links, root: Root) -> Spec:
    """The container's sandbox in the tree `root`. Nothing is mounted or started yet."""
    mode = links.network.mode
    network = runspec.Network(
        own=mode in _OWN_NETWORK,
        await_fd=links.await_fd,
        provider=links.network.mode,
        fd=links.netns_fd,
    )
    isolation = runspec.Isolation(
        hostname=spec.own_name,
        network=network,
        mounts=(
            *_listed(spec),
            _etc(spec, links, f"{home}/etc"),
            *mounts.operations(
                ground.store, spec, home, lambda one: stack(ground.store, spec, one)
            ),
        ),
        terminal_fd=links.terminal_fd,
        read_only=spec.read_only,
        own_cgroup=os.path.exists("/sys/fs/cgroup/cgroup.controllers"),
        init=spec.init,
        cgroup=ground.cgroup,
    )
    confined, isolation = confine(own.process(spec), isolation, spec.confinement)
    if spec.confinement.others:
        from rootless.container import networking

        isolation = isolation.replace(others=networking.others(ground.store, spec))
    sandbox = runspec.container(ground.ids, root, confined, isolation)
    own_ids = spec.confinement.own_ids or _apart(spec)
    return sandbox.replace(own_ids=own_ids) if own_ids else sandbox


def _listed(spec: ContainerSpec) -> tuple[Operation, ...]:
    """Whoever started it, in its list of users, where they are to be found there."""
    if not spec.confinement.userns:
        return ()
    from rootless.container import identity

    return identity.listed(spec)


def _apart(spec: ContainerSpec) -> IdMap | None:
    """On networks of the user's the same ids in a user namespace of its own: whatever powers it is
    given, it has none over the bridges, which belong to the one around it.
    """
    return userns.current() if spec.is_bridged else None


def stack(store: Store, spec: ContainerSpec, mount: Mount) -> tuple[str, ...]:
    """The layers of an image that is mounted, topmost first, held."""
    return layers(_mounted(store, mount).layers, spec)


def _mounted(store: Store, mount: Mount) -> Ready:
    from rootless.store import images, ready

    return ready.recall(store, mount.name) or ready.of(store, images.resolve(store, mount.name))


def connect_by_hand(spec: ContainerSpec, network: Choice, folder: str) -> tuple[str, ...]:
    """The shell lines that connect a container in `folder` as `run` would; see `byhand`."""
    from rootless.container import byhand

    return byhand.network(network, spec.ports, folder, forward_dns=connecting.forwards_dns())


def missing_sources(spec: ContainerSpec) -> tuple[str, ...]:
    """What is to be mounted and is not there."""
    return mounts.missing(spec.mounts)


def furnish(ground: Ground, spec: ContainerSpec) -> None:
    """Make what the store must have for a start of this container. RootlessError."""
    skeleton.path(ground.store)
    for one in spec.mounts:
        if one.kind == "volume" and one.name:
            _fit_volume(ground.store, one.name)
    if own_ids := spec.confinement.own_ids:
        from rootless.container import identity
        from rootless.store import owned

        identity.check(own_ids, ground.ids)
        others = [_mounted(ground.store, one).layers for one in spec.mounts if one.kind == "image"]
        for layer in dict.fromkeys(sum(others, ground.image.layers)):
            owned.make(ground.store, layer, own_ids)


def _fit_volume(store: Store, name: str) -> None:
    """One that was filled with fewer ids, or with more, than there are here."""
    from rootless import owners
    from rootless.store import volumes

    data, recorded = store.path("volumes", name, volumes.DATA), owners.are_recorded()
    if os.path.isdir(data) and owners.is_marked(data) != recorded:
        from rootless.store import belonging

        belonging.fit(data, recorded=recorded)


def layers(image: tuple[str, ...], spec: ContainerSpec) -> tuple[str, ...]:
    """What the container sees of its image's layers: copies, where it has ids of its own."""
    own_ids = spec.confinement.own_ids
    if not own_ids:
        return image
    from rootless.store import owned

    return tuple(owned.path(layer, own_ids) for layer in image)


def root(ground: Ground, spec: ContainerSpec, home: str) -> Root:
    """The container's tree, with its writable layer in `home`."""
    shown = list(layers(ground.image.layers, spec))
    bottom = ground.store.path("skeleton")
    if shown and not os.path.isdir(bottom):  # a plan before the first container
        bottom = shown.pop()
    return roots.present(ground.store, shown, home, bottom=bottom, volatile=spec.remove)


def _etc(spec: ContainerSpec, links: Links, folder: str) -> Files:
    """hostname, hosts and resolv.conf of the container's own, in /etc."""
    contents = (
        ("/etc/hostname", f"{spec.own_name}\n"),
        *(("/etc/hosts", hosts) for hosts in _hosts(spec, links)),
        ("/etc/resolv.conf", _resolv_conf(spec, links)),
    )
    return Files(folder, contents)


def _hosts(spec: ContainerSpec, links: Links) -> Iterator[str]:
    if not spec.confinement.own_hosts:
        return
    names = spec.own_name
    if spec.domainname:
        names = f"{names}.{spec.domainname} {names}"
    own, *others = links.addresses or ("127.0.1.1",)
    yield dns.hosts(names, own, (*spec.hosts, *((address, names) for address in others)))


def _resolv_conf(spec: ContainerSpec, links: Links) -> str:
    """The host's, less what cannot be reached from a network of one's own."""
    return dns.searching(_resolvers(spec, links), spec.dns_search, spec.dns_options)


def _resolvers(spec: ContainerSpec, links: Links) -> str:
    host, mode = dns.of_host(), links.network.mode
    if mode == "none":
        return ""
    if links.resolvers:
        return dns.resolv_conf(host, "", links.resolvers)
    forwarder = ""
    if mode in choice.PACKAGES and dns.needs_forwarder(host):
        from rootless.network import attach

        forwarder = attach.FORWARDERS[mode]
    elif mode == "host" and not spec.dns:
        return host
    return dns.resolv_conf(host, forwarder, spec.dns)
