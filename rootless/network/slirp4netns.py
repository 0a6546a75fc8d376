"""slirp4netns: a network of its own, 10.0.2.0/24, translated to the host's sockets. IPv4 only.

Ports are published over its API socket (slirp4netns(1), "API SOCKET": one JSON object a
connection) once it is ready. The container does not reach the host's loopback; for that reason a
published UDP port cannot answer to 127.0.0.1, only to the host's other addresses. Runs as
`Attachment` describes; a crash leaves at most the socket's name in the directory the caller gave.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.errors import RootlessError
from rootless.network import attachment, ports

FORWARDER = "10.0.2.3"
ADDRESS = "10.0.2.100"


def start(
    program: str, netns: str, mappings: tuple[ports.PortMapping, ...], *, run_dir: str
) -> attachment.Attachment:
    """Begin to connect the network namespace at `netns`; `mappings` as `ports.claim` gives them.

    `run_dir` is a short private directory for the API socket, used only if there are mappings.
    """
    if mappings:
        _make(run_dir)
    api_socket = os.path.join(run_dir, f"slirp-{os.getpid()}.sock")
    return _Slirp4netns(program, netns, mappings, api_socket)


def _make(run_dir: str) -> None:
    try:
        os.makedirs(run_dir, mode=0o700, exist_ok=True)
    except OSError as error:
        raise RootlessError(
            f"slirp4netns needs a folder for its socket: {run_dir}: {error.strerror}",
            hint="set XDG_RUNTIME_DIR to a folder of your own, or unset it",
        ) from None


def command(program: str, netns: str, api_socket: str = "") -> tuple[str, ...]:
    """Connects the namespace at the path `netns`, and writes to READY_FD when it is ready."""
    argv = (program, "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox")
    api = (f"--api-socket={api_socket}",) if api_socket else ()
    ready = f"--ready-fd={attachment.READY_FD}"
    return (*argv, ready, *api, "--netns-type=path", netns, "tap0")


def forwarding(mapping: ports.PortMapping) -> dict[str, object]:
    """The request that publishes a port."""
    arguments = {
        "proto": mapping.protocol,
        "host_addr": mapping.host_ip or "0.0.0.0",
        "host_port": mapping.host_port,
        "guest_addr": ADDRESS,
        "guest_port": mapping.container_port,
    }
    return {"execute": "add_hostfwd", "arguments": arguments}


class _Slirp4netns(attachment.Attachment):
    def __init__(
        self, program: str, netns: str, mappings: tuple[ports.PortMapping, ...], api_socket: str
    ) -> None:
        for mapping in mappings:
            if ":" in mapping.host_ip:
                raise RootlessError(
                    f"slirp4netns cannot publish a port on {mapping.host_ip}: it has only IPv4",
                    hint="use --network pasta (package passt)",
                )
        self._mappings = mappings
        self._api_socket = api_socket
        api = api_socket if mappings else ""
        words = command(program, attachment.NETNS_PATH, api)
        super().__init__(words, netns, holds_ports=bool(mappings))

    def wait_ready(self) -> None:
        super().wait_ready()
        for mapping in self._mappings:
            self._publish(mapping)

    def stop(self) -> None:
        super().stop()
        if self._mappings and os.path.lexists(self._api_socket):
            os.unlink(self._api_socket)

    def _publish(self, mapping: ports.PortMapping) -> None:
        answer = self._ask(forwarding(mapping))
        if "error" in answer:
            self.stop()
            raise RootlessError(f"slirp4netns cannot publish {mapping}: {answer['error']}")

    def _ask(self, request: dict[str, object]) -> dict[str, object]:
        import _socket

        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            sock.settimeout(5)
            sock.connect(self._api_socket)
            sock.sendall(leanjson.dumps(request))
            sock.shutdown(_socket.SHUT_WR)
            answer: dict[str, object] = leanjson.loads(sock.recv(4096), "slirp4netns's answer")
        finally:
            sock.close()
        return answer
