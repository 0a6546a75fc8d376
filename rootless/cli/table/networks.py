"""Verbs about networks, declared."""

from __future__ import annotations

from rootless.cli.table import NO_HEADING, NOTHING, PRUNE_FILTER, Argument, Verb, flag, many, text

_NAMES = (Argument("names", "NETWORK", "some"),)
_PAIR = (Argument("network", "NETWORK"), Argument("container", "CONTAINER"))

VERBS = (
    Verb(
        "network connect",
        "Put a container on a network",
        "rootless.cli.networks:connect",
        options=(
            many("--alias", metavar="NAME", help="another name on that network"),
            many("--driver-opt", metavar="KEY=VALUE", help=NOTHING),
            text("--gw-priority", metavar="NUMBER", help=NOTHING),
            text("--ip", metavar="IP", help="its IPv4 address"),
            text("--ip6", metavar="IP", help="its IPv6 address"),
            many("--link", metavar="CONTAINER[:ALIAS]", help="call another container ALIAS"),
            many("--link-local-ip", metavar="IP", help=NOTHING),
            text("--mac-address", metavar="MAC", help="its hardware address"),
        ),
        arguments=_PAIR,
        examples=("rootless network connect --alias db web postgres",),
    ),
    Verb(
        "network create",
        "Create a network",
        "rootless.cli.networks:create",
        options=(
            flag("--attachable", help=NOTHING),
            many("--aux-address", metavar="NAME=IP", help="an address that no container gets"),
            flag("--config-only", help="not there: every network is for containers"),
            flag("--disable-dns", help="not there: every network has names"),
            text("-d", "--driver", metavar="DRIVER", default="bridge", help="bridge: the only one"),
            many("--gateway", metavar="IP", help="the gateway of its subnet"),
            flag("--ignore", help="do nothing when there is one of that name"),
            flag("--ingress", help="not there: it is for swarms"),
            flag("--internal", help="give it no way out"),
            many("--ip-range", metavar="SUBNET", help="addresses of containers are from there"),
            text(
                "--ipam-driver", metavar="DRIVER", default="default", help="default: the only one"
            ),
            many("--ipam-opt", metavar="KEY=VALUE", help="kept and shown, changes nothing"),
            flag("--ipv4", default=True, help="have IPv4 addresses [default]"),
            flag("--ipv6", help="have IPv6 addresses, too"),
            many("--label", metavar="KEY=VALUE", help="give it a label"),
            many("-o", "--opt", metavar="KEY=VALUE", help="com.docker.network.driver.mtu or mtu"),
            text("--scope", metavar="SCOPE", help="local: the only one"),
            many("--subnet", metavar="SUBNET", help="its addresses [default: some that are free]"),
        ),
        arguments=(Argument("network", "NETWORK", "optional"),),
        examples=(
            "rootless network create web",
            "rootless network create --internal --label app=shop back",
            "rootless network create --subnet 10.20.0.0/24 --gateway 10.20.0.1 web",
        ),
    ),
    Verb(
        "network disconnect",
        "Take a container off a network",
        "rootless.cli.networks:disconnect",
        options=(flag("-f", "--force", help="whatever the container's record says"),),
        arguments=_PAIR,
        examples=("rootless network disconnect web postgres",),
    ),
    Verb(
        "network exists",
        "Check whether a network exists: exit code 0 or 1, and no output",
        "rootless.cli.networks:exists",
        arguments=(Argument("network", "NETWORK"),),
        examples=("rootless network exists web",),
    ),
    Verb(
        "network inspect",
        "Show what networks are, and who is on them",
        "rootless.cli.networks:inspect",
        options=(
            text("-f", "--format", metavar="FORMAT", help="json or a Go template"),
            flag("-v", "--verbose", help=NOTHING),
        ),
        arguments=_NAMES,
        examples=("rootless network inspect -f '{{json .IPAM.Config}}' web",),
    ),
    Verb(
        "network ls",
        "List networks",
        "rootless.cli.networks:ls",
        options=(
            many(
                "-f",
                "--filter",
                metavar="KEY=VALUE",
                help="only those with this name, id, driver, label, scope, type (custom or builtin)"
                " or that are dangling (true or false)",
            ),
            text("--format", metavar="FORMAT", help="table, json or a Go template"),
            flag("--no-trunc", help="do not shorten ids"),
            NO_HEADING,
            flag("-q", "--quiet", help="print only ids"),
        ),
        examples=("rootless network ls --filter type=custom",),
    ),
    Verb(
        "network prune",
        "Remove networks that no running container is on",
        "rootless.cli.networks:prune",
        options=(flag("-f", "--force", help="do not ask"), PRUNE_FILTER),
        examples=("rootless network prune --force",),
    ),
    Verb(
        "network rm",
        "Remove networks",
        "rootless.cli.networks:rm",
        options=(
            flag("-f", "--force", help="do not complain about missing ones"),
            text("-t", "--time", metavar="SECONDS", help=NOTHING),
        ),
        arguments=_NAMES,
        examples=("rootless network rm web",),
    ),
)
