"""`exec` and `healthcheck run`, declared."""

from __future__ import annotations

from rootless.cli.table import Argument, Verb, flag, many, text

EXEC = Verb(
    "exec",
    "Run a command in a container that runs",
    "rootless.cli.exec:exec_",
    options=(
        flag("-d", "--detach", help="run it in the background"),
        text("--detach-keys", metavar="KEYS", help="what leaves it [default: ctrl-p,ctrl-q]"),
        many("-e", "--env", metavar="NAME[=VALUE]", help="set an environment variable"),
        many("--env-file", metavar="FILE", help="read environment variables from FILE"),
        flag("--explain", help="print each step before it happens, and why"),
        flag("-i", "--interactive", help="keep standard input open"),
        flag("--privileged", help="give it all of root's powers over the container"),
        flag("-t", "--tty", help="give the command a terminal"),
        text("-u", "--user", metavar="USER[:GROUP]", help="run as this user (name or id)"),
        text("-w", "--workdir", metavar="DIR", help="working directory in the container"),
    ),
    arguments=(Argument("container", "CONTAINER"), Argument("command", "COMMAND", "rest")),
    examples=(
        "rootless exec -it web sh",
        "rootless exec -u postgres -w /var/lib db psql -l",
        "rootless exec web cat /etc/nginx/nginx.conf",
    ),
)

HEALTHCHECK_RUN = Verb(
    "healthcheck run",
    "Make a health check of a container now",
    "rootless.cli.healthcheck:run",
    arguments=(Argument("container", "CONTAINER"),),
    examples=("rootless healthcheck run web",),
    failure=125,
)

VERBS = (EXEC, HEALTHCHECK_RUN)
