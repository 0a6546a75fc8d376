"""Verbs that watch containers, declared."""

from __future__ import annotations

from rootless.cli.table import NOTHING, Argument, Verb, flag, text

LOGS = Verb(
    "logs",
    "Show what containers have written",
    "rootless.cli.logs:logs",
    options=(
        flag("--color", help=NOTHING),
        flag("--details", help="with the labels and variables that --log-opt has kept"),
        flag("-f", "--follow", help="go on with what comes, until the container ends"),
        flag("--names", field="names_shown", help="begin each line with the container's name"),
        text("--since", metavar="TIME", help="only what came then or later: 10m, 2026-01-31T12:00"),
        text("-n", "--tail", metavar="LINES", help="only the last so many lines [default: all]"),
        flag("-t", "--timestamps", help="begin each line with its time"),
        text("--until", metavar="TIME", help="only what came until then"),
    ),
    arguments=(Argument("names", "CONTAINER", "some"),),
    examples=(
        "rootless logs web",
        "rootless logs -f --tail 10 web",
        "rootless logs -t --since 10m web | grep error",
    ),
)

NS = Verb(
    "ns",
    "Show how a running container is kept apart, beside this machine",
    "rootless.cli.ns:ns",
    arguments=(Argument("container", "CONTAINER"),),
    examples=("rootless ns web",),
)

VERBS = (LOGS, NS)
