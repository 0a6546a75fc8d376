"""`ps` and `rm`, declared."""

from __future__ import annotations

from rootless.cli.table import Argument, Verb, flag, text

PS = Verb(
    "ps",
    "List containers",
    "rootless.cli.containers:ps",
    options=(
        flag("-a", "--all", help="show stopped containers, too"),
        text("--format", metavar="FORMAT", help="table, json or a Go template"),
        text("-n", "--last", metavar="N", help="show the N created last, stopped ones too"),
        flag("-l", "--latest", help="show the one created last, stopped or not"),
        flag("--no-trunc", help="do not shorten ids and commands"),
        flag("-q", "--quiet", help="print only ids"),
        flag("-s", "--size", help="show how large their files are"),
    ),
    examples=("rootless ps -a", "rootless ps --format '{{.Names}} {{.Status}}'"),
)

RM = Verb(
    "rm",
    "Remove one or more containers",
    "rootless.cli.containers:rm",
    options=(flag("-f", "--force", help="end running ones; do not complain about missing ones"),),
    arguments=(Argument("names", "CONTAINER", "some"),),
    examples=("rootless rm web", "rootless rm -f $(rootless ps -aq)"),
)

PRUNE = Verb(
    "container prune",
    "Remove all stopped containers",
    "rootless.cli.containers:prune",
    options=(flag("-f", "--force", help="do not ask"),),
    examples=("rootless container prune",),
)

VERBS = (PS, RM, PRUNE)
