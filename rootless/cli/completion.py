"""Completion for bash, zsh and fish: the script a shell evaluates, and answers to its questions.

A shell asks through the environment (`_ROOTLESS_COMPLETE=bash_complete`), so nothing is started
for it but this program. What a word may be is told by its metavar in the table. Read-only: runs
outside the namespace, and a store or a Dockerfile that cannot be read completes to nothing.
"""

from __future__ import annotations

import os

import click
from click.shell_completion import BashComplete, CompletionItem, get_completion_class

from rootless.cli import settings
from rootless.errors import RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from click.shell_completion import ShellComplete

    from rootless.cli.parser import Arguments
    from rootless.store import Store

_VARIABLE = "_ROOTLESS_COMPLETE"
_NETWORKS = ("bridge", "host", "none", "pasta", "slirp4netns")
_IMAGE_FILTERS = (
    *("before=", "dangling=false", "dangling=true", "label!=", "label=", "reference=", "since="),
    "until=",
)
_PRUNE_FILTERS = ("label!=", "label=", "until=")
_CACHE_FILTERS = (
    *("description=", "id=", "immutable", "inuse", "mutable", "private", "shared"),
    *(
        "type=exec.cachemount",
        "type=internal",
        "type=regular",
        "type=source.local",
        "type=source.git.checkout",
    ),
    *("until=", "unused-for="),
)
_PLATFORMS = ("linux/amd64", "linux/arm/v7", "linux/arm64", "linux/riscv64")


class _Bash(BashComplete):
    """bash takes a colon for the end of a word: the line is split here, and of an answer only
    what comes after the last colon of the word so far is given back.
    """

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' response
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete %(prog_name)s)
    for completion in $response; do
        IFS=',' read -r type value <<<"$completion"
        case $type in
            dir) COMPREPLY=() ; compopt -o dirnames ;;
            file) COMPREPLY=() ; compopt -o default ;;
            nospace) COMPREPLY+=("$value") ; compopt -o nospace ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
# docker too, where it is no program of its own but an alias (docker=%(prog_name)s), now or later
[ "$(type -t docker)" = file ] || complete -o nosort -F %(complete_func)s docker
"""

    @staticmethod
    def _check_version() -> None:
        """Asking bash for its version costs a process, and old ones only lack an option."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        words = _split(line)
        incomplete = "" if line[-1:].isspace() or not words else words.pop()
        breaks = ":" in os.environ.get("COMP_WORDBREAKS", ":")
        self._given = incomplete.rpartition(":")[0] + ":" if breaks and ":" in incomplete else ""
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        value = str(item.value).removeprefix(self._given)
        kind = "nospace" if item.type == "plain" and value.endswith("=") else item.type
        return f"{kind},{value}"


def _split(line: str) -> list[str]:
    from click.shell_completion import split_arg_string

    return split_arg_string(line)


def completion(_given: settings.Settings, arguments: Arguments) -> int:
    """`rootless completion bash`: the script that the shell shall evaluate."""
    found = _shell(arguments.shell)
    if found is None:
        raise UsageError(
            f"there is no completion for {arguments.shell!r}", hint="choose bash, zsh or fish"
        )
    click.echo(found.source())
    return 0


def complete(instruction: str) -> int:
    """Answer a shell's question."""
    found = _shell(instruction.partition("_")[0])
    if found is None:
        return 1
    click.echo(found.complete())
    return 0


def _shell(name: str) -> ShellComplete | None:
    from rootless.cli import click_app

    kind = _Bash if name == "bash" else get_completion_class(name)
    return kind(click_app.application(), {}, "rootless", _VARIABLE) if kind else None


