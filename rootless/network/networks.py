"""User-defined networks: what they are, and who is on them.

    networks/<name>.json        a network: id, subnets, labels; durable
    networks/live/lock          flocked exclusively by whoever changes anything here
    networks/live/<id>.json     its endpoints: one for each container that runs on it
    networks/live/off.json      what runs and was taken off all networks: it may be put on one again
    networks/live/holder.json   the process that owns the namespace of the bridges (`holder`)

Everything is replaced by rename. An endpoint names the process that answers for its container;
one whose process has ended is none, whoever reads it, and is dropped by the next change: so the
addresses of what was killed are free again. What is in live/ may be lost at any time but while
containers run. Runs in any process of the user's, inside or outside of the user namespace.
"""

from __future__ import annotations

import fcntl
import os

from rootless import leanjson, living
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.network import addresses
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rootless.living import Process

PREDEFINED = ("bridge", "host", "none")
_RESERVED = (*PREDEFINED, "default", "container", "pasta", "slirp4netns", "private")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MOST_LETTERS = 128
_OUTSIDE = "10.0.2.0/24"  # what pasta and slirp4netns use between the bridges and the host
_SHORT = 12

Pairs = tuple[tuple[str, str], ...]


class Subnet(Record):
    """Addresses of a network; `taken` are names of addresses that are given to nobody."""

    subnet: str
    gateway: str
    ip_range: str = ""
    taken: Pairs = ()

    @property
    def block(self) -> addresses.Block:
        """All its addresses."""
        return addresses.block_of(self.subnet)


class Network(Record):
    """A network as it was created; `created` in seconds since 1970."""

    id: str
    name: str
    created: float
    subnets: tuple[Subnet, ...]
    internal: bool = False
    ipv6: bool = False
    attachable: bool = False
    labels: Pairs = ()
    options: Pairs = ()
    ipam_options: Pairs = ()

    @property
    def bridge(self) -> str:
        """The name of its bridge: `nftables` knows by it whether it may go out."""
        return f"{'ri' if self.internal else 'rl'}{self.id[:_SHORT]}"

    @property
    def gateways(self) -> tuple[str, ...]:
        """The holder's own addresses on it, at which its resolver answers."""
        return tuple(one.gateway for one in self.subnets)

    def with_length(self, address: str) -> str:
        """An address of it as `ADDRESS/BITS`; "" for none."""
        found = (one.block.length for one in self.subnets if address and one.block.holds(address))
        return "".join(f"{address}/{length}" for length in found)


class Endpoint(Record):
    """One container on one network. `netns` is a path to its network namespace, `owner` who
    answers for it; `interface` is what it sees; `links` are (alias, container) of its own."""

    id: str
    container: str
    name: str
    owner: Process
    netns: str
    interface: str
    mac: str
    address: str = ""
    address6: str = ""
    aliases: tuple[str, ...] = ()
    links: Pairs = ()
    dns: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """The other end of its cable, a port of the bridge."""
        return f"v{self.id[:_SHORT]}"

    @property
    def names(self) -> tuple[str, ...]:
        """What it is called on its network."""
        return (self.name, self.container[:_SHORT], *self.aliases)


OFF = Network("off", "", 0.0, ())
"""No network: its endpoints are those of running containers that are on none, and may be again."""


class Networks:
    """The networks of one store, in its folder `networks`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def locked(self) -> _Locked:
        """`with networks.locked():` nobody else changes anything. Not twice in one process."""
        return _Locked(self.path("live"))

    def path(self, *parts: str) -> str:
        """A path in the folder."""
        return os.path.join(self.folder, *parts)

    def listing(self) -> list[Network]:
        """All of them, by name."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        found = (self._read(name) for name in names if name.endswith(".json"))
        return [one for one in found if one]

    def find(self, text: str) -> Network:
        """By name, by id, or by the beginning of one id. NotFoundError in docker's words."""
        if _is_name(text) and (found := self._read(f"{text}.json")):
            return found
        every = self.listing()
        meant = [one for one in every if text and one.id.startswith(text)]
        if len(meant) > 1:
            raise RootlessError(
                f"network {text} is ambiguous ({len(meant)} matches found on name)",
                hint="write more of its id, or its name: rootless network ls",
            )
        if not meant:
            from rootless import nearest

            raise NotFoundError(
                f"network {text} not found",
                hint=nearest.hint(text, [*PREDEFINED, *(one.name for one in every)])
                or f"make it with: rootless network create {text}; "
                "see those there are: rootless network ls",
            )
        return meant[0]

    def save(self, network: Network) -> None:
        """Make a network; under the lock. RootlessError in docker's words when its name is used."""
        if os.path.lexists(self.path(f"{network.name}.json")):
            raise RootlessError(
                f"network with name {network.name} already exists",
                hint=f"choose another name, or remove it: rootless network rm {network.name}",
            )
        self._replace(f"{network.name}.json", _plain(network), durable=True)

    def remove(self, network: Network) -> None:
        """Forget a network; under the lock."""
        for name in (f"{network.name}.json", f"live/{network.id}.json"):
            try:
                os.unlink(self.path(name))
            except FileNotFoundError:
                pass

    def endpoints(self, network: Network) -> tuple[Endpoint, ...]:
        """Those whose container still runs, in the order in which they came."""
        return tuple(one for one in self.recorded(network.id) if living.is_alive(one.owner))

    def recorded(self, network_id: str) -> tuple[Endpoint, ...]:
        """All endpoints written down, also of what was killed."""
        value = self._load(f"live/{network_id}.json")
        return tuple(_endpoint(one) for one in value) if isinstance(value, list) else ()

    def set_endpoints(self, network: Network, endpoints: Iterable[Endpoint]) -> None:
        """Replace the endpoints of a network; under the lock."""
        self._replace(f"live/{network.id}.json", [_plain(one) for one in endpoints])

    def of_container(self, container: str) -> list[tuple[Network, Endpoint]]:
        """Where a running container is, by the names of the networks."""
        return [
            (network, one)
            for network in self.listing()
            for one in self.endpoints(network)
            if one.container == container
        ]

    def off(self, container: str) -> list[Endpoint]:
        """How a running container is reached that was taken off all networks; else nothing."""
        return [one for one in self.endpoints(OFF) if one.container == container]

    def write_live(self, name: str, value: object) -> None:
        """Replace a file of live/; under the lock."""
        self._replace(f"live/{name}", value)

    def read_live(self, name: str) -> object:
        """What a file of live/ says; None when there is none, or it says nothing."""
        return self._load(f"live/{name}")

    def _read(self, name: str) -> Network | None:
        value = self._load(name)
        if value is None:
            return None
        try:
            return _network(value)
        except (TypeError, KeyError, ValueError):
            raise IntegrityError(
                f"{self.path(name)} is damaged: it describes no network",
                hint="remove that file, and create the network again",
            ) from None

    def _load(self, name: str) -> object:
        try:
            with open(self.path(name), "rb") as file:
                content = file.read(leanjson.MAX_BYTES)
        except FileNotFoundError:
            return None
        return leanjson.loads(content, self.path(name))

    def _replace(self, name: str, value: object, *, durable: bool = False) -> None:
        path = self.path(name)
        unfinished = self.path("live", f".{os.getpid()}.new")
        with open(unfinished, "wb") as file:
            file.write(leanjson.dumps(value))
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(unfinished, path)


