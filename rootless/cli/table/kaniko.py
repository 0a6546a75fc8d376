"""`kaniko`, declared: the flags of kaniko's executor, for pipelines that were written for it."""

from __future__ import annotations

from rootless.cli.table import NOTHING, Verb, flag, many, text

_INSTEAD = "accepted with a warning: "

_BUILT = (
    many("--build-arg", metavar="NAME[=VALUE]", help="set a build-time variable"),
    text(
        "-c",
        "--context",
        metavar="PLACE",
        default="/workspace/",
        help="a directory, dir://DIR, tar://FILE, tar://stdin, git://REPOSITORY[#REF[#COMMIT]] or "
        "https://ARCHIVE [default: /workspace/]",
    ),
    text("--context-sub-path", metavar="DIR", help="the folder within a directory or repository"),
    text("--customPlatform", "--custom-platform", metavar="OS/ARCH", help="build for it"),
    text(
        "-f",
        "--dockerfile",
        metavar="FILE",
        default="Dockerfile",
        help="from here, else from the context; or a URL [default: Dockerfile]",
    ),
    many("--git", metavar="KEY=VALUE", help="branch=NAME, recurse-submodules=true"),
    many("--label", metavar="KEY=VALUE", help="add a label to the image"),
    flag("--reproducible", help="no clock in the image: as build --source-date-epoch 0"),
    flag("--single-snapshot", help="make one layer of all that is added: as build --squash"),
    flag("--skip-unused-stages", default=True, help="in any case; =false is refused"),
    text("--target", metavar="STAGE", help="stop at this stage"),
)
_GIVEN = (
    text("--compression", metavar="gzip|zstd", help="how layers are compressed"),
    text("--compression-level", metavar="N", help="how much"),
    many("-d", "--destination", metavar="NAME[:TAG]", help="push it there; may be repeated"),
    text("--digest-file", metavar="FILE", help="write the image's digest to FILE"),
    text(
        "--image-name-tag-with-digest-file",
        metavar="FILE",
        help="write NAME:TAG@DIGEST of each destination to FILE",
    ),
    text(
        "--image-name-with-digest-file",
        metavar="FILE",
        help="write NAME@DIGEST of each destination to FILE",
    ),
    flag("--no-push", help="push nothing: the image is in the store"),
    text("--oci-layout-path", metavar="DIR", help="write an OCI layout, too"),
    text(
        "--tarPath", "--tar-path", metavar="FILE", help="write an archive as docker's, and no push"
    ),
)
_CACHED = (
    flag("--cache", help="use steps of before, and those that --cache-repo has"),
    flag("--cache-copy-layers", help=NOTHING),
    text("--cache-dir", metavar="DIR", help=_INSTEAD + "bases lie in the store"),
    text("--cache-repo", metavar="NAME|oci:DIR", help="the cache [default: DESTINATION/cache]"),
    flag("--cache-run-layers", default=True, help="=false is refused with --cache"),
    text("--cache-ttl", metavar="TIME", default="336h", help="run again what is older [336h]"),
    flag("--compressed-caching", default=True, help=NOTHING),
    flag("--no-push-cache", help="share no steps"),
)
_REACHED = (
    flag("--insecure", help="push by plain http, or without a check of certificates"),
    flag("--insecure-pull", help="the same of all registries"),
    many("--insecure-registry", metavar="HOST", help="the same of one registry"),
    many("--registry-certificate", metavar="HOST=FILE", help="trust this authority there"),
    many("--registry-client-cert", metavar="HOST=CERT,KEY", help="show this certificate there"),
    many("--registry-map", metavar="HOST=HOST[;...]", help="ask the other one first"),
    many("--registry-mirror", metavar="HOST", help="ask it before docker.io"),
    flag("--skip-default-registry-fallback", help="ask mirrors only"),
    flag("--skip-tls-verify", help="push without a check of certificates"),
    flag("--skip-tls-verify-pull", help="pull so, too"),
    many("--skip-tls-verify-registry", metavar="HOST", help="both with one registry"),
)
_WARNED = (
    text("-b", "--bucket", metavar="NAME", help="refused: fetch the archive, and name tar://FILE"),
    many("--credential-helpers", metavar="NAME", help=_INSTEAD + "config.json names helpers"),
    flag("--force-build-metadata", help=_INSTEAD + "what changes no file makes no layer"),
    many("--ignore-path", metavar="PATH", help=_INSTEAD + "steps run in a root of their own"),
    flag("--push-ignore-immutable-tag-errors", help=_INSTEAD + "such an error ends it"),
    text("-v", "--verbosity", metavar="LEVEL", default="info", help="error and less are silent"),
)
_ACCEPTED = (
    flag("--cleanup", help=NOTHING),
    flag("--force", help=NOTHING),
    flag("--whitelist-var-run", "--ignore-var-run", default=True, help=NOTHING),
    text("--image-download-retry", metavar="N", help=NOTHING),
    text("--image-fs-extract-retry", metavar="N", help=NOTHING),
    text("--kaniko-dir", metavar="DIR", help=NOTHING),
    text("--log-format", metavar="text|color|json", help=NOTHING),
    flag("--log-timestamp", help=NOTHING),
    text("--push-retry", metavar="N", help=NOTHING),
    flag("--skip-push-permission-check", help=NOTHING),
    text(
        "--snapshotMode",
        "--snapshot-mode",
        metavar="full|redo|time",
        choices=("full", "redo", "time"),
        help="what changed is known exactly in any case",
    ),
    flag("--use-new-run", help=NOTHING),
)

VERBS = (
    Verb(
        "kaniko",
        "Build and push by the flags of kaniko's executor",
        "rootless.cli.kaniko:kaniko",
        options=(*_BUILT, *_GIVEN, *_CACHED, *_REACHED, *_WARNED, *_ACCEPTED),
        examples=(
            "rootless kaniko --context dir://$PWD --destination registry.example/app:1",
            "rootless kaniko --context . --no-push --tar-path app.tar",
            "rootless kaniko -c . -d registry.example/app:1 --cache --cache-repo "
            "registry.example/app/cache",
        ),
    ),
)
