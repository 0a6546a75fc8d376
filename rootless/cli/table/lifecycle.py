"""Verbs about a container's life, declared."""

from __future__ import annotations

from rootless.cli.table import Argument, Option, Verb, flag, many, text

_SOME = (Argument("names", "CONTAINER", "any"),)
_CHOSEN = (
    many("-f", "--filter", field="filters", metavar="KEY=VALUE", help="those that ps would show"),
    flag("-l", "--latest", help="the one created last"),
)
_FILES = (
    many("--cidfile", field="cidfiles", metavar="FILE", help="the one whose id is in FILE"),
    flag("-i", "--ignore", help="do not complain about missing ones"),
)


def _all(which: str, *names: str) -> Option:
    return flag(*names, "--all", help=f"all {which}")


_SIGNAL = text("-s", "--signal", metavar="SIGNAL", help="send this one instead of its own")
_TIME = (
    text("-t", "--time", metavar="SECONDS", help="kill it after so long [default: its own, or 10]"),
    text("--timeout", metavar="SECONDS", help="the same"),
)

_ATTACHED = (
    text("--detach-keys", metavar="KEYS", help="what leaves it [default: ctrl-p,ctrl-q]"),
    flag("--sig-proxy", default=True, help="pass signals on to it [default: true]"),
)

START = Verb(
    "start",
    "Start one or more containers that do not run",
    "rootless.cli.lifecycle:start",
    options=(
        flag("-a", "--attach", help="show what it writes, and end as it ends"),
        flag("-i", "--interactive", help="give it what is typed here"),
        *_ATTACHED,
        _all("that do not run"),
        *_CHOSEN,
    ),
    arguments=_SOME,
    examples=("rootless start web", "rootless start -ai shell"),
)

ATTACH = Verb(
    "attach",
    "Show what a running container writes, and give it what is typed",
    "rootless.cli.attach:attach",
    options=(flag("--no-stdin", help="give it nothing"), *_ATTACHED),
    arguments=(Argument("container", "CONTAINER"),),
    examples=("rootless attach shell",),
)

STOP = Verb(
    "stop",
    "Ask one or more containers to end",
    "rootless.cli.lifecycle:stop",
    options=(_SIGNAL, *_TIME, _all("that run", "-a"), *_CHOSEN, *_FILES),
    arguments=_SOME,
    examples=("rootless stop web", "rootless stop -t 2 $(rootless ps -aq)"),
)

KILL = Verb(
    "kill",
    "Send a signal to one or more containers",
    "rootless.cli.lifecycle:kill",
    options=(
        text("-s", "--signal", metavar="SIGNAL", help="send this one [default: KILL]"),
        _all("that run", "-a"),
        *_CHOSEN,
        _FILES[0],
    ),
    arguments=_SOME,
    examples=("rootless kill web", "rootless kill -s HUP web"),
)

RESTART = Verb(
    "restart",
    "Stop one or more containers and start them again",
    "rootless.cli.lifecycle:restart",
    options=(_SIGNAL, *_TIME, _all("there are", "-a"), *_CHOSEN, _FILES[0]),
    arguments=_SOME,
    examples=("rootless restart web",),
)

WAIT = Verb(
    "wait",
    "Wait until containers have ended, and print their exit statuses",
    "rootless.cli.lifecycle:wait",
    options=(
        _all("there are"),
        *_CHOSEN,
        *_FILES,
        many("--condition", metavar="STATE", help="wait for this one: running, paused, exited"),
        text("--interval", metavar="TIME", help="accepted; it is looked at ten times a second"),
    ),
    arguments=_SOME,
    examples=("rootless wait job", "rootless wait --condition running web"),
)

EVENTS = Verb(
    "events",
    "Tell what happens to containers, images and volumes, as it happens",
    "rootless.cli.events:events",
    options=(
        many(
            "-f",
            "--filter",
            metavar="KEY=VALUE",
            help="only those of this container, image, volume, type, event or label",
        ),
        text("--format", metavar="FORMAT", help="json or a Go template"),
        text("--since", metavar="TIME", help="what has happened since, too"),
        text("--until", metavar="TIME", help="stop there"),
    ),
    examples=("rootless events --filter event=die", "rootless events --since 1h --until 0s"),
)

RENAME = Verb(
    "rename",
    "Give a container another name",
    "rootless.cli.lifecycle:rename",
    arguments=(Argument("container", "CONTAINER"), Argument("name", "NAME")),
    examples=("rootless rename web old",),
)

PORT = Verb(
    "port",
    "Show where a container's ports are published",
    "rootless.cli.published:port",
    arguments=(Argument("container", "CONTAINER"), Argument("port", "PORT[/PROTOCOL]", "optional")),
    examples=("rootless port web", "rootless port web 80"),
)

PAUSE = Verb(
    "pause",
    "Stop all processes of one or more containers, until unpause",
    "rootless.cli.lifecycle:pause",
    options=(_all("that run", "-a"), *_CHOSEN, _FILES[0]),
    arguments=_SOME,
    examples=("rootless pause web",),
)

UNPAUSE = Verb(
    "unpause",
    "Let the processes of one or more paused containers go on",
    "rootless.cli.lifecycle:unpause",
    options=(_all("that are paused", "-a"), *_CHOSEN, _FILES[0]),
    arguments=_SOME,
    examples=("rootless unpause web",),
)

VERBS = (START, ATTACH, STOP, KILL, RESTART, WAIT, EVENTS, RENAME, PAUSE, UNPAUSE, PORT)
