"""Verbs about this program and this machine, declared."""

from __future__ import annotations

from rootless.cli.table import EVERY_IMAGE, PRUNE_FILTER, TLS_VERIFY, Argument, Verb, flag, text

_FORMAT = text("-f", "--format", metavar="TEMPLATE", help="'json' or a Go template")

VERBS = (
    Verb(
        "doctor",
        "Check what this machine allows, and how to fix it",
        "rootless.cli.system:doctor",
        options=(
            flag("--json", help="print it as JSON"),
            flag("--apparmor", help="print a profile that lets this Python make user namespaces"),
        ),
        examples=(
            "rootless doctor",
            "rootless doctor --json",
            "rootless doctor --apparmor | sudo tee /etc/apparmor.d/rootless",
        ),
        homeless=True,
    ),
    Verb(
        "info",
        "Show where things are kept and how",
        "rootless.cli.system:info",
        options=(_FORMAT,),
        examples=("rootless info -f '{{.DockerRootDir}}'",),
    ),
    Verb(
        "version",
        "Show the version",
        "rootless.cli.system:version",
        options=(_FORMAT,),
        examples=("rootless version -f '{{.Client.Version}}'",),
    ),
    Verb(
        "system check",
        "Read the whole store and say what is damaged",
        "rootless.cli.check:check",
        options=(
            flag("-q", "--quick", help="do not compare the files of layers"),
            flag(
                "-r",
                "--repair",
                help="move what is damaged into quarantine, and get or make it again",
            ),
            TLS_VERIFY,
        ),
        examples=("rootless system check", "rootless system check --repair"),
    ),
    Verb(
        "system df",
        "Show how much of the disk is taken, and what of it nothing needs",
        "rootless.cli.df:df",
        options=(
            text("--format", metavar="TEMPLATE", help="'table', 'json' or a Go template"),
            flag("-v", "--verbose", help="a line for each image, container and cached step"),
        ),
        examples=("rootless system df", "rootless system df -v"),
    ),
    Verb(
        "system prune",
        "Remove stopped containers, unnamed images and the build cache",
        "rootless.cli.prune:system",
        options=(
            flag("-a", "--all", help=EVERY_IMAGE),
            PRUNE_FILTER,
            flag("-f", "--force", help="do not ask"),
            flag("--volumes", help="anonymous volumes, too"),
        ),
        examples=("rootless system prune", "rootless system prune -af"),
    ),
    Verb(
        "completion",
        "Print the completion script of a shell",
        "rootless.cli.completion:completion",
        arguments=(Argument("shell", "bash|zsh|fish"),),
        examples=('eval "$(rootless completion bash)"',),
    ),
    Verb(
        "help",
        "Show help about a command",
        "rootless.cli.click_app:help_",
        arguments=(Argument("words", "COMMAND", "any"),),
        examples=("rootless help run", "rootless help image prune"),
    ),
)
