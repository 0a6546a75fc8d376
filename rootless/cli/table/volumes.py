"""Verbs about volumes, and about their files by hand, declared."""

from __future__ import annotations

from rootless.cli.table import NO_HEADING, NOTHING, Argument, Verb, flag, many, text

_FORMAT = text("--format", metavar="FORMAT", help="table, json or a Go template")

VERBS = (
    Verb(
        "unshare",
        "Run a command as root of the namespace that files of containers live in",
        "rootless.cli.unshare:unshare",
        arguments=(Argument("command", "COMMAND", "rest"),),
        examples=("rootless unshare", "rootless unshare chown -R 0:0 ./data"),
    ),
    Verb(
        "volume create",
        "Create a volume",
        "rootless.cli.volumes:create",
        options=(
            text(
                "-d", "--driver", metavar="DRIVER", default="local", help="local: there is no other"
            ),
            flag("--ignore", help=NOTHING),
            many("-l", "--label", metavar="KEY=VALUE", help="give it a label"),
            text("--name", metavar="NAME", help="the name, as older scripts give it"),
            many(
                "-o",
                "--opt",
                metavar="KEY=VALUE",
                help="type=tmpfs with o=OPTIONS, or type=none with device=DIR and o=bind",
            ),
        ),
        arguments=(Argument("volume", "VOLUME", "optional"),),
        examples=(
            "rootless volume create db",
            "rootless volume create --label project=shop db",
            "rootless volume create -o type=none -o device=/srv/db -o o=bind db",
        ),
    ),
    Verb(
        "volume exists",
        "Check whether a volume exists: exit code 0 or 1, and no output",
        "rootless.cli.volumes:exists",
        arguments=(Argument("volume", "VOLUME"),),
        examples=("rootless volume exists db",),
    ),
    Verb(
        "volume export",
        "Write the files of a volume to a tar archive",
        "rootless.cli.volumes:export",
        options=(
            text("-o", "--output", metavar="FILE", help="write to FILE, not standard output"),
        ),
        arguments=(Argument("volume", "VOLUME"),),
        examples=("rootless volume export -o db.tar db",),
    ),
    Verb(
        "volume import",
        "Put the files of a tar archive into a volume",
        "rootless.cli.volumes:import_",
        arguments=(
            Argument("volume", "VOLUME"),
            Argument("source", "FILE|-", "optional"),
        ),
        examples=("rootless volume import db db.tar", "rootless volume import db - < db.tar.gz"),
    ),
    Verb(
        "volume inspect",
        "Show what volumes are",
        "rootless.cli.volumes:inspect",
        options=(
            flag("-a", "--all", help="all there are"),
            text("-f", "--format", metavar="FORMAT", help="json or a Go template"),
        ),
        arguments=(Argument("names", "VOLUME", "any"),),
        examples=("rootless volume inspect -f '{{.Mountpoint}}' db",),
    ),
    Verb(
        "volume ls",
        "List volumes",
        "rootless.cli.volumes:ls",
        options=(
            many(
                "-f",
                "--filter",
                metavar="KEY=VALUE",
                help="only those with this name, label, driver, or dangling=true (in no use)",
            ),
            _FORMAT,
            NO_HEADING,
            flag("-q", "--quiet", help="print only names"),
        ),
        examples=("rootless volume ls", "rootless volume ls -q -f dangling=true"),
    ),
    Verb(
        "volume prune",
        "Remove volumes that no container uses: anonymous ones, or all",
        "rootless.cli.volumes:prune",
        options=(
            flag("-a", "--all", help="named ones, too"),
            many(
                "--filter",
                metavar="KEY=VALUE",
                help="only what label=KEY[=VALUE] and label!=KEY[=VALUE] all allow",
            ),
            flag("-f", "--force", help="do not ask"),
        ),
        examples=("rootless volume prune", "rootless volume prune -af"),
    ),
    Verb(
        "volume rm",
        "Remove volumes that no container uses",
        "rootless.cli.volumes:rm",
        options=(
            flag("-a", "--all", help="all that are in no use"),
            flag("-f", "--force", help="do not complain about missing ones"),
        ),
        arguments=(Argument("names", "VOLUME", "any"),),
        examples=("rootless volume rm db", "rootless volume rm --all"),
    ),
)
