"""Verbs about the build cache and the one builder, declared: docker's `buildx`, also `builder`."""

from __future__ import annotations

from rootless.cli.table import NOTHING, Argument, Verb, flag, many, text

BUILDER = text("--builder", metavar="BUILDER", help="a name of the builder: there is one only")
_FORMAT = text("--format", metavar="TEMPLATE", help="'table', 'json' or a Go template")
_FILTER = many(
    "--filter",
    metavar="KEY=VALUE",
    help="only what until=TIME (of last use), type=TYPE, id=ID, shared or private=BOOL all allow",
)
_NAME = Argument("name", "BUILDER", "optional")

VERBS = (
    Verb(
        "buildx du",
        "List what builds keep for later ones",
        "rootless.cli.build_cache:du",
        options=(
            BUILDER,
            _FILTER,
            _FORMAT,
            flag("--verbose", help="a paragraph for each; the same as --format=pretty"),
        ),
        examples=(
            "rootless buildx du",
            "rootless buildx du --verbose --filter type=exec.cachemount",
        ),
    ),
    Verb(
        "buildx prune",
        "Remove what builds keep and no image needs",
        "rootless.cli.build_cache:remove",
        options=(
            flag("-a", "--all", help="remove also what images need and what the builder noted"),
            BUILDER,
            _FILTER,
            flag("-f", "--force", help="do not ask"),
            text("--keep-storage", metavar="BYTES", help="the older name of --reserved-space"),
            text(
                "--max-used-space",
                metavar="BYTES",
                help="remove only until the cache is not larger, least recently used first",
            ),
            text(
                "--min-free-space",
                metavar="BYTES",
                help="remove only until so much of the disk is free",
            ),
            text("--reserved-space", metavar="BYTES", help="what the cache may keep in any case"),
            flag("--verbose", help=NOTHING),
        ),
        examples=(
            "rootless builder prune -af",
            "rootless builder prune -f --filter until=24h",
            "rootless buildx prune -af --max-used-space 10GB",
        ),
    ),
    Verb(
        "buildx version",
        "Show which buildx these commands are like",
        "rootless.cli.builders:version",
        examples=("rootless buildx version",),
    ),
    Verb(
        "buildx ls",
        "List the names of the builder",
        "rootless.cli.builders:ls",
        options=(_FORMAT, flag("--no-trunc", help=NOTHING)),
        examples=("rootless buildx ls", "rootless buildx ls --format '{{.Name}}'"),
    ),
    Verb(
        "buildx inspect",
        "Show the builder",
        "rootless.cli.builders:inspect",
        options=(flag("--bootstrap", help=NOTHING), BUILDER),
        arguments=(_NAME,),
        examples=("rootless buildx inspect --bootstrap",),
    ),
    Verb(
        "buildx create",
        "Give the builder another name",
        "rootless.cli.builders:create",
        options=(
            flag("--bootstrap", help=NOTHING),
            text("--buildkitd-config", "--config", metavar="FILE", help=NOTHING),
            text("--buildkitd-flags", metavar="FLAGS", help=NOTHING),
            text("--driver", metavar="DRIVER", help="docker or docker-container; changes nothing"),
            many("--driver-opt", metavar="OPTIONS", help=NOTHING),
            text("--name", metavar="NAME", help="the name [default: a new one]"),
            text("--node", metavar="NAME", help=NOTHING),
            many("--platform", metavar="OS/ARCH", help=NOTHING),
            flag("--use", help="choose it"),
        ),
        arguments=(Argument("endpoint", "ENDPOINT", "optional"),),
        examples=("rootless buildx create --name mine --use",),
    ),
    Verb(
        "buildx use",
        "Choose one of the builder's names",
        "rootless.cli.builders:use",
        options=(flag("--default", help=NOTHING), flag("--global", help=NOTHING)),
        arguments=(Argument("name", "BUILDER"),),
        examples=("rootless buildx use mine",),
    ),
    Verb(
        "buildx rm",
        "Take names of the builder away",
        "rootless.cli.builders:rm",
        options=(
            flag("--all-inactive", help="names that are not in use: none is, nothing happens"),
            BUILDER,
            flag("-f", "--force", help=NOTHING),
            flag("--keep-daemon", help=NOTHING),
            flag("--keep-state", help=NOTHING),
        ),
        arguments=(Argument("names", "BUILDER", "any"),),
        examples=("rootless buildx rm mine",),
    ),
    Verb(
        "buildx stop",
        "Stop the builder: nothing of it runs between two builds",
        "rootless.cli.builders:stop",
        options=(BUILDER,),
        arguments=(_NAME,),
        examples=("rootless buildx stop",),
    ),
)
