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
    health,
    many,
    text,
)
from rootless.cli.table.limits import LIMITS

OPTIONS = (
    many("-a", "--attach", metavar="STREAM", help="show stdout or stderr only; see --sig-proxy"),
    many("--annotation", metavar="NAME=VALUE", help="note something on it, for other tools"),
    many("--add-host", metavar="HOST:IP", help="add a line to /etc/hosts"),
    many("--cap-add", metavar="CAP", help="add a capability"),
    many("--cap-drop", metavar="CAP", help="drop a capability"),
    text("--cgroupns", metavar="MODE", help="its view of the cgroups: private [default], host"),
    text("--cidfile", metavar="FILE", help="write the container's id to FILE"),
    many(
        "--device",
        metavar="DEVICE",
        help="show a device: /dev/NAME[:PATH[:rwm]], or CDI's VENDOR/CLASS=NAME",
    ),
    many(
        "--device-cgroup-rule",
        metavar="RULE",
        help="accepted: which devices may be opened is the machine's root's to say",
    ),
    CONTENT_TRUST,
    flag("-d", "--detach", help="run it in the background, and print its id"),
    text("--detach-keys", metavar="KEYS", help="what leaves it running, as ctrl-p,ctrl-q"),
    many("--dns", metavar="IP", help="set a DNS server"),
    many("--dns-opt", "--dns-option", metavar="OPTION", help="set an option of resolv.conf"),
    many("--dns-search", metavar="DOMAIN", help="look names up in DOMAIN, too; . for none"),
    text("--domainname", metavar="NAME", help="the domain of the container's host name"),
    flag("--dry-run", help="print each step of the start, and stop"),
    text("--entrypoint", metavar="CMD", help="replace the image's entrypoint"),
    many("-e", "--env", metavar="NAME[=VALUE]", help="set an environment variable"),
    many("--env-file", metavar="FILE", help="read environment variables from FILE"),
    many("--expose", metavar="PORT[/udp]", help="note that it listens there, for -P"),
    flag("--explain", help="print each step of the start before it happens, and why"),
    many("--gidmap", metavar="MAP", help="the same for groups"),
    text(
        "--gpus",
        metavar="GPUS",
        help="show GPUs, by CDI: all, a number, device=NAME",
    ),
    many(
        "--group-add",
        metavar="GROUP",
        help="be in this group too (name or id); keep-groups: in your own",
    ),
    *health.OPTIONS,
    text("-h", "--hostname", metavar="NAME", help="the container's host name"),
    flag("--http-proxy", help="hand on your proxy variables"),
    flag("--init", help="run an init that forwards signals and reaps processes"),
    text("--ip", metavar="IP", help="its IPv4 address on its network"),
    text("--ip6", metavar="IP", help="its IPv6 address on its network"),
    flag("-i", "--interactive", help="keep standard input open"),
    text(
        "--ipc",
        metavar="MODE",
        help="private [default], shareable, host, none, container:NAME",
    ),
    many("-l", "--label", metavar="NAME[=VALUE]", help="label the container"),
    many("--label-file", metavar="FILE", help="read labels from FILE"),
    many("--link", metavar="CONTAINER[:ALIAS]", help="call another container ALIAS"),
    text("--log-driver", metavar="DRIVER", help="json-file keeps a log [default], none does not"),
    many(
        "--log-opt",
        metavar="NAME=VALUE",
        help="limit the log: max-size=10m, max-file=3, compress=true; note tag=, labels=, env=",
    ),
    many(
        "--mount",
        metavar="type=TYPE,...",
        help="mount type=bind,src=DIR,dst=PATH; type=volume,src=NAME,dst=PATH; type=tmpfs,dst=PATH;"
        " type=image,src=IMAGE,dst=PATH",
    ),
    text("--mac-address", metavar="MAC", help="its hardware address on its network"),
    text("--name", metavar="NAME", help="give the container a name"),
    many(
        "--net",
        "--network",
        metavar="NETWORK",
        help="none, host, pasta, slirp4netns [default: the best there is], container:NAME,"
        " or networks of your own: several, each NAME or name=NAME,alias=NAME,ip=IP",
    ),
    many("--net-alias", "--network-alias", metavar="NAME", help="another name on its network"),
    flag("--no-hosts", help="leave the image's /etc/hosts as it is"),
    text(
        "--oom-score-adj",
        metavar="SCORE",
        help="how soon it is ended when memory runs out: up to 1000",
    ),
    text(
        "--pid",
        metavar="MODE",
        help="whose processes it sees: host, container:NAME",
    ),
    PLATFORM,
    text("--pod", metavar="POD", help="the pod that it belongs to"),
    flag("--privileged", help="all capabilities, no filter, nothing hidden, your devices"),
    many("-p", "--publish", metavar="[IP:][PORT:]PORT", help="publish a port on this machine"),
    flag("-P", "--publish-all", help="publish every exposed port on a free one"),
    text(
        "--pull",
        metavar="WHEN",
        choices=("always", "missing", "never"),
        default="missing",
        help="pull the image before running: always, missing or never [default: missing]",
    ),
    flag("-q", "--quiet", help="do not show the progress of a pull"),
    flag("--read-only", help="make the container's root file system read-only"),
    flag("--replace", help="end and remove the container that has this --name"),
    many("--requires", metavar="CONTAINER", help="start these first, whenever it is started"),
    flag("--read-only-tmpfs", help="with --read-only: /run, /tmp and /var/tmp in memory"),
    text(
        "--restart",
        metavar="POLICY",
        help="start it again when it ends: no [default], always, unless-stopped,"
        " on-failure[:TIMES]",
    ),
    flag("--rm", help="remove the container when it exits"),
    many(
        "--security-opt",
        metavar="OPT",
        help="no-new-privileges, seccomp=FILE, (un)mask=PATH, systempaths=unconfined",
    ),
    CERT_DIR,
    TLS_VERIFY,
    text("--shm-size", metavar="SIZE", help="the size of /dev/shm [default: 64m]"),
    flag(
        "--sig-proxy",
        default=True,
        help="pass signals on to it [default]; =false lets it go on when this command ends",
    ),
    text("--stop-signal", metavar="SIGNAL", help="what asks it to end [default: SIGTERM]"),
    text("--stop-timeout", metavar="SECONDS", help="how long it has for that [default: 10]"),
    many("--sysctl", metavar="NAME=VALUE", help="set the kernel in its own namespaces"),
    many("--tmpfs", metavar="PATH[:OPTIONS]", help="mount a tmpfs"),
    text("--timeout", metavar="SECONDS", help="kill it when it has run so long"),
    flag("-t", "--tty", help="give the command a terminal"),
    text("--tz", metavar="ZONE", help="its time zone, as Europe/Vienna; local: this machine's"),
    many("--ulimit", metavar="NAME=SOFT[:HARD]", help="limit a resource, as nofile=1024"),
    many("--uidmap", metavar="MAP", help="which ids stand for those inside: ID:OURS[:COUNT]"),
    text("--umask", metavar="MODE", help="the umask of its command [default: 0022]"),
    text("-u", "--user", metavar="USER[:GROUP]", help="run as this user (name or id)"),
    text(
        "--userns",
        metavar="MODE",
        help="whose ids it has: host [default], keep-id, auto, nomap",
    ),
    text("--uts", metavar="MODE", help="its host name: private [default], host: this machine's"),
    many(
        "-v",
        "--volume",
        metavar="SRC:DST[:ro]",
        help="mount a directory, a file or a volume; a volume of its own: -v DST",
    ),
    text("--volume-driver", metavar="DRIVER", help="local: there is no other"),
    many("--volumes-from", metavar="CONTAINER[:ro]", help="mount what another container has"),
    text("-w", "--workdir", metavar="DIR", help="working directory in the container"),
    *LIMITS,
)
"""What `run` and `create` have in common: all."""
ISOLATION = (
    *(
        "cgroupns",
        "device",
        "device_cgroup_rule",
        "gidmap",
        "gpus",
        "group_add",
        "ipc",
        "no_hosts",
        "oom_score_adj",
        "pid",
    ),
    *("privileged", "read_only_tmpfs", "security_opt", "shm_size", "sysctl", "tz", "ulimit"),
    *("uidmap", "umask", "userns", "uts"),
)
"""How far it is apart from the machine."""
READERS = {
    "environment": ("env", "env_file", "http_proxy", "label", "label_file"),
    "run_health": tuple(option.field for option in health.OPTIONS),
    "run_isolation": ISOLATION,
    "run_limits": tuple(option.field for option in LIMITS),
    "run_logging": ("log_driver", "log_opt"),
    "run_mounts": ("mount", "tmpfs", "volume", "volume_driver", "volumes_from"),
}
"""Module of `cli` → the fields that its `fill` reads: it is loaded when one of them is given."""
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
