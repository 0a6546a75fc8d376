"""The texts of /etc/resolv.conf and /etc/hosts for a container: resolv.conf(5), hosts(5).

Pure, but for reading the host's.

A resolver on the host's loopback (systemd-resolved's 127.0.0.53, dnsmasq) cannot be reached from a
network namespace of one's own; where there is no other, a network program forwards an address of
its own to it.
"""

from __future__ import annotations

_LOCALHOST = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def of_host() -> str:
    """The host's resolv.conf, "" where there is none."""
    try:
        with open("/etc/resolv.conf", "rb", buffering=0) as file:
            return file.read(1 << 16).decode(errors="replace")
    except OSError:
        return ""


def needs_forwarder(host: str) -> bool:
    """Whether the host's resolv.conf names no resolver that a container can reach itself."""
    return not any(_server(line) and not _is_loopback(line) for line in host.splitlines())


def resolv_conf(host: str, forwarder: str, servers: tuple[str, ...] = ()) -> str:
    """The host's resolv.conf without loopback resolvers; if none is left, with `forwarder`.

    `servers` replace the host's. For a network namespace of its own; a container in the host's
    network takes the host's text as it is.
    """
    unwanted = _server if servers else _is_loopback
    lines = [line for line in host.splitlines() if not unwanted(line)]
    if not servers and needs_forwarder(host):
        servers = (forwarder,)
    lines += [f"nameserver {server}" for server in servers]
    return "".join(f"{line}\n" for line in lines)


def searching(text: str, search: tuple[str, ...], options: tuple[str, ...]) -> str:
    """A resolv.conf with these domains and options in place of its own, where there are any.

    A "." among the domains is docker's way to say that there are none.
    """
    lines = text.splitlines()
    if search:
        lines = [line for line in lines if line.split()[:1] not in (["search"], ["domain"])]
        lines += [f"search {' '.join(search)}"] if "." not in search else []
    if options:
        lines = [line for line in lines if line.split()[:1] != ["options"]]
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines)


def servers(text: str) -> tuple[str, ...]:
    """The addresses that a resolv.conf names, in their order."""
    return tuple(filter(None, map(_server, text.splitlines())))


def hosts(
    hostname: str, address: str = "127.0.1.1", extra: tuple[tuple[str, str], ...] = ()
) -> str:
    """/etc/hosts with localhost, `extra` (address, names) lines, and the container's own name."""
    lines = [f"{ip}\t{names}\n" for ip, names in (*extra, (address, hostname))]
    return _LOCALHOST + "".join(lines)


def _server(line: str) -> str:
    """The address of a nameserver line, else "" ."""
    words = line.split()
    return words[1] if len(words) > 1 and words[0] == "nameserver" else ""


def _is_loopback(line: str) -> bool:
    return _server(line).startswith("127.") or _server(line) in ("::1", "0.0.0.0", "::")
