"""`network …`: networks of the user's own, listed, made, shown, joined, left and removed.

docker's flags, words and JSON. bridge, host and none are shown as docker shows them; the first is
what a container has without --network: a network of its own, by pasta.
"""

from __future__ import annotations

import os
import time

from rootless.cli import filters, listing, run_network, words
from rootless.container import events, networking, records
from rootless.container.spec import Container
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.network import addresses, networks
from rootless.network.networks import Network, Networks, Subnet
from rootless.network.wish import Wish
from rootless.store import Store
from rootless.store import events as store_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.cli.filters import Filters
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

_HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}
_COLUMNS = ("ID", "Name", "Driver", "Scope")
_LS_FILTERS = ("dangling", "driver", "id", "label", "label!", "name", "scope", "type")
_PRUNE_FILTERS = ("label", "label!", "until")
_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}
_ELSEWHERE = ("macvlan", "ipvlan", "overlay", "ipvlan-l3s")


def create(given: Settings, arguments: Arguments) -> int:
    """Make a network, and print its id."""
    known = _known(given)
    name = arguments.network
    name = networks.check_name(f"network-{os.urandom(4).hex()}" if name is None else name)
    _check_drivers(arguments)
    wanted = Network(
        id=os.urandom(32).hex(),
        name=name,
        created=time.time(),
        subnets=_subnets(arguments),
        internal=arguments.internal,
        ipv6=arguments.ipv6 or any(":" in one for one in arguments.subnet),
        attachable=arguments.attachable,
        labels=_pairs(arguments.label),
        options=_pairs(arguments.opt),
        ipam_options=_pairs(arguments.ipam_opt),
    )
    store = Store(given.root)
    store.create()
    try:
        with store.writing():
            made = networks.defined(known, wanted)
        events.tell_network(store, "create", made)
    except RootlessError:
        if not arguments.ignore or not _exists(known, name):
            raise
        made = known.find(name)
    print(made.id)
    return 0


def _check_drivers(arguments: Arguments) -> None:
    driver = arguments.driver
    if driver in ("host", "null", "none"):
        raise RootlessError(
            f'only one instance of "{driver}" network is allowed',
            hint="it is there already: rootless run --network host",
        )
    if driver in _ELSEWHERE:
        raise RootlessError(
            f"the driver {driver} needs the machine's own network devices, which are its root's",
            hint="leave out --driver: a bridge is what an ordinary user can have",
        )
    if driver not in ("", "bridge"):
        raise RootlessError(f'plugin "{driver}" not found', hint="leave out --driver")
    if arguments.ipam_driver not in ("", "default", "host-local"):
        raise RootlessError(f'plugin "{arguments.ipam_driver}" not found')
    if not arguments.ipv4:
        raise RootlessError(
            "IPv4 or IPv6 must be enabled"
            if not arguments.ipv6
            else "networks always have IPv4 here",
            hint="leave out --ipv4=false",
        )
    for field in ("config_only", "ingress", "disable_dns"):
        if getattr(arguments, field):
            raise RootlessError(
                f"there is no --{field.replace('_', '-')} here", hint="leave it out"
            )
    if arguments.scope not in (None, "", "local"):
        raise RootlessError(f"there is no scope {arguments.scope!r} but local")


def _subnets(arguments: Arguments) -> tuple[Subnet, ...]:
    """--subnet with the --gateway, --ip-range and --aux-address within each; docker's words."""
    blocks = [addresses.block(text) for text in arguments.subnet]
    if len({str(block) for block in blocks}) < len(blocks) or any(
        one.overlaps(other) for one in blocks for other in blocks if one is not other
    ):
        raise UsageError("multiple overlapping subnet configuration is not supported")
    made = [Subnet(str(block), "") for block in blocks]
    for text in arguments.ip_range:
        within = addresses.block(text)
        at = _holding(blocks, addresses.show(within.base, is_six=within.is_six), "range", text)
        if within.length < blocks[at].length:
            raise UsageError(f"no matching subnet for range {text}")
        made[at] = made[at].replace(ip_range=str(within))
    for text in arguments.gateway:
        made[_holding(blocks, text, "gateway", text)] = made[
            _holding(blocks, text, "gateway", text)
        ].replace(gateway=text)
    for name, address in _pairs(arguments.aux_address):
        at = _holding(blocks, address, "aux-address", address)
        made[at] = made[at].replace(taken=(*made[at].taken, (name, address)))
    return tuple(made)


def _holding(blocks: Sequence[addresses.Block], address: str, what: str, text: str) -> int:
    """Which of the blocks an address is in."""
    if not blocks:
        raise UsageError(
            "every ip-range or gateway must have a corresponding subnet", hint="write --subnet, too"
        )
    for at, block in enumerate(blocks):
        if block.holds(address):
            return at
    raise UsageError(
        f"no matching subnet for {what} {text}",
        hint=f"choose an address of {' or '.join(map(str, blocks))}",
    )


def exists(given: Settings, arguments: Arguments) -> int:
    """0 when there is such a network, else 1."""
    name = arguments.network
    return int(name not in networks.PREDEFINED and not _exists(_known(given), name))


