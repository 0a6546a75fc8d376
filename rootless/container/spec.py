"""A container as a value: what was asked for, as it is in its container.json. Pure.

All that a start needs is here, in plain values, so that another process can start it again: what
this machine adds each time (programs, ids, free ports) is found by `start` and told in the state.
"""

from __future__ import annotations

from rootless import record_json
from rootless.container.confinement import Confinement
from rootless.container.limits import Limits
from rootless.container.state import ContainerState, moment
from rootless.network.ports import PortMapping
from rootless.network.wish import Wish
from rootless.oci.config import ImageConfig, decode_run
from rootless.oci.digest import Digest
from rootless.oci.platform import Platform
from rootless.record import Record
from rootless.sandbox import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Mount(Record):
    """Something shown in a container: `kind` is bind, volume, image or tmpfs.

    `source` is a path of the host (bind), or what an image is called. `name` is a volume's, "" for
    one that is to be made for this container alone, or the image's id, once that is settled.
    `options` are words, of -v as they are typed (z, nocopy, rslave, U, …) and of --mount with their
    values (subpath=DIR); a tmpfs's are those of mount(8). `flag` is which of -v, --mount and
    --tmpfs asks for it, "" where the image or another container has it.
    """

    kind: str
    target: str
    source: str = ""
    name: str = ""
    read_only: bool = False
    options: tuple[str, ...] = ()
    flag: str = ""

    def value(self, key: str) -> str:
        """What stands behind KEY= in the options; "" where it is not there."""
        return next(iter(self._behind(key)), "")

    def values(self, key: str) -> dict[str, str]:
        """The NAME=VALUE pairs behind each KEY= in the options."""
        pairs = (one.partition("=") for one in self._behind(key))
        return {name: value for name, _, value in pairs}

    def _behind(self, key: str) -> list[str]:
        start = f"{key}="
        return [one.removeprefix(start) for one in self.options if one.startswith(start)]


class Restart(Record):
    """When it is started again: `policy` is docker's word, `most` how often at most, 0 for ever."""

    policy: str = "no"
    most: int = 0


class ContainerSpec(Record):
    """What a container is.

    `config` is how its process runs, in JSON, as an image's config says it: what the image says and
    the user did not change, but for SHELL and ONBUILD. `network` is the mode or network it is on,
    `container:ID` for another's, and `wishes` are all user-defined ones; of one that was taken off
    them all, `network` is the last it was on. `hosts` are (address, name) pairs of /etc/hosts.
    `seccomp` is "" for the filter of our own, unconfined, or a profile's JSON. `stop_timeout` is in
    seconds. `requires` are the names of those to be started first.
    `on_unhealthy` is what is done when its health checks fail: kill, restart, stop or "". It is
    killed when it has run for `timeout` seconds, with 0 never.
    `created_by` are the flags, image and command that would make another: see `run_words`.
    """

    id: str
    name: str
    image: str
    image_id: Digest
    created: float
    config: Mapping[str, Any] = {}
    hostname: str = ""
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    publish_all: bool = False
    network: str = ""
    wishes: tuple[Wish, ...] = ()
    reaches_host: bool = False
    hosts: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    domainname: str = ""
    capabilities: frozenset[str] = caps.DEFAULT
    no_new_privileges: bool = False
    seccomp: str = ""
    read_only: bool = False
    init: bool = False
    terminal: bool = False
    interactive: bool = False
    detached: bool = False
    remove: bool = False
    cidfile: str = ""
    stop_timeout: int | None = None
    restart: Restart = Restart()
    limits: Limits = Limits()
    created_by: tuple[str, ...] = ()
    log_driver: str = "json-file"
    pod: str = ""
    requires: tuple[str, ...] = ()
    confinement: Confinement = Confinement()
    log_options: Mapping[str, str] = {}
    on_unhealthy: str = ""
    timeout: int = 0
    annotations: Mapping[str, str] = {}

    @property
    def run(self) -> ImageConfig:
        """`config` as a value; IntegrityError where it is damaged."""
        return ImageConfig(Platform("linux", ""), **decode_run(self.config))

    @property
    def command(self) -> tuple[str, ...]:
        """All of what is executed."""
        run = self.run
        return (*(run.entrypoint or ()), *(run.cmd or ()))

    @property
    def is_bridged(self) -> bool:
        """Whether it lives where user-defined networks are: on some, or taken off all of them."""
        from rootless.network import choice

        return bool(self.wishes) or choice.is_user_defined(self.network)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of all it is on."""
        return tuple(one.network for one in self.wishes) if self.is_bridged else (self.network,)

    @property
    def called(self) -> str:
        """Its name, also where none is recorded because it is gone with its command."""
        return self.name or name_of(self.id)

    @property
    def own_name(self) -> str:
        """Its host name."""
        return self.hostname or self.id[:12]


def name_of(container_id: str) -> str:
    """That of a container whose record has none."""
    from rootless.container import names

    return names.of(container_id)


class Container(Record):
    """One container: what it is, and how it fares."""

    spec: ContainerSpec
    state: ContainerState

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def short(self) -> str:
        """The first 12 digits of the id."""
        return self.spec.id[:12]

    @property
    def name(self) -> str:
        """The one it was given, by the user or by us."""
        return self.spec.called

    @property
    def image(self) -> str:
        return self.spec.image

    @property
    def image_id(self) -> Digest:
        return self.spec.image_id

    @property
    def created(self) -> float:
        return self.spec.created

    @property
    def command(self) -> tuple[str, ...]:
        """All of what is executed."""
        return self.spec.command

    @property
    def is_running(self) -> bool:
        """Whether it has processes, or is about to."""
        return self.state.is_running

    @property
    def labels(self) -> Mapping[str, str]:
        """What it is labelled with, by its image and by the user."""
        return self.spec.run.labels

    @property
    def ports(self) -> tuple[PortMapping, ...]:
        """Those published now."""
        return self.state.ports if self.is_running else ()


class Damaged(Record):
    """A container whose record cannot be read, and why; it can only be removed.

    `is_running` says that its directory is held, whatever is written there.
    """

    id: str
    why: str
    is_running: bool


def decode(value: object) -> ContainerSpec:
    """From container.json's object; IntegrityError names the field that is wrong."""
    spec = record_json.decode(ContainerSpec, value, "container.json")
    moment(spec.created, "created")
    decode_run(spec.config)
    return spec
