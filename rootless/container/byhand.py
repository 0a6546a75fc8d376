"""A container's network in lines for a shell: those of `run --dry-run` that come before its own.

Pure but for what the network programs' command lines ask of the machine. The shell is root of a
user namespace of its own and in the host's network, process 1 of a pid namespace: the programs it
leaves in the background end with it.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.network import choice, pasta, slirp4netns
from rootless.sandbox.quoting import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.network.ports import PortMapping

_WIDTH = 80
_ASK = (  # no shell speaks to a Unix socket
    'python3 -c \'import socket, sys; api = socket.socket(socket.AF_UNIX); api.connect("api")',
    "api.send(sys.argv[1].encode()); api.shutdown(1); api.recv(4096)' \\",
)


def network(
    chosen: choice.Choice, mappings: tuple[PortMapping, ...], folder: str, *, forward_dns: bool
) -> tuple[str, ...]:
    """The lines that make a connected network and name it `net` in the container's `folder`.

    None where the container asks for none, or the host's. `forward_dns` as for `attach.start`.
    """
    if chosen.mode not in choice.PACKAGES:
        return ()
    return (
        f"c={quote(folder)}",
        'mkdir -m 700 "$c" && cd "$c" || exit 1',
        "touch net; unshare --net=net ip link set lo up",
        *_start(chosen, mappings, f"{folder}/net", forward_dns=forward_dns),
    )


def _start(
    chosen: choice.Choice, mappings: tuple[PortMapping, ...], netns: str, *, forward_dns: bool
) -> tuple[str, ...]:
    """pasta goes to the background when it is ready; slirp4netns says so, then takes ports."""
    if chosen.mode == "pasta":
        words = pasta.command(chosen, mappings, netns, forward_dns=forward_dns)
        return _folded(*map(quote, words), "|| exit")
    words = slirp4netns.command(chosen.program, netns, "api" if mappings else "")
    requests = [leanjson.dumps(slirp4netns.forwarding(one)).decode() for one in mappings]
    return (
        "mkfifo ready",
        *_folded(*map(quote, words), "< /dev/null > log 2>&1 3> ready &"),
        "read -rN1 < ready || { cat log; exit 1; }",
        *(line for request in requests for line in (*_ASK, quote(request))),
    )


def _folded(*words: str) -> tuple[str, ...]:
    """A command on lines of a readable length."""
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > _WIDTH:
            lines.append("")
        lines[-1] += f"{word} "
    return (*(line + "\\" for line in lines[:-1]), lines[-1].rstrip())
