"""What the commands of a build are given, declared: flags of `build`, docker's and podman's."""

from __future__ import annotations

from rootless.cli.table import NOTHING, flag, many, text

_LIMIT = "accepted; what this machine does not let its users limit is said"

SANDBOX = (
    many("--add-host", metavar="HOST:IP", help="add a line to /etc/hosts of commands"),
    many("--allow", metavar="WHAT", help="let a Dockerfile have network.host, security.insecure"),
    many("--build-arg-file", metavar="FILE", help="read build-time variables from FILE"),
    many("--cap-add", metavar="CAP", help="add a capability to commands"),
    many("--cap-drop", metavar="CAP", help="take a capability from commands"),
    text("--cgroup-parent", metavar="PATH", help=_LIMIT),
    text("--cpu-period", metavar="N", help=_LIMIT),
    text("--cpu-quota", metavar="N", help=_LIMIT),
    text("-c", "--cpu-shares", metavar="N", help=_LIMIT),
    text("--cpuset-cpus", metavar="LIST", help=_LIMIT),
    text("--cpuset-mems", metavar="LIST", help=_LIMIT),
    flag("--debug-shell", help="open a shell where a RUN failed"),
    many("--device", metavar="PATH", help="show commands a device, or a CDI device"),
    many("--dns", metavar="IP", help="the name server of commands, or none"),
    many("--dns-option", metavar="OPTION", help="an option in resolv.conf of commands"),
    many("--dns-search", metavar="DOMAIN", help="a search domain of commands"),
    many("--env", metavar="NAME[=VALUE]", help="set a variable of the image, as by ENV first"),
    text("-m", "--memory", metavar="SIZE", help=_LIMIT),
    text("--memory-swap", metavar="SIZE", help=_LIMIT),
    flag("--no-hostname", help=NOTHING),
    flag("--no-hosts", help="leave /etc/hosts of commands as it is in the image"),
    many("--secret", metavar="id=ID[,src=FILE|,env=NAME]", help="a secret for RUN --mount"),
    many("--security-opt", metavar="OPT", help="no-new-privileges or seccomp=unconfined"),
    text("--shm-size", metavar="SIZE", help="the size of /dev/shm of commands [default: 64m]"),
    many("--ssh", metavar="ID[=SOCKET|KEY]", help="an ssh agent, or keys, for RUN --mount"),
    many("--ulimit", metavar="NAME=SOFT[:HARD]", help="limit what commands may use"),
    many("--unsetenv", metavar="NAME", help="take a variable out of the image"),
    many("-v", "--volume", metavar="SRC:DST[:ro]", help="show commands a directory or file"),
)
