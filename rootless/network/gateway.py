"""`host-gateway`: the address at which a container finds programs that listen on this machine.

Only those that listen for others: the host's own loopback stays out of reach. Asks the kernel which
address it would send from; nothing is sent. Runs in the parent, in the host's network.
"""

from __future__ import annotations

from rootless.errors import RootlessError

_ANYWHERE = ("192.0.2.1", 9)  # TEST-NET-1, discard: only routed, never reached


def address(mode: str) -> str:
    """The address for `--network mode`. RootlessError, in docker's words, where there is none."""
    if mode == "host":
        return "127.0.0.1"
    found = "" if mode == "none" else _own_address()
    if not found:
        raise RootlessError(
            "unable to derive the IP value for host-gateway",
            hint="nothing of this machine can be reached from that container: "
            "choose another --network, or write an address instead",
        )
    return found


def _own_address() -> str:
    import _socket

    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        sock.connect(_ANYWHERE)
        found: str = sock.getsockname()[0]
    except OSError:
        return ""
    finally:
        sock.close()
    return found
