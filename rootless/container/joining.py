"""Putting containers on networks, and taking them off, while they run or not.

What a container wishes for is kept in its record, so it is there at its next start. One that runs
is plugged in at once, by a child that joins the holder's user namespace; it must live there, as all
do that were started on a user-defined network. Runs in any process of the user's, outside.
"""

from __future__ import annotations

from rootless import process, userns
from rootless.container import events, homes, networking
from rootless.errors import RootlessError
from rootless.network import holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.container.spec import Container
    from rootless.network.bridge import Plugged
    from rootless.network.networks import Network
    from rootless.network.wish import Wish
    from rootless.store import Store


def connect(store: Store, container: Container, wish: Wish) -> None:
    """Put it on a network. RootlessError in docker's words when it is on it already."""
    known = networking.networks(store)
    wishes = container.spec.wishes
    if any(one.network == wish.network for one in wishes):
        raise RootlessError(
            f"endpoint with name {container.name} already exists in network {wish.network}",
            hint="it is connected already",
        )
    there = known.of_container(container.id) if container.is_running else []
    if container.is_running:
        _plug(store, container, there, wish)
    elif not wishes and container.spec.network in ("host", "none"):
        raise RootlessError(
            f"cannot connect container {container.name} to user-defined "
            f"networks: its network is {container.spec.network}",
            hint="create it again with --network NAME",
        )
    network = container.spec.network if wishes else wish.network
    homes.rewrite(store, container.spec.replace(network=network, wishes=(*wishes, wish)))


def _plug(store: Store, container: Container, there: list[Plugged], wish: Wish) -> None:
    """Into one that runs."""
    known = networking.networks(store)
    held = holder.find(known)
    if not there or held is None:
        raise RootlessError(
            f"container {container.name} was started with a network of its own, "
            "outside of those that are connected",
            hint="stop it, connect it and start it again; or run it with --network",
        )
    endpoint = there[0][1]
    from rootless.network import bridge, membership

    member = bridge.Member(
        container.id, container.name, endpoint.owner, endpoint.netns, endpoint.dns
    )

    def plug() -> None:
        userns.join(held.process.pid)
        membership.connect(known, member, wish, held)

    process.run(plug)
    events.tell_network(store, "connect", known.find(wish.network), container.id)


def disconnect(store: Store, container: Container, network: Network) -> None:
    """Take it off a network. RootlessError in docker's words when it is not on it."""
    known = networking.networks(store)
    kept = tuple(one for one in container.spec.wishes if one.network != network.name)
    there = known.of_container(container.id) if container.is_running else []
    plugged = [one for one in there if one[0].id == network.id]
    if not plugged and len(kept) == len(container.spec.wishes):
        raise RootlessError(
            f"container {container.id} is not connected to network {network.name}",
            hint=f"see who is: rootless network inspect {network.name}",
        )
    if plugged:
        _unplug(store, plugged[0])
        events.tell_network(store, "disconnect", network, container.id)
    first = kept[0].network if kept else "none"
    homes.rewrite(store, container.spec.replace(network=first, wishes=kept))


def _unplug(store: Store, plugged: Plugged) -> None:
    from rootless.network import membership

    known = networking.networks(store)
    owner = plugged[1].owner

    def unplug() -> None:
        userns.join(owner.pid)
        membership.disconnect(known, plugged)

    process.run(unplug)
