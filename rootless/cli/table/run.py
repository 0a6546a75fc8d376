"""`run`, declared."""

from __future__ import annotations

from rootless.cli.table import (
    CERT_DIR,
    CONTENT_TRUST,
    PLATFORM,
    TLS_VERIFY,
    Argument,
    Verb,
    flag,
    many,
    text,
)

OPTIONS = (
    many("--add-host", metavar="HOST:IP", help="add a line to /etc/hosts"),
    many("--cap-add", metavar="CAP", help="add a capability"),
    many("--cap-drop", metavar="CAP", help="drop a capability"),
    text("--cidfile", metavar="FILE", help="write the container's id to FILE"),
    CONTENT_TRUST,
    flag("-d", "--detach", help="run it in the background, and print its id"),
    many("--dns", metavar="IP", help="set a DNS server"),
    flag("--dry-run", help="print each step of the start, and stop"),
    text("--entrypoint", metavar="CMD", help="replace the image's entrypoint"),
    many("-e", "--env", metavar="NAME[=VALUE]", help="set an environment variable"),
    many("--env-file", metavar="FILE", help="read environment variables from FILE"),
    flag("--explain", help="print each step of the start before it happens, and why"),
    text("-h", "--hostname", metavar="NAME", help="the container's host name"),
    flag("--init", help="run an init that forwards signals and reaps processes"),
    flag("-i", "--interactive", help="keep standard input open"),
    many("-l", "--label", metavar="NAME[=VALUE]", help="label the container"),
    many("--label-file", metavar="FILE", help="read labels from FILE"),
    text("--log-driver", metavar="DRIVER", help="json-file keeps a log [default], none does not"),
    text("--name", metavar="NAME", help="give the container a name"),
    text(
        "--net",
        "--network",
        metavar="MODE",
        help="none, host, pasta or slirp4netns [default: the best there is]",
    ),
    PLATFORM,
    text("--pod", metavar="POD", help="the pod that it belongs to"),
    many("-p", "--publish", metavar="[IP:][PORT:]PORT", help="publish a port on this machine"),
    text(
        "--pull",
        metavar="WHEN",
        choices=("always", "missing", "never"),
        default="missing",
        help="pull the image before running: always, missing or never [default: missing]",
    ),
    flag("-q", "--quiet", help="do not show the progress of a pull"),
    flag("--read-only", help="make the container's root file system read-only"),
    many("--requires", metavar="CONTAINER", help="start these first, whenever it is started"),
    text(
        "--restart",
        metavar="POLICY",
        help="start it again when it ends: no [default], always, unless-stopped,"
        " on-failure[:TIMES]",
    ),
    flag("--rm", help="remove the container when it exits"),
    many("--security-opt", metavar="OPT", help="no-new-privileges or seccomp=unconfined"),
    CERT_DIR,
    TLS_VERIFY,
    text("--stop-signal", metavar="SIGNAL", help="what asks it to end [default: SIGTERM]"),
    text("--stop-timeout", metavar="SECONDS", help="how long it has for that [default: 10]"),
    many("--tmpfs", metavar="PATH[:OPTIONS]", help="mount a tmpfs"),
    flag("-t", "--tty", help="give the command a terminal"),
    text("-u", "--user", metavar="USER[:GROUP]", help="run as this user (name or id)"),
    many("-v", "--volume", metavar="SRC:DST[:ro]", help="mount a directory or file"),
    text("-w", "--workdir", metavar="DIR", help="working directory in the container"),
)
"""What `run` and `create` have in common: all."""
_ARGUMENTS = (Argument("image", "IMAGE"), Argument("command", "COMMAND", "rest"))

RUN = Verb(
    "run",
    "Run a command in a new container",
    "rootless.cli.run:run",
    options=OPTIONS,
    arguments=_ARGUMENTS,
    examples=(
        "rootless run --rm -it debian bash",
        "rootless run --rm -p 8080:80 -v ./site:/usr/share/nginx/html:ro nginx",
        "rootless run --rm --dry-run busybox true",
    ),
    failure=125,
)

CREATE = Verb(
    "create",
    "Make a container that is not started yet",
    "rootless.cli.lifecycle:create",
    options=OPTIONS,
    arguments=_ARGUMENTS,
    examples=("rootless create --name web -p 8080:80 nginx",),
    failure=125,
)

VERBS = (RUN, CREATE)
