"""Published ports of containers in docker's words: the column of `ps`, and `port`."""

from __future__ import annotations

import os

from rootless.errors import RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.container.spec import Container
    from rootless.network.ports import PortMapping

_PROTOCOLS = ("tcp", "udp")


def port(given: Settings, arguments: Arguments) -> int:
    """Say where a container's ports are published, or one of them."""
    from rootless.cli.finding import find

    container = find(Store(given.root), arguments.container)
    wanted = _wanted(arguments.port) if arguments.port else ""
    lines = []
    for one in sorted(container.ports, key=lambda one: (one.container_port, one.protocol)):
        name = f"{one.container_port}/{one.protocol}"
        if wanted in ("", name):
            where = [f"{each}:{one.host_port}" for each in _addresses(container, one)]
            lines += where if wanted else [f"{name} -> {text}" for text in where]
    if wanted and not lines:
        raise RootlessError(
            f"no public port '{wanted}' published for {arguments.container}",
            hint=f"see those that are: rootless port {arguments.container}",
        )
    for line in lines:
        print(line)
    return 0


def _wanted(text: str) -> str:
    number, _, protocol = text.partition("/")
    if not (number.isascii() and number.isdecimal()) or protocol not in ("", *_PROTOCOLS):
        raise UsageError(f"invalid port {text!r}", hint="write 80, or 53/udp")
    return f"{int(number[:6])}/{protocol or 'tcp'}"


def _addresses(container: Container, mapping: PortMapping) -> tuple[str, ...]:
    if not mapping.host_ip:
        return ("0.0.0.0", "[::]") if _has_ipv6(container) else ("0.0.0.0",)
    return (f"[{mapping.host_ip}]" if ":" in mapping.host_ip else mapping.host_ip,)


def _has_ipv6(container: Container) -> bool:
    """Whether its ports are published for IPv6, too: slirp4netns does that for none."""
    return "slirp4netns" not in container.spec.networks and os.path.exists("/proc/net/if_inet6")


def _both(container: Container) -> Iterator[PortMapping]:
    """Those for every address once for IPv4 and once for IPv6, as far as they are."""
    for one in container.ports:
        yield one
        if not one.host_ip and _has_ipv6(container):
            yield one.replace(host_ip="::")


def column(container: Container) -> str:
    """As `ps` shows them: neighbours as a range; those that are only exposed by their number."""
    if not container.is_running:
        return ""
    shown = sorted(_both(container), key=_order)
    published = {(one.container_port, one.protocol) for one in shown}
    only = []
    for text in container.spec.run.exposed_ports:
        number, _, protocol = text.partition("/")
        if number.isdecimal() and (int(number), protocol or "tcp") not in published:
            only.append((int(number), protocol or "tcp"))
    return ", ".join([*map(_range, _runs(shown)), *_exposed(sorted(set(only)))])


def _order(mapping: PortMapping) -> tuple[str, str, int]:
    return mapping.protocol, mapping.host_ip, mapping.container_port


def _runs(mappings: list[PortMapping]) -> list[list[PortMapping]]:
    """Neighbours together; a port's addresses beside each other, as docker has them."""
    runs: list[list[PortMapping]] = []
    for one in mappings:
        if runs and _follows(runs[-1][-1], one):
            runs[-1].append(one)
        else:
            runs.append([one])
    return sorted(runs, key=lambda run: (run[0].protocol, run[0].container_port))


def _follows(before: PortMapping, one: PortMapping) -> bool:
    return (
        before.replace(container_port=before.container_port + 1, host_port=before.host_port + 1)
        == one
    )


def _range(run: list[PortMapping]) -> str:
    first, last = run[0], run[-1]
    if first == last:
        return str(first)
    address = str(first).rpartition(f":{first.host_port}->")[0]
    outside = f"{first.host_port}-{last.host_port}"
    return f"{address}:{outside}->{first.container_port}-{last.container_port}/{first.protocol}"


def _exposed(ports: list[tuple[int, str]]) -> list[str]:
    runs: list[list[int]] = []
    kinds: list[str] = []
    for number, protocol in sorted(ports, key=lambda one: (one[1], one[0])):
        if runs and kinds[-1] == protocol and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
            kinds.append(protocol)
    return [
        f"{run[0]}{f'-{run[-1]}' if len(run) > 1 else ''}/{kind}"
        for run, kind in zip(runs, kinds, strict=True)
    ]
