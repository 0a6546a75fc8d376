"""Verbs about containers, but for `run`, declared."""

from __future__ import annotations

from rootless.cli.table import PRUNE_FILTER, Argument, Verb, flag, many, text

PS = Verb(
    "ps",
    "List containers",
    "rootless.cli.containers:ps",
    options=(
        flag("-a", "--all", help="show stopped containers, too"),
        many(
            "-f",
            "--filter",
            metavar="KEY=VALUE",
            help="only those with this name, id, label, ancestor (an image), status, exited"
            " (a code), network, volume, publish, expose, or created before or since another",
        ),
        text("--format", metavar="FORMAT", help="table, json or a Go template"),
        text("-n", "--last", metavar="N", help="show the N created last, stopped ones too"),
        flag("-l", "--latest", help="show the one created last, stopped or not"),
        flag("--no-trunc", help="do not shorten ids and commands"),
        flag("--noheading", help="leave out the table's heading"),
        flag("-q", "--quiet", help="print only ids"),
        flag("-s", "--size", help="show how large their files are"),
    ),
    examples=(
        "rootless ps -a",
        "rootless ps --format '{{.Names}} {{.Status}}'",
        "rootless ps -a --filter ancestor=debian --filter exited=1",
    ),
)

RM = Verb(
    "rm",
    "Remove one or more containers",
    "rootless.cli.containers:rm",
    options=(
        flag("-f", "--force", help="end running ones; do not complain about missing ones"),
        flag("-v", "--volumes", help="with their anonymous volumes"),
        flag("-a", "--all", help="all there are"),
        many("--cidfile", field="cidfiles", metavar="FILE", help="the one whose id is in FILE"),
        many("--filter", field="filters", metavar="KEY=VALUE", help="those that ps -a would show"),
        flag("-i", "--ignore", help="do not complain about missing ones"),
        flag("-l", "--latest", help="the one created last"),
    ),
    arguments=(Argument("names", "CONTAINER", "any"),),
    examples=("rootless rm web", "rootless rm -f $(rootless ps -aq)"),
)

PRUNE = Verb(
    "container prune",
    "Remove all stopped containers",
    "rootless.cli.containers:prune",
    options=(flag("-f", "--force", help="do not ask"), PRUNE_FILTER),
    examples=("rootless container prune", "rootless container prune -f --filter until=24h"),
)

EXISTS = Verb(
    "container exists",
    "Tell by the exit code whether a container is here",
    "rootless.cli.containers:exists",
    arguments=(Argument("container", "CONTAINER"),),
    examples=("rootless container exists web",),
)

COMMIT = Verb(
    "commit",
    "Make an image of a container's changes",
    "rootless.cli.commit:commit",
    options=(
        text("-a", "--author", metavar="TEXT", help="who made it: 'Ada <ada@example.org>'"),
        many("-c", "--change", metavar="INSTRUCTION", help="apply a Dockerfile instruction"),
        text("-m", "--message", metavar="TEXT", help="comment in the image's history"),
        flag("-p", "--pause", default=True, help="stop a running one meanwhile [default: true]"),
    ),
    arguments=(
        Argument("container", "CONTAINER"),
        Argument("name", "REPOSITORY[:TAG]", "optional"),
    ),
    examples=(
        "rootless commit -m 'with curl' web ada/web:2",
        "rootless commit -c 'CMD [\"nginx\"]' -c 'EXPOSE 80' web ada/web",
    ),
)

DIFF = Verb(
    "diff",
    "List what a container has added, changed and deleted",
    "rootless.cli.commit:diff",
    arguments=(Argument("container", "CONTAINER"),),
    examples=("rootless diff web",),
)

EXPORT = Verb(
    "export",
    "Write all files of a container to a tar archive",
    "rootless.cli.archives:export",
    options=(text("-o", "--output", metavar="FILE", help="write to FILE, not standard output"),),
    arguments=(Argument("container", "CONTAINER"),),
    examples=("rootless export -o web.tar web", "rootless export web | rootless import - flat"),
)

CP = Verb(
    "cp",
    "Copy files between a container and this machine",
    "rootless.cli.cp:cp",
    options=(
        flag("-a", "--archive", help="what comes into a container is given to its user"),
        flag("-L", "--follow-link", help="copy what a link leads to"),
        flag("-q", "--quiet", help="do not say how much was copied"),
    ),
    arguments=(
        Argument("source", "CONTAINER:PATH|PATH|-"),
        Argument("target", "CONTAINER:PATH|PATH|-"),
    ),
    examples=(
        "rootless cp web:/etc/nginx ./nginx",
        "rootless cp ./site/. web:/usr/share/nginx/html",
        "rootless cp web:/var/log -",
    ),
)

VERBS = (PS, RM, PRUNE, EXISTS, COMMIT, CP, DIFF, EXPORT)