def of(metavar: str, verb: str) -> Callable[..., list[CompletionItem]] | None:
    """What completes a word or a flag's value that the table calls `metavar`; None: nothing."""
    found = _COMPLETERS.get(metavar)
    if metavar == "KEY=VALUE":
        found = _FILTERS.get(verb)
    if found is None:
        return None

    def complete_word(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            return [*found(context, incomplete)]
        except (RootlessError, OSError):
            return []

    return complete_word


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _store(context: click.Context) -> Store:
    from rootless.store import Store

    root = context.find_root().params.get("root")
    return Store(settings.read(os.environ, root=root).root)


def _images(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names; `:latest` need not be typed, so it comes only after the colon."""
    from rootless.store import images

    found = images.listing(_store(context), lambda *_: None)
    names = {one.familiar for image in found for one in image.references}
    if ":" not in incomplete:
        names = {name.removesuffix(":latest") for name in names}
    return _beginning(sorted(names), incomplete)


def _containers(context: click.Context, incomplete: str) -> list[CompletionItem]:
    from rootless.container import records

    found = records.listing(_store(context))
    return _beginning([one.name for one in found], incomplete)


def _stages(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """The names after AS in the Dockerfile that the line so far names."""
    folder = context.params.get("context") or "."
    path = context.params.get("file") or os.path.join(folder, "Dockerfile")
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.split() for line in file.read(1 << 20).splitlines()]
    names = [
        line[-1] for line in lines
        if len(line) > 3 and line[0].upper() == "FROM" and line[-2].upper() == "AS"
    ]  # fmt: skip
    return _beginning(names, incomplete)


def _targets(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """What the bake files define; standard input is the shell's."""
    from rootless.cli import bake

    files = tuple(context.params.get("file") or ())
    return [] if "-" in files else _beginning(bake.names(os.environ, files), incomplete)


def _builders(context: click.Context, incomplete: str) -> list[CompletionItem]:
    from rootless.cli import builders

    root = context.find_root().params.get("root")
    return _beginning(builders.names(settings.read(os.environ, root=root)), incomplete)


def _networks(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """The user's own; what is not theirs, too, where a container is made."""
    from rootless.container import networking
    from rootless.store import Store

    root = context.find_root().params.get("root")
    known = networking.networks(Store(settings.read(os.environ, root=root).root))
    others = _NETWORKS if context.info_name in ("create", "run") else ()
    return _beginning([*others, *(one.name for one in known.listing())], incomplete)


def _verbs(_context: click.Context, incomplete: str) -> list[CompletionItem]:
    from rootless.cli import table

    ours = {name.split(" ")[0] for name in (*table.MODULES, *table.ALIASES)}
    return _beginning(sorted(ours), incomplete)


def _volume(_context: click.Context, incomplete: str) -> list[CompletionItem]:
    """The host's side of -v: a path."""
    return [] if ":" in incomplete else [CompletionItem(incomplete, type="file")]


def _capabilities(_context: click.Context, incomplete: str) -> list[CompletionItem]:
    from rootless.sandbox import caps

    return _beginning(["ALL", *sorted(caps.NAMES)], incomplete)


def _words(*known: str) -> Callable[[click.Context, str], list[CompletionItem]]:
    return lambda _context, incomplete: _beginning(known, incomplete)


def _path(kind: str) -> Callable[[click.Context, str], list[CompletionItem]]:
    return lambda _context, incomplete: [CompletionItem(incomplete, type=kind)]


_FILTERS = {
    "buildx du": _words(*_CACHE_FILTERS),
    "buildx prune": _words(*_CACHE_FILTERS),
    "image prune": _words(*_PRUNE_FILTERS),
    "images": _words(*_IMAGE_FILTERS),
    "system prune": _words(*_PRUNE_FILTERS),
}
_COMPLETERS: dict[str, Callable[[click.Context, str], list[CompletionItem]]] = {
    "BUILDER": _builders,
    "CAP": _capabilities,
    "COMMAND": _verbs,
    "CONTAINER": _containers,
    "CONTEXT": _path("dir"),
    "DIR": _path("dir"),
    "FILE": _path("file"),
    "FILE|URL|-": _path("file"),
    "IMAGE": _images,
    "NETWORK": _networks,
    "NAME[:TAG]": _images,
    "NAME[:TAG|@DIGEST]": _images,
    "OS/ARCH": _words(*_PLATFORMS),
    "REPOSITORY[:TAG]": _images,
    "SOURCE_IMAGE[:TAG]": _images,
    "SRC:DST[:ro]": _volume,
    "STAGE": _stages,
    "TARGET": _targets,
    "TARGET_IMAGE[:TAG]": _images,
    "bash|zsh|fish": _words("bash", "fish", "zsh"),
    "targets|variables": _words("targets", "variables"),
}
