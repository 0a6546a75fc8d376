"""`build`, declared."""

from __future__ import annotations

from rootless.cli.table import (
    AUTHFILE,
    CERT_DIR,
    NOTHING,
    TLS_VERIFY,
    Argument,
    Verb,
    flag,
    many,
    text,
)
from rootless.cli.table.accepted import ACCEPTED, OF_PLATFORM
from rootless.cli.table.builders import BUILDER
from rootless.cli.table.sandboxes import SANDBOX

BUILD = Verb(
    "build",
    "Build an image from a Dockerfile",
    "rootless.cli.build:build",
    options=(
        many(
            "--annotation",
            metavar="[PART:]KEY=VALUE",
            help="annotate the image's manifest, or its index, or their manifest-descriptor",
        ),
        many(
            "--attest",
            metavar="OFF",
            help="only type=TYPE,disabled=true: attestations are not made",
        ),
        many("--build-arg", metavar="NAME[=VALUE]", help="set a build-time variable"),
        many(
            "--build-context",
            metavar="NAME=WHAT",
            help="let a directory, URL or image stand for the image or stage NAME",
        ),
        BUILDER,
        text(
            "--call",
            metavar="METHOD",
            help="say something of the Dockerfile instead: check, outline or targets[,format=json]",
        ),
        many(
            "--cache-from",
            metavar="CACHE",
            help="ask a shared cache for steps: type=registry,ref=NAME or type=local,src=DIR",
        ),
        many(
            "--cache-to",
            metavar="CACHE",
            help="share the cache: type=registry,ref=NAME, type=local,dest=DIR or type=inline"
            "[,mode=min|max]",
        ),
        text("--cache-ttl", metavar="TIME", help="run again what is older, as 72h"),
        flag("--check", help="only look for what is rarely meant: as --call check"),
        text(
            "--compression",
            metavar="gzip|zstd[,LEVEL]",
            help="how layers are compressed that are pushed or written to an archive",
        ),
        flag("--dry-run", help="print the plan of the build, and stop"),
        flag("--explain", help="print what each step does, and why, before it happens"),
        text("-f", "--file", metavar="FILE", help="the Dockerfile, - for standard input"),
        text(
            "--format",
            metavar="oci|docker",
            choices=("oci", "docker"),
            default="oci",
            help="media types of the image: oci [default] or docker",
        ),
        text("--iidfile", metavar="FILE", help="write the image's id to FILE"),
        text("--jobs", metavar="N", help="stages built at a time [default: the processors]"),
        text("--ignorefile", metavar="FILE", help="read FILE instead of .dockerignore"),
        many("--label", metavar="KEY[=VALUE]", help="add a label to the image"),
        flag("--layers", default=True, help="a layer a step [default]; =false gives one for all"),
        flag("--load", help="put the image into the store, too, whatever -o says"),
        text("--metadata-file", metavar="FILE", help="write digests and names as JSON to FILE"),
        text(
            "--network",
            metavar="MODE",
            choices=("default", "host", "none"),
            default="default",
            help="network of RUN: default (this machine's), host or none",
        ),
        flag("--lock", help="write what came from elsewhere to Dockerfile.lock"),
        flag("--locked", help="refuse what is another than Dockerfile.lock says"),
        flag("--no-cache", help="run every step anew"),
        many("--no-cache-filter", metavar="STAGE", help="run every step of these stages anew"),
        many(
            "-o",
            "--output",
            metavar="DIR|-|type=TYPE[,KEY=VALUE...]",
            help="what comes out: a folder, a tar on standard output, or local, tar, oci, docker, "
            "image or registry",
        ),
        many("--platform", metavar="OS/ARCH[,OS/ARCH...]", help="build for these platforms"),
        text(
            "--progress",
            metavar="HOW",
            choices=("auto", "plain", "tty", "quiet", "none", "rawjson"),
            default="auto",
            help="how progress is shown: auto, plain, tty, quiet, none or rawjson [default: auto]",
        ),
        text("--provenance", metavar="false", help="only false: attestations are not made"),
        flag("--pull", help="ask the registry for newer base images"),
        flag("--push", help="push the image to the registry of its name"),
        flag("-q", "--quiet", help="print only the image's id"),
        flag("--rewrite-timestamp", help=NOTHING),
        text("--sbom", metavar="false", help="only false: attestations are not made"),
        text(
            "--source-date-epoch", metavar="SECONDS", help="as $SOURCE_DATE_EPOCH, which it beats"
        ),
        flag("--squash", help="make one layer of all that this build adds"),
        flag("--squash-all", help="make one layer of the whole image"),
        many("-t", "--tag", metavar="NAME[:TAG]", help="name the image"),
        text("--target", metavar="STAGE", help="stop at this stage"),
        text("--timestamp", metavar="SECONDS", help="the same as --source-date-epoch"),
        many("--unsetlabel", metavar="KEY", help="leave out a label of the base image"),
        flag("--verify", help="build again without the cache, and show what differs"),
        flag("--why", help="say of every step that is not cached what is different now"),
        CERT_DIR,
        TLS_VERIFY,
        *SANDBOX,
        *ACCEPTED,
        *OF_PLATFORM,
        AUTHFILE,
    ),
    arguments=(Argument("context", "CONTEXT"),),
    examples=(
        "rootless build -t hello examples/hello",
        "rootless build -t app --build-arg VERSION=1.2 --target test .",
        "rootless build -f - . < Dockerfile",
        "rootless build https://example.org/app.git#v1.2:docker",
        "tar -c . | rootless build -f deploy/Dockerfile -",
        "rootless build -o ./out .",
        "rootless build -t example.com/me/app:1 --push --platform linux/amd64,linux/arm64 .",
        "rootless build -o type=oci,dest=app.tar,compression=zstd .",
        "rootless build --secret id=token,src=token.txt --ssh default .",
        "rootless build --progress rawjson .",
        "rootless build --locked --verify .",
        "rootless build --check .",
        "rootless build --why .",
        "rootless build --cache-from registry.example/app:cache "
        "--cache-to type=registry,ref=registry.example/app:cache,mode=max .",
        "rootless build --call outline,format=json --target test .",
    ),
)

VERBS = (BUILD,)