def _exists(known: Networks, name: str) -> bool:
    try:
        known.find(name)
    except NotFoundError:
        return False
    return True


def ls(given: Settings, arguments: Arguments) -> int:
    """List networks, by name."""
    asked = filters.parse(arguments.filter, _LS_FILTERS)
    known = _known(given)
    chosen = _chosen(known, asked)
    found = [one for one in _every(Store(given.root), known) if chosen(one)]
    if arguments.quiet and not arguments.format:
        for one in found:
            print(one.id if arguments.no_trunc else one.id[:12])
        return 0
    rows = [_row(one, full=arguments.no_trunc) for one in found]
    methods = [{"Label": _labelled(one)} for one in found]
    headings = not arguments.noheading
    listing.show(rows, _HEADERS, _COLUMNS, arguments.format or "", methods, headings=headings)
    return 0


def inspect(given: Settings, arguments: Arguments) -> int:
    """Print what networks are; those found even when others are not."""
    from rootless.cli import jsontext

    store = Store(given.root)
    found, errors = [], []
    for name in arguments.names:
        try:
            found.append(value(store, name))
        except RootlessError as error:
            errors.append(error)
    form = arguments.format or ""
    if form in ("", "json"):
        print(jsontext.compact(found) if form else jsontext.indented(found))
    else:
        for one in found:
            listing.show_value(one, form)
    return _ended(errors)


def rm(given: Settings, arguments: Arguments) -> int:
    """Remove networks; goes on after an error, which is raised at the end."""
    store, known = Store(given.root), _known(given)
    errors: list[RootlessError] = []
    for name in arguments.names:
        try:
            if name in networks.PREDEFINED:
                raise RootlessError(f"{name} is a pre-defined network and cannot be removed")
            _remove(store, known, known.find(name))
        except NotFoundError as error:
            if not arguments.force:
                errors.append(error)
        except RootlessError as error:
            errors.append(error)
        else:
            print(words.escape(name), flush=True)
    return _ended(errors)


def prune(given: Settings, arguments: Arguments) -> int:
    """Remove networks that no container is on."""
    from rootless.cli import prune as asking

    asked = filters.parse(arguments.filter, _PRUNE_FILTERS)
    what = " all custom networks not used by at least one container."
    if not arguments.force and not asking.agreed(what):
        return 0
    removed = pruned(Store(given.root), asked)
    print_removed(removed)
    return 0


def print_removed(names: Sequence[str]) -> None:
    """Which were removed, as docker says it."""
    if names:
        print("Deleted Networks:", *map(words.escape, names), "", sep="\n")


def pruned(
    store: Store, asked: Filters, doomed: Callable[[Container], bool] = lambda _: False
) -> list[str]:
    """Remove the networks that are meant and that no container is on, running or not; names.

    Containers that are `doomed` count no more. Runs outside of the user namespace.
    """
    known = networking.networks(store)
    kept = (one for one in records.listing(store, lambda _: None) if not doomed(one))
    wished = {wish.network for one in kept for wish in one.spec.wishes}
    removed = []
    for one in known.listing():
        is_meant = asked.has_labels(dict(one.labels)) and asked.is_old_enough(one.created)
        if not is_meant or one.name in wished or known.endpoints(one):
            continue
        _remove(store, known, one)
        removed.append(one.name)
    store_events.pruned(store, "network")
    return removed


def _remove(store: Store, known: Networks, network: Network) -> None:
    """Forget a network that no running container is on, and take its bridge away."""
    with known.locked():
        there = known.endpoints(network)
        if there:
            names = " ".join(f'name:"{one.name}" id:"{one.id[:12]}"' for one in there)
            raise RootlessError(
                f"error while removing network: network {network.name} has active endpoints "
                f"({names})",
                hint=f"stop them, or: rootless network disconnect {network.name} {there[0].name}",
            )
        known.remove(network)
    _take_bridge_away(known, network)
    events.tell_network(store, "destroy", network)


def _take_bridge_away(known: Networks, network: Network) -> None:
    """Where there is one: in a child, for this process stays outside of the user namespace."""
    from rootless import process, userns
    from rootless.network import bridge, holder

    held = holder.find(known)
    if held is None:
        return

    def remove() -> None:
        userns.join(held.process.pid)
        bridge.remove(held.netns, network)

    try:
        process.run(remove)
    except (RootlessError, OSError):  # the holder has ended, and all bridges with it
        return


def connect(given: Settings, arguments: Arguments) -> int:
    """Put a container on a network, running or not."""
    store, known = Store(given.root), _known(given)
    container = _container(store, arguments.container)
    network = _own(known, arguments.network)
    wish = Wish(
        network.name,
        aliases=tuple(arguments.alias),
        address=arguments.ip or "",
        address6=arguments.ip6 or "",
        mac=run_network.mac(arguments.mac_address) if arguments.mac_address else "",
        links=tuple(map(run_network.link, arguments.link)),
    )
    from rootless.container import joining

    joining.connect(store, container, wish, given.environment.get("PATH", ""))
    return 0


