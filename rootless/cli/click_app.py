"""The same command line as a click application: for --help, completion and man pages only.

Values are parsed by `parser`, whose answers a test compares with click's. Imported only when
somebody asks for help: click costs more than starting a container.
"""

from __future__ import annotations

import click

from rootless.cli import completion, settings, table

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
        params=[*_options(verb), *(_argument(one, verb.name) for one in verb.arguments)],
        epilog=f"\b\nExamples:\n{examples}" if examples else None,
        options_metavar="[OPTIONS]" if verb.options else "",
    )
    made.allow_interspersed_args = not verb.flags_end_at_argument
    return made


def _options(verb: table.Verb) -> list[click.Parameter]:
    return [_option(option, verb.name) for option in verb.options]


def _option(option: table.Option, verb: str) -> click.Option:
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
        shell_complete=None if option.choices else completion.of(option.metavar, verb),
    )


def _argument(argument: table.Argument, verb: str) -> click.Argument:
    return click.Argument(
        [argument.field],
        nargs=1 if argument.arity in ("one", "optional") else -1,
        required=argument.arity in ("one", "some"),
        metavar=argument.usage,
        type=click.UNPROCESSED,
        shell_complete=completion.of(argument.metavar, verb),
    )


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
