"""The same command line as a click application: for --help, completion and nothing else.

Values are parsed by `parser`, whose answers a test compares with click's. Imported only when
somebody asks for help: click costs more than starting a container.
"""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem, get_completion_class

from rootless.cli import settings, table
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.cli.parser import Arguments

_EXTRA_GROUPS = ("builder", "buildx")  # only spelled to be found, not shown


def application() -> click.Group:
    """The whole command tree."""
    top = click.Group("rootless", help=table.TOP.summary, params=_options(table.TOP))
    for name, summary in table.GROUPS.items():
        top.add_command(click.Group(name, help=summary, hidden=name in _EXTRA_GROUPS))
    verbs = {verb.name: verb for verb in table.every()}
    spellings = {**{name: name for name in verbs}, **table.ALIASES}
    for spelling, name in spellings.items():
        *group, last = spelling.split(" ")
        parent = top.commands[group[0]] if group else top
        assert isinstance(parent, click.Group)
        parent.add_command(command(verbs[name]), last)
    return top


def command(verb: table.Verb) -> click.Command:
    """One verb."""
    examples = "\n".join(f"  {example}" for example in verb.examples)
    made = click.Command(
        verb.name,
        help=verb.summary,
        params=[*_options(verb), *map(_argument, verb.arguments)],
        epilog=f"\b\nExamples:\n{examples}" if examples else None,
        options_metavar="[OPTIONS]" if verb.options else "",
    )
    made.allow_interspersed_args = not verb.flags_end_at_argument
    return made


def _options(verb: table.Verb) -> list[click.Parameter]:
    return [_option(option) for option in verb.options]


def _option(option: table.Option) -> click.Option:
    names = [*option.names, option.field]
    if option.kind == "flag":
        return click.Option(
            names, is_flag=True, flag_value=True, default=option.initial, help=option.help
        )
    kind = click.Choice(option.choices) if option.choices else click.STRING
    return click.Option(
        names,
        type=kind,
        multiple=option.kind == "list",
        default=option.default,
        metavar=option.metavar,
        help=option.help,
    )


def _argument(argument: table.Argument) -> click.Argument:
    return click.Argument(
        [argument.field],
        nargs=1 if argument.arity in ("one", "optional") else -1,
        required=argument.arity in ("one", "some"),
        metavar=argument.usage,
        type=click.UNPROCESSED,
        shell_complete=_image_names if "IMAGE" in argument.metavar else None,
    )


def _image_names(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of the store's images that begin so."""
    from rootless.store import Store, images

    store = Store(settings.read(os.environ).root)
    found = images.listing(store, lambda *_: None)
    names = [one.familiar for image in found for one in image.references]
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def show_help(words: Sequence[str]) -> int:
    """Print the help of the command or group that `words` name; of everything for no words."""
    found: click.Command = application()
    context = click.Context(found, info_name="rootless")
    for word in words:
        below = found.get_command(context, word) if isinstance(found, click.Group) else None
        if below is None:
            from rootless.cli import unsupported

            raise unsupported.verb(words)
        found, context = below, click.Context(below, context, info_name=word)
    click.echo(found.get_help(context))
    return 0


def help_(_given: settings.Settings, arguments: Arguments) -> int:
    """`rootless help COMMAND`."""
    return show_help(arguments.words)


def completion(_given: settings.Settings, arguments: Arguments) -> int:
    """`rootless completion bash`: the script that the shell shall evaluate."""
    kind = get_completion_class(arguments.shell)
    if kind is None:
        raise UsageError(
            f"there is no completion for {arguments.shell!r}", hint="choose bash, zsh or fish"
        )
    click.echo(kind(application(), {}, "rootless", "_ROOTLESS_COMPLETE").source())
    return 0


def complete(instruction: str) -> int:
    """Answer a shell's question, which it asks through the environment (bash_complete)."""
    shell, _, _ = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None:
        return 1
    click.echo(kind(application(), {}, "rootless", "_ROOTLESS_COMPLETE").complete())
    return 0