def disconnect(given: Settings, arguments: Arguments) -> int:
    """Take a container off a network, running or not."""
    store, known = Store(given.root), _known(given)
    container = _container(store, arguments.container)
    from rootless.container import joining

    joining.disconnect(store, container, _own(known, arguments.network))
    return 0


def _own(known: Networks, name: str) -> Network:
    """A network that containers can be put on."""
    if name in networks.PREDEFINED:
        raise RootlessError(
            f"a container is put on the network {name} only as it is created",
            hint=f"rootless run --network {name}",
        )
    return known.find(name)


def _container(store: Store, name: str) -> Container:
    from rootless.cli.finding import find

    return find(store, name)


def _known(given: Settings) -> Networks:
    return networking.networks(Store(given.root))


def _every(store: Store, known: Networks) -> list[Network]:
    """All networks, those too that are always there, by name."""
    own = (_predefined(store, name) for name in networks.PREDEFINED)
    return sorted((*own, *known.listing()), key=lambda one: one.name)


def value(store: Store, text: str) -> dict[str, Any]:
    """docker's object of the network with this name, id or beginning of an id. NotFoundError."""
    known = networking.networks(store)
    for name in networks.PREDEFINED:
        network = _predefined(store, name)
        if text == name or (len(text) > 2 and network.id.startswith(text)):
            return _value(known, network)
    return _value(known, known.find(text))


def _predefined(store: Store, name: str) -> Network:
    """One of those that are always there, since the store is."""
    from hashlib import sha256

    try:
        created = os.stat(store.path("oci-layout")).st_mtime
    except OSError:
        created = time.time()
    return Network(sha256(f"{store.root} {name}".encode()).hexdigest(), name, created, ())


def _row(network: Network, *, full: bool) -> dict[str, str]:
    """What tables show of a network, by docker's names."""
    return {
        "CreatedAt": f"{_moment(network.created)} +0000 UTC",
        "Driver": _DRIVERS.get(network.name, "bridge"),
        "ID": network.id if full else network.id[:12],
        "IPv4": "true",
        "IPv6": str(network.ipv6).lower(),
        "Internal": str(network.internal).lower(),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(network.labels)),
        "Name": network.name,
        "Scope": "local",
    }


def _moment(seconds: float, between: str = " ") -> str:
    """A time as Go writes it: without the zeros at its end."""
    whole = time.strftime(f"%Y-%m-%d{between}%H:%M:%S", time.gmtime(seconds))
    fraction = f"{seconds % 1:.9f}"[1:].rstrip("0").rstrip(".")
    return whole + fraction


def _value(known: Networks, network: Network) -> dict[str, Any]:
    """docker's object of a network."""
    is_builtin = network.name in ("host", "none")
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": f"{_moment(network.created, 'T')}Z",
        "Scope": "local",
        "Driver": _DRIVERS.get(network.name, "bridge"),
        "EnableIPv4": True,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None if is_builtin else dict(network.ipam_options),
            "Config": None if is_builtin else [_config(one) for one in network.subnets],
        },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {one.container: _shown(network, one) for one in known.endpoints(network)},
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


def _config(subnet: Subnet) -> dict[str, Any]:
    optional = {
        "IPRange": subnet.ip_range,
        "Gateway": subnet.gateway,
        "AuxiliaryAddresses": dict(subnet.taken),
    }
    return {"Subnet": subnet.subnet, **{name: value for name, value in optional.items() if value}}


def _shown(network: Network, endpoint: networks.Endpoint) -> dict[str, str]:
    """A container on a network, as `network inspect` shows it."""
    return {
        "Name": endpoint.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac,
        "IPv4Address": network.with_length(endpoint.address),
        "IPv6Address": network.with_length(endpoint.address6),
    }


def _chosen(known: Networks, asked: Filters) -> Callable[[Network], bool]:
    """Which networks are listed; values of a key are alternatives, but labels must all be there."""
    dangling = asked.flag("dangling")
    names, kinds = asked.patterns("name"), asked.values("type")
    if any(kind not in ("custom", "builtin") for kind in kinds):
        raise UsageError(f"invalid filter: 'type'='{kinds[0]}'", hint="write custom or builtin")

    def is_chosen(network: Network) -> bool:
        is_builtin = network.name in networks.PREDEFINED
        driver, ids = _DRIVERS.get(network.name, "bridge"), asked.values("id")
        return (
            asked.has_labels(dict(network.labels))
            and (not kinds or ("builtin" if is_builtin else "custom") in kinds)
            and (not names or any(name.search(network.name) for name in names))
            and (not ids or any(one in network.id for one in ids))
            and (not asked.values("driver") or driver in asked.values("driver"))
            and (not asked.values("scope") or "local" in asked.values("scope"))
            and (dangling is None or dangling == (not is_builtin and not known.endpoints(network)))
        )

    return is_chosen


def _labelled(network: Network) -> Callable[[str], str]:
    return lambda name: dict(network.labels).get(name, "")


def _pairs(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = dict(text.partition("=")[::2] for text in texts)
    return tuple(found.items())


def _ended(errors: list[RootlessError]) -> int:
    if errors:
        raise RootlessError("\n".join(one.message for one in errors), hint=errors[0].hint)
    return 0
