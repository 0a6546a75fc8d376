"""BuildKit's checks of a Dockerfile: what is not wrong, yet is rarely meant. Pure.

check.check      a Dockerfile → Findings, in the order in which BuildKit finds them
options.Options  which rules are wanted: `# check=…`, BUILDKIT_DOCKERFILE_CHECK
writing          how it is written: casing, empty continuations, comments, names of stages
bases            what FROM lines name, with and without build-args
scopes           what each stage's instructions mean there: variables, paths, commands, secrets
rules            each rule's description and page, for those who print them

Rules' names and wording are those of BuildKit 0.25 (docker 28), compared case by case in
tests/corpus/checks. Nothing here raises: what is really wrong is for the parser and the build
to say.
"""

from rootless.dockerfile.lint.check import check
from rootless.dockerfile.lint.findings import Asked, Finding
from rootless.dockerfile.lint.options import Options

__all__ = ["Asked", "Finding", "Options", "check"]
