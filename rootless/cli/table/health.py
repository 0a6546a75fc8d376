"""The flags of health checks, declared."""

from __future__ import annotations

from rootless.cli.table import flag, text

OPTIONS = (
    text("--health-cmd", metavar="COMMAND", help="check by this shell command that it is well"),
    text("--health-interval", metavar="TIME", help="how often [default: 30s]"),
    text(
        "--health-on-failure",
        metavar="ACTION",
        help="when it is unhealthy: none [default], kill, restart, stop",
    ),
    text("--health-retries", metavar="N", help="failures in a row until it is unhealthy [3]"),
    text("--health-start-interval", metavar="TIME", help="how often while it starts [5s]"),
    text("--health-start-period", metavar="TIME", help="how long failures do not count [0s]"),
    text("--health-timeout", metavar="TIME", help="what takes longer has failed [30s]"),
    flag("--no-healthcheck", help="make no health checks, whatever the image says"),
)