class _Locked:
    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(os.path.join(self._folder, "lock"), flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def check_name(name: str) -> str:
    """A network's name, if it may be one. UsageError."""
    if name in _RESERVED:
        raise UsageError(
            f"operation is not permitted on predefined {name} network", hint="choose another name"
        )
    if not _is_name(name) or not name[0].isalnum() or len(name) > _MOST_LETTERS:
        raise UsageError(
            f"invalid network name {name[:_MOST_LETTERS]!r}",
            hint="a name begins with a letter or digit, and has letters, digits and _ . - only",
        )
    return name


def _is_name(text: str) -> bool:
    return bool(text) and _LETTERS.issuperset(text) and not text.startswith(".")


def defined(networks: Networks, wanted: Network) -> Network:
    """`wanted` with subnets where it asks for none, made in the store. RootlessError on a clash."""
    with networks.locked():
        others = networks.listing()
        blocks = [one.block for other in others for one in other.subnets]
        taken = [*blocks, addresses.block_of(_OUTSIDE)]
        for subnet in wanted.subnets:
            _check_free(subnet, taken)
        wanted = wanted.replace(subnets=_with_subnets(wanted, taken))
        networks.save(wanted)
    return wanted


def _check_free(subnet: Subnet, taken: list[addresses.Block]) -> None:
    if any(subnet.block.overlaps(one) for one in taken):
        raise RootlessError(
            f"invalid pool request: Pool overlaps with other one on this address space: "
            f"{subnet.subnet}",
            hint="choose another --subnet, or leave it out: one that is free is taken then",
        )


def _with_subnets(wanted: Network, taken: list[addresses.Block]) -> tuple[Subnet, ...]:
    subnets = list(wanted.subnets)
    if not any(not one.block.is_six for one in subnets):
        block = addresses.free_block((*taken, *addresses.host_routes()))
        subnets.insert(0, Subnet(str(block), ""))
    if wanted.ipv6 and not any(one.block.is_six for one in subnets):
        subnets.append(Subnet(str(addresses.free_six(bytes.fromhex(wanted.id[:14]))), ""))
    return tuple(one if one.gateway else _with_gateway(one, wanted.name) for one in subnets)


def _with_gateway(subnet: Subnet, name: str) -> Subnet:
    """The first address is the gateway's, of the range that is given out if there is one."""
    taken = {addresses.read(address)[0] for _, address in subnet.taken}
    within = addresses.block_of(subnet.ip_range) if subnet.ip_range else subnet.block
    if within.base != subnet.block.base:
        within = subnet.block
    return subnet.replace(gateway=addresses.free_address(within, taken, name))


def _plain(value: object) -> object:
    """A Record as JSON can say it."""
    if isinstance(value, Record):
        return {name: _plain(item) for name, item in value.__dict__.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _network(value: object) -> Network:
    if not isinstance(value, dict):
        raise TypeError
    subnets = (Subnet(**{**one, "taken": _pairs(one["taken"])}) for one in value["subnets"])
    lists = {name: _pairs(value[name]) for name in ("labels", "options", "ipam_options")}
    return Network(**{**value, **lists, "subnets": tuple(subnets)})


def _endpoint(value: dict[str, Any]) -> Endpoint:
    lists = {name: tuple(value[name]) for name in ("aliases", "dns")}
    owner = living.Process(**value["owner"])
    return Endpoint(**{**value, **lists, "links": _pairs(value["links"]), "owner": owner})


def _pairs(value: object) -> Pairs:
    assert isinstance(value, list)
    return tuple((str(name), str(text)) for name, text in value)
