"""Which rules are wanted, and whether what they find is an error.

Both come from `# check=skip=A,B;error=true;experimental=C` or from the build-arg that replaces it.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.dockerfile import Dockerfile
    from rootless.dockerfile.lint.findings import Finding

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
EXPERIMENTAL = ("CopyIgnoredFile", "InvalidDefinitionDescription")
ALL = "all"

_TRUTHS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class Options(Record):
    """Rules to skip, experimental rules to use, and whether findings end the build."""

    skip: tuple[str, ...] = ()
    experimental: tuple[str, ...] = ()
    error: bool = False

    @classmethod
    def of(cls, dockerfile: Dockerfile, build_args: Mapping[str, str]) -> Options:
        """UsageError for what docker refuses, too."""
        if ARGUMENT in build_args:
            return cls.parse(build_args[ARGUMENT], f"--build-arg {ARGUMENT}")
        return cls.parse(dockerfile.directives.get("check", ""), "the directive # check")

    @classmethod
    def parse(cls, text: str, where: str) -> Options:
        values: dict[str, str] = {}
        for part in text.strip().split(";", 2) if text.strip() else ():
            name, equals, value = part.partition("=")
            if not equals or name.strip() not in ("skip", "error", "experimental"):
                raise _refused(where, part)
            values[name.strip()] = value.strip()
        error = values.get("error", "false")
        if error not in _TRUTHS:
            raise _refused(where, f"error={error}")
        return cls(_names(values, "skip"), _names(values, "experimental"), _TRUTHS[error])

    def wants(self, rule: str) -> bool:
        if rule in EXPERIMENTAL:
            return self.experimental == (ALL,) or rule in self.experimental
        return self.skip != (ALL,) and rule not in self.skip

    def violated(self, findings: Iterable[Finding]) -> str:
        """The sentence that ends a build when findings are errors; empty when they are not."""
        if not self.error:
            return ""
        rules = ", ".join(dict.fromkeys(one.rule for one in findings))
        return f"lint violation found for rules: {rules}" if rules else ""


def _names(values: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in values.get(name, "").split(",") if one.strip())


def _refused(where: str, part: str) -> UsageError:
    return UsageError(
        f"{where} cannot have {part!r}",
        hint="there are skip=RULE,…|all, error=true and experimental=RULE,…|all, with ; between",
    )
