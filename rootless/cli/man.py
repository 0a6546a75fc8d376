"""Manual pages, rootless(1) and one for each verb, from the table that parser and help read.

Pure: roff text (man(7)) from declarations; `scripts/man` and the wheel's build write it to files.
"""

from __future__ import annotations

from rootless import __version__
from rootless.cli import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_EXIT = """The exit status of \\fBrun\\fR is the command's own, 128 plus the signal that ended
it, 125 when the container could not be started, 126 when the command cannot be executed, 127 when
it is not in the image. Other verbs end with 1 when they fail and with 125 for a flag that is none.
"""
_FILES = (
    ("~/.local/share/rootless", "images, layers and containers; --root or ROOTLESS_ROOT moves it"),
    ("~/.docker/config.json, ~/.config/containers/auth.json", "logins to registries"),
    ("/etc/subuid, /etc/subgid", "which user and group ids containers may use beside your own"),
)


def pages() -> dict[str, str]:
    """File name → page."""
    made = {f"{page_name(verb)}.1": _page(verb) for verb in table.every()}
    return {"rootless.1": _top(), **made}


def page_name(verb: table.Verb) -> str:
    """As git's: rootless-image-prune."""
    return "-".join(("rootless", *verb.name.split(" ")))


def _top() -> str:
    lines = [
        *_head("rootless", table.TOP.summary),
        ".SH SYNOPSIS\n.B rootless\n[OPTIONS] COMMAND [ARG...]",
        *_options(table.TOP),
        ".SH COMMANDS",
    ]
    for verb in sorted(table.every(), key=lambda one: one.name):
        lines += [f".TP\n.BR {_escape(page_name(verb))} (1)", _escape(verb.summary)]
    lines += [".SH EXIT STATUS", _EXIT.rstrip(), ".SH FILES"]
    for path, what in _FILES:
        lines += [f".TP\n.I {_escape(path)}", _escape(what)]
    return "\n".join([*lines, ".SH SEE ALSO\n.BR docker (1),\n.BR podman (1)", ""])


def _page(verb: table.Verb) -> str:
    spellings = [alias for alias, name in table.ALIASES.items() if name == verb.name]
    lines = [
        *_head(page_name(verb), verb.summary),
        f".SH SYNOPSIS\n.B {_escape(verb.usage)}",
        f".SH DESCRIPTION\n{_escape(verb.summary)}.",
    ]
    if spellings:
        lines.append(
            "Also spelled " + ", ".join(f"\\fB{_escape(one)}\\fR" for one in spellings) + "."
        )
    lines += _options(verb)
    if verb.examples:
        lines.append(".SH EXAMPLES")
        lines += [f".EX\n{_escape(example)}\n.EE" for example in verb.examples]
    return "\n".join([*lines, ".SH SEE ALSO\n.BR rootless (1)", ""])


def _head(name: str, summary: str) -> tuple[str, str]:
    title = f'.TH "{name.upper()}" 1 "" "rootless {__version__}" "rootless"'
    return title, f".SH NAME\n{_escape(name)} \\- {_escape(summary)}"


def _options(verb: table.Verb) -> Iterator[str]:
    if verb.options:
        yield ".SH OPTIONS"
    for option in verb.options:
        names = ", ".join(f"\\fB{_escape(name)}\\fR" for name in option.names)
        value = f" \\fI{_escape(option.metavar)}\\fR" if option.metavar else ""
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        yield f".TP\n{names}{value}\n{_escape(option.help + choices)}"


def _escape(text: str) -> str:
    """roff takes backslashes, hyphens, and dots and quotes that begin a line for its own."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
