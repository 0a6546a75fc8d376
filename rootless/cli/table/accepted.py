"""Flags of `build` that ask for what happens here anyway, declared: docker's and podman's."""

from __future__ import annotations

from rootless.cli.table import CONTENT_TRUST, NOTHING, flag, text

ACCEPTED = (
    flag("--compat-volumes", help="what RUN writes below a VOLUME stays: it does in any case"),
    flag("--compress", help=NOTHING),
    flag("--created-annotation", help="only =false: no such annotation is made"),
    CONTENT_TRUST,
    flag("-D", "--debug", help=NOTHING),
    flag("--disable-compression", help=NOTHING),
    flag("--force-rm", help=NOTHING),
    flag("--identity-label", help="only =false: no such label is made"),
    text(
        "--isolation",
        metavar="HOW",
        choices=("default", "chroot", "oci", "process", "rootless"),
        help=NOTHING,
    ),
    text("--retry", metavar="N", help="what breaks off is tried again in any case"),
    text("--retry-delay", metavar="TIME", help="the same"),
    flag("--rm", help=NOTHING),
    flag(
        "--skip-unused-stages",
        default=True,
        help="stages that the target does not need are never built [default]",
    ),
)

OF_PLATFORM = (
    text("--arch", metavar="ARCH", help="the architecture of --platform, as arm64"),
    text("--os", metavar="OS", help="the operating system of --platform"),
    text("--variant", metavar="VARIANT", help="the variant of --platform, as v7"),
)
