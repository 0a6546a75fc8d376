"""Verbs about pods, declared."""

from __future__ import annotations

from rootless.cli.table import Argument, Verb, flag, many, text

_POD = (Argument("pod", "POD"),)

CREATE = Verb(
    "pod create",
    "Make a pod: a name to group containers under",
    "rootless.cli.pods:create",
    options=(
        flag("--infra", default=True, help="must be false: containers of a pod share nothing here"),
        many("-l", "--label", metavar="NAME[=VALUE]", help="label the pod"),
        text("-n", "--name", metavar="NAME", help="the pod's name"),
        many("-p", "--publish", metavar="PORT", help="not for a pod without an infra container"),
        text("--share", metavar="NAMESPACES", help="must be empty"),
    ),
    arguments=(Argument("pod", "NAME", "optional"),),
    examples=("rootless pod create --infra=false --share= shop",),
)

EXISTS = Verb(
    "pod exists",
    "Say by the exit code whether there is such a pod",
    "rootless.cli.pods:exists",
    arguments=_POD,
    examples=("rootless pod exists shop",),
)

RM = Verb(
    "pod rm",
    "Remove one or more pods",
    "rootless.cli.pods:remove",
    options=(
        flag("-f", "--force", help="with the containers in them"),
        flag("-i", "--ignore", help="do not complain about missing ones"),
    ),
    arguments=(Argument("pods", "POD", "some"),),
    examples=("rootless pod rm shop",),
)

PS = Verb(
    "pod ps",
    "List pods",
    "rootless.cli.pods:ps",
    options=(
        text("--format", metavar="FORMAT", help="table, json or a Go template"),
        flag("--no-trunc", help="do not shorten ids"),
        flag("-q", "--quiet", help="print only ids"),
    ),
    examples=("rootless pod ps",),
)

VERBS = (CREATE, EXISTS, RM, PS)
