"""`bake`, declared."""

from __future__ import annotations

from rootless.cli.table import Argument, Verb, flag, many, text
from rootless.cli.table.builders import BUILDER

BAKE = Verb(
    "bake",
    "Build what bake files, or a compose file, define",
    "rootless.cli.bake:bake",
    options=(
        many("-f", "--file", metavar="FILE", help="read this file, - for standard input"),
        many("--set", metavar="TARGET.KEY=VALUE", help="change a target; *.KEY changes all"),
        many("--var", metavar="NAME=VALUE", help="set a variable of the files"),
        flag("--print", help="print what would be built as JSON, and stop"),
        text("--list", metavar="targets|variables", help="list them, and stop"),
        flag("--dry-run", help="print the rootless build commands, and stop"),
        BUILDER,
        text("--call", metavar="METHOD", help="check, outline or targets: look, and stop"),
        flag("--check", help="check the Dockerfiles, and stop"),
        flag("--no-cache", help="run every step anew"),
        flag("--pull", help="ask the registry for newer base images"),
        flag("--push", help="push the images, too"),
        flag("--load", help="keep the images here, whatever other output there is"),
        text(
            "--progress",
            metavar="HOW",
            choices=("auto", "plain", "tty", "quiet", "none", "rawjson"),
            default="auto",
            help="how progress is shown: auto, plain, quiet or none [default: auto]",
        ),
        text("--metadata-file", metavar="FILE", help="write what was built to FILE, as JSON"),
        text("--provenance", metavar="WHAT", help="the same for every target"),
        text("--sbom", metavar="WHAT", help="the same for every target"),
        many(
            "--allow",
            metavar="WHAT",
            help="let targets have fs=PATH beyond this directory, ssh or security.insecure",
        ),
        text("--jobs", metavar="N", help="targets built at a time [default: the processors]"),
        text(
            "--on",
            metavar="WHERE",
            help="hand the targets to a scheduler: slurm or kubernetes, with ,registry=NAME",
        ),
    ),
    arguments=(Argument("targets", "TARGET", "any"),),
    examples=(
        "rootless bake",
        "rootless bake --print app",
        "rootless bake -f docker-bake.hcl --set '*.args.VERSION=2' app db",
        "rootless bake --list targets",
        "rootless bake --push --on slurm,registry=registry.example/team/cache",
    ),
)

VERBS = (BAKE,)
