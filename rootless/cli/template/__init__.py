"""Templates for --format: Go's text/template with docker's functions.

    lexer → parser → nodes → evaluate, with functions, printing (Go's fmt), literals and values

Pure: text and a value go in, text comes out. Imported only when somebody gives --format. What a
template may take of time, depth and memory is bounded.
"""

from __future__ import annotations

from rootless.cli.template import evaluate, functions, parser
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.cli.template.functions import Function
    from rootless.cli.template.values import Struct

BAD_TEMPLATE = 64
"""docker's exit code where a template is about one thing, not about the rows of a list."""
_HINT = "templates are Go's: {{.Field}}, {{json .Field}}, {{range .List}}{{.}} {{end}}, …"


class TemplateError(RootlessError):
    """A template that cannot be understood, or that asks for what is not there."""


class Template:
    """A template that is understood. `name` is how complaints call it."""

    def __init__(self, text: str, name: str = "", *, exit_code: int | None = None) -> None:
        """TemplateError, in docker's words and with that exit code, when it cannot be."""
        self._text = text
        self._name = name
        try:
            self._templates = parser.parse(text, name, functions.ALL)
        except parser.ParseError as error:
            complaint = TemplateError(f"template parsing error: {error}", hint=_HINT)
            complaint.exit_code = exit_code or TemplateError.exit_code
            raise complaint from None

    def render(self, value: object, *, strict: bool = False) -> str:
        """What it makes of `value`. `strict`: a key that a map does not have is an error."""
        walk = self._evaluation(functions.ALL, strict=strict)
        try:
            return walk.execute(value)
        except evaluate.ExecuteError as error:
            raise _complaint(error) from None

    def check_fields(self, value: object) -> None:
        """TemplateError when it asks for a field that `value` does not have."""
        try:
            self._evaluation(functions.ALL, strict=False).execute(value)
        except evaluate.ExecuteError as error:
            if error.fields:
                raise _complaint(error) from None

    def header(self, names: Struct) -> str:
        """The line above a table: as much of it as can be made of the columns' names."""
        walk = self._evaluation(functions.HEADERS, strict=False)
        try:
            walk.execute(names)
        except evaluate.ExecuteError:
            pass
        return "".join(walk.made)

    def _evaluation(self, known: Mapping[str, Function], *, strict: bool) -> evaluate.Evaluation:
        return evaluate.Evaluation(self._text, self._name, self._templates, known, strict=strict)


def _complaint(error: evaluate.ExecuteError) -> TemplateError:
    hint = f"fields are: {', '.join(error.fields)}" if error.fields else None
    return TemplateError(f"template parsing error: {error}", hint=hint)
