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
        flag("--no-trunc", help="do not shorten ids and commands"),
        flag("-q", "--quiet", help="print only ids"),
    ),
    examples=("rootless ps -a",),
)

RM = Verb(
    "rm",
    "Remove stopped containers",
    "rootless.cli.containers:rm",
    options=(flag("-f", "--force", help="do not complain about containers that do not exist"),),
    arguments=(Argument("names", "CONTAINER", "some"),),
    examples=("rootless rm web", "rootless rm $(rootless ps -aq)"),
)

PRUNE = Verb(
    "container prune",
    "Remove all stopped containers",
    "rootless.cli.containers:prune",
    options=(flag("-f", "--force", help="do not ask"),),
)

VERBS = (PS, RM, PRUNE)
