"""Published ports of containers in docker's words: the column of `ps`, and `port`."""

from __future__ import annotations

from rootless.errors import RootlessError, UsageError
from rootless.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
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
            where = [f"{address}:{one.host_port}" for address in _addresses(one)]
            lines += where if wanted else [f"{name} -> {text}" for text in where]
    if wanted and not lines:
        raise RootlessError(f"no public port '{wanted}' published for {arguments.container}")
    for line in lines:
        print(line)
    return 0


def _wanted(text: str) -> str:
    number, _, protocol = text.partition("/")
    if not (number.isascii() and number.isdecimal()) or protocol not in ("", *_PROTOCOLS):
        raise UsageError(f"invalid port {text!r}", hint="write 80, or 53/udp")
    return f"{int(number[:6])}/{protocol or 'tcp'}"


def _addresses(mapping: PortMapping) -> tuple[str, ...]:
    if not mapping.host_ip:
        return ("0.0.0.0", "[::]")
    return (f"[{mapping.host_ip}]" if ":" in mapping.host_ip else mapping.host_ip,)


def column(container: Container) -> str:
    """As `ps` shows them: neighbours as a range; those that are only exposed by their number."""
    if not container.is_running:
        return ""
    shown = sorted(container.ports, key=_order)
    published = {(one.container_port, one.protocol) for one in shown}
    only = []
    for text in container.spec.run.exposed_ports:
        number, _, protocol = text.partition("/")
        if number.isdecimal() and (int(number), protocol or "tcp") not in published:
            only.append((int(number), protocol or "tcp"))
    return ", ".join([*_ranges(shown), *_exposed(sorted(set(only)))])


def _order(mapping: PortMapping) -> tuple[str, str, int]:
    return mapping.protocol, mapping.host_ip, mapping.container_port


def _ranges(mappings: list[PortMapping]) -> list[str]:
    runs: list[list[PortMapping]] = []
    for one in mappings:
        if runs and _follows(runs[-1][-1], one):
            runs[-1].append(one)
        else:
            runs.append([one])
    return [_range(run[0], run[-1]) for run in runs]


def _follows(before: PortMapping, one: PortMapping) -> bool:
    return (
        before.replace(container_port=before.container_port + 1, host_port=before.host_port + 1)
        == one
    )


def _range(first: PortMapping, last: PortMapping) -> str:
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
