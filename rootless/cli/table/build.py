"""`build`, declared."""

from __future__ import annotations

from rootless.cli.table import (
    CERT_DIR,
    CONTENT_TRUST,
    NOTHING,
    PLATFORM,
    TLS_VERIFY,
    Argument,
    Verb,
    flag,
    many,
    text,
)
from rootless.cli.table.builders import BUILDER

BUILD = Verb(
    "build",
    "Build an image from a Dockerfile",
    "rootless.cli.build:build",
    options=(
        many("--build-arg", metavar="NAME[=VALUE]", help="set a build-time variable"),
        BUILDER,
        text(
            "--call",
            metavar="METHOD",
            help="say something of the Dockerfile instead: check, outline or targets[,format=json]",
        ),
        flag("--check", help="only look for what is rarely meant: as --call check"),
        flag("--compress", help=NOTHING),
        CONTENT_TRUST,
        flag("--dry-run", help="print the plan of the build, and stop"),
        flag("--explain", help="print what each step does, and why, before it happens"),
        text("-f", "--file", metavar="FILE", help="the Dockerfile, - for standard input"),
        flag("--force-rm", help=NOTHING),
        text("--iidfile", metavar="FILE", help="write the image's id to FILE"),
        text(
            "--isolation",
            metavar="HOW",
            choices=("default", "chroot", "oci", "process", "rootless"),
            help=NOTHING,
        ),
        text("--jobs", metavar="N", help="stages built at a time [default: the processors]"),
        text("--ignorefile", metavar="FILE", help="read FILE instead of .dockerignore"),
        flag("--load", help=NOTHING),
        text(
            "--network",
            metavar="MODE",
            choices=("default", "host", "none"),
            default="default",
            help="network of RUN: default (this machine's), host or none",
        ),
        flag("--no-cache", help="run every step anew"),
        PLATFORM,
        text(
            "--progress",
            metavar="HOW",
            choices=("auto", "plain", "tty", "quiet", "none", "rawjson"),
            default="auto",
            help="how progress is shown: auto, plain, tty, quiet, none or rawjson [default: auto]",
        ),
        text("--provenance", metavar="false", choices=("false",), help=NOTHING),
        flag("--pull", help="ask the registry for newer base images"),
        flag("-q", "--quiet", help="print only the image's id"),
        flag("--rm", help=NOTHING),
        text("--sbom", metavar="false", choices=("false",), help=NOTHING),
        many("-t", "--tag", metavar="NAME[:TAG]", help="name the image"),
        text("--target", metavar="STAGE", help="stop at this stage"),
        CERT_DIR,
        TLS_VERIFY,
    ),
    arguments=(Argument("context", "CONTEXT"),),
    examples=(
        "rootless build -t hello examples/hello",
        "rootless build -t app --build-arg VERSION=1.2 --target test .",
        "rootless build -f - . < Dockerfile",
        "rootless build https://example.org/app.git#v1.2:docker",
        "tar -c . | rootless build -f deploy/Dockerfile -",
        "rootless build --progress rawjson .",
        "rootless build --check .",
        "rootless build --call outline,format=json --target test .",
    ),
)

VERBS = (BUILD,)
