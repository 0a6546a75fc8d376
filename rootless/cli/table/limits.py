"""The flags that limit containers: `run`, `create`, `update`; what they use: `stats`, `top`."""

from __future__ import annotations

from rootless.cli.table import Argument, Verb, flag, text

_OF_UPDATE = (
    text("--blkio-weight", metavar="WEIGHT", help="share of the disks, 10 to 1000"),
    text("--cpu-period", metavar="MICROSECONDS", help="length of a turn on the processors"),
    text("--cpu-quota", metavar="MICROSECONDS", help="how much of each turn it may use"),
    text("-c", "--cpu-shares", metavar="SHARES", help="weight beside others [default: 1024]"),
    text("--cpus", metavar="NUMBER", help="how many processors it may use, as in 1.5"),
    text("--cpuset-cpus", metavar="LIST", help="which processors, as in 0-2 or 0,3"),
    text("--cpuset-mems", metavar="LIST", help="memory of which nodes, as in 0,1"),
    text("-m", "--memory", metavar="SIZE", help="how much memory it may use, as in 512m"),
    text("--memory-reservation", metavar="SIZE", help="memory that is taken from it last"),
    text("--memory-swap", metavar="SIZE", help="memory and swap together; -1 is no limit"),
    text("--pids-limit", metavar="NUMBER", help="how many processes; -1 is no limit"),
)
LIMITS = (
    *_OF_UPDATE,
    text("--cgroup-parent", metavar="NAME", help="the slice or cgroup to make its own in"),
    text(
        "--cgroups",
        metavar="MODE",
        choices=("enabled", "disabled", "no-conmon", "split"),
        help="enabled: fail where there is no cgroup for it; disabled: make none;"
        " split: divide the own one; no-conmon: as enabled",
    ),
    text("--memory-swappiness", metavar="NUMBER", help="accepted: cgroup v2 has no such thing"),
    flag("--oom-kill-disable", help="accepted: cgroup v2 has no such thing"),
)
"""What `run` and `create` have of it."""

UPDATE = Verb(
    "update",
    "Change the limits and the restart policy of containers",
    "rootless.cli.update:update",
    options=(
        *_OF_UPDATE,
        text("--restart", metavar="POLICY", help="no, always, unless-stopped, on-failure[:TIMES]"),
    ),
    arguments=(Argument("names", "CONTAINER", "some"),),
    examples=(
        "rootless update --memory 512m --cpus 1.5 web",
        "rootless update --restart always web",
    ),
)

STATS = Verb(
    "stats",
    "Show what containers use",
    "rootless.cli.stats:stats",
    options=(
        flag("-a", "--all", help="show stopped ones, too"),
        text("--format", metavar="FORMAT", help="table, json or a Go template"),
        flag("--no-stream", help="print it once"),
        flag("--no-trunc", help="do not shorten ids"),
    ),
    arguments=(Argument("names", "CONTAINER", "any"),),
    examples=(
        "rootless stats",
        "rootless stats --no-stream --format '{{.Name}} {{.MemUsage}}' web",
    ),
)

TOP = Verb(
    "top",
    "Show the processes of a container",
    "rootless.cli.top:top",
    arguments=(Argument("container", "CONTAINER"), Argument("options", "PS-OPTIONS", "rest")),
    examples=("rootless top web", "rootless top web -o pid,user,cmd"),
)

VERBS = (UPDATE, STATS, TOP)
