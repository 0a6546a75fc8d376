"""`generate systemd`, declared."""

from __future__ import annotations

from rootless.cli.table import Argument, Verb, flag, many, text

GENERATE = Verb(
    "generate systemd",
    "Print a unit of systemd's that runs a container, also after a reboot",
    "rootless.cli.generate:systemd",
    options=(
        many("--after", metavar="UNIT", help="start after this unit, too"),
        text(
            "--container-prefix", metavar="TEXT", default="container", help="[default: container]"
        ),
        many("-e", "--env", metavar="NAME=VALUE", help="set a variable of the unit's"),
        flag("-f", "--files", help="write files here, and print their paths"),
        flag("-n", "--name", help="call the unit by the container's name, not its id"),
        flag("--new", help="make the container anew at each start, and remove it at the end"),
        flag("--no-header", help="leave out the comment at the top"),
        many("--requires", metavar="UNIT", help="let the unit require another"),
        text(
            "--restart-policy",
            metavar="POLICY",
            default="on-failure",
            choices=(
                *("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort"),
                "always",
            ),
            help="systemd's Restart= [default: on-failure]",
        ),
        text("--restart-sec", metavar="SECONDS", help="systemd's RestartSec="),
        text("--separator", metavar="TEXT", default="-", help="[default: -]"),
        text("--start-timeout", metavar="SECONDS", help="systemd's TimeoutStartSec="),
        text(
            "-t",
            "--stop-timeout",
            metavar="SECONDS",
            help="how long it may take to stop [default: 10]",
        ),
        many("--wants", metavar="UNIT", help="let the unit want another"),
    ),
    arguments=(Argument("container", "CONTAINER"),),
    examples=(
        "rootless generate systemd --name web",
        "rootless generate systemd --new --files --name web",
    ),
)

VERBS = (GENERATE,)
