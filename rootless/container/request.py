"""What a caller asks to be run. Values only; the command line makes them from its flags."""

from __future__ import annotations

from rootless.record import Record
from rootless.sandbox import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.network.choice import Choice
    from rootless.network.ports import PortMapping
    from rootless.sandbox.spec import Operation


class Request(Record):
    """One container. `entrypoint` and `command` replace the image's; None keeps them.

    `ports` are claimed. `runtime_dir` is a short private directory for sockets. `seccomp` is the
    filter's BPF program, b"" for none. `hosts` are (name, address) pairs.
    """

    image: str
    network: Choice
    runtime_dir: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = {}
    working_dir: str = ""
    user: str | None = None
    name: str = ""
    hostname: str = ""
    ports: tuple[PortMapping, ...] = ()
    mounts: tuple[Operation, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    remove: bool = False
    read_only: bool = False
    init: bool = False
    interactive: bool = False
    terminal: bool = False
    capabilities: frozenset[str] = caps.DEFAULT
    no_new_privileges: bool = False
    seccomp: bytes = b""
    cidfile: str = ""
