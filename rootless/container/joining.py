"""Putting containers on networks, and taking them off, while they run or not.

What a container wishes for is kept in its record, so it is there at its next start. One that runs
is plugged in at once, by a child that joins the holder's user namespace; it must live there, as all
do that were started on a user-defined network. Runs in any process of the user's, outside.
"""

from __future__ import annotations

from rootless import process, userns
from rootless.container import events, homes, networking
from rootless.errors import RootlessError
from rootless.network import choice, holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import Container, ContainerSpec
    from rootless.network.bridge import Plugged
    from rootless.network.networks import Network
    from rootless.network.wish import Wish
    from rootless.store import Store


def connect(store: Store, container: Container, wish: Wish, search_path: str) -> None:
    """Put it on a network, with programs of `search_path` where the bridges must be made.

    RootlessError in docker's words when it is on it already.
    """
    _with(container.spec, wish)
    if _is_for_good(container.spec.network):
        raise RootlessError(
            f"cannot connect container {container.name} to user-defined "
            f"networks: its network is {container.spec.network}",
            hint="create it again with --network NAME",
        )
    if container.is_running:
        _plug(store, container, wish, search_path)
    homes.rewrite(store, container, lambda now: _with(now, wish))


def _with(spec: ContainerSpec, wish: Wish) -> ContainerSpec:
    """On one more network."""
    if any(one.network == wish.network for one in spec.wishes):
        raise RootlessError(
            f"endpoint with name {spec.name} already exists in network {wish.network}",
            hint="it is connected already",
        )
    network = spec.network if spec.wishes else wish.network
    return spec.replace(network=network, wishes=(*spec.wishes, wish))


def _is_for_good(network: str) -> bool:
    """Whether a container that has this one never has another."""
    return network in ("host", "none") or choice.is_anothers(network)


def _plug(store: Store, container: Container, wish: Wish, search_path: str) -> None:
    """Into one that runs."""
    known = networking.networks(store)
    there = [one for _, one in known.of_container(container.id)] or known.off(container.id)
    if not there:
        raise RootlessError(
            f"container {container.name} was started with a network of its own, "
            "outside of those that are connected",
            hint="stop it, connect it and start it again; or run it with --network",
        )
    from rootless.network import bridge, membership

    held = holder.ensure(known, networking.way_out(search_path))
    member = bridge.member(there[0])

    def plug() -> None:
        userns.join(held.process.pid)
        membership.connect(known, member, wish, held)

    process.run(plug)
    events.tell_network(store, "connect", known.find(wish.network), container.id)


def disconnect(store: Store, container: Container, network: Network) -> None:
    """Take it off a network. RootlessError in docker's words when it is not on it."""
    known = networking.networks(store)
    kept = _without(container.spec, network)
    there = known.of_container(container.id) if container.is_running else []
    plugged = [one for one in there if one[0].id == network.id]
    if not plugged and kept == container.spec:
        raise RootlessError(
            f"container {container.id} is not connected to network {network.name}",
            hint=f"see who is: rootless network inspect {network.name}",
        )
    if plugged:
        _unplug(store, plugged[0])
        events.tell_network(store, "disconnect", network, container.id)
    homes.rewrite(store, container, lambda now: _without(now, network))


def _without(spec: ContainerSpec, network: Network) -> ContainerSpec:
    """On one network less, if it is on it."""
    kept = tuple(one for one in spec.wishes if one.network != network.name)
    return spec.replace(network=kept[0].network if kept else spec.network, wishes=kept)


def _unplug(store: Store, plugged: Plugged) -> None:
    from rootless.network import membership

    known = networking.networks(store)
    owner = plugged[1].owner

    def unplug() -> None:
        userns.join(owner.pid)
        membership.disconnect(known, plugged)

    process.run(unplug)
