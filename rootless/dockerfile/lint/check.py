"""All checks, one after the other."""

from __future__ import annotations

from rootless.dockerfile.lint import bases, scopes, writing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.dockerfile import Dockerfile
    from rootless.dockerfile.lint.findings import Asked, Finding
    from rootless.dockerfile.lint.options import Options


def check(dockerfile: Dockerfile, asked: Asked, options: Options) -> list[Finding]:
    """What there is to say, in the order in which BuildKit comes upon it."""
    if options.skip == ("all",) and not options.experimental:
        return []
    known = bases.Arguments(dockerfile, asked)
    found = [
        *writing.check(dockerfile),
        *bases.check(dockerfile, known),
        *bases.check_platforms(dockerfile, known, asked),
        *scopes.check(dockerfile, asked, known.values),
    ]
    return [one for one in found if options.wants(one.rule)]
