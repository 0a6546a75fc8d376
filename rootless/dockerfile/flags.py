"""The `--name=value` flags of an instruction: which exist, how often, and what their values mean.

Pure. Values that may contain variables stay text.
"""

from __future__ import annotations

from rootless.dockerfile.errors import DockerfileError
from rootless.dockerfile.instructions import Mount
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.dockerfile.lexer import LogicalLine

MILLISECOND = 10**6
UNITS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": MILLISECOND,
    "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
MAX_COUNT = 2**31 - 1
MAX_DURATION = 2**63 - 1  # what an image config can hold


class Flags(Record):
    """The flags one line gives; None is the value of a flag without `=`."""

    given: tuple[tuple[str, str | None], ...]

    @classmethod
    def none(cls, line: LogicalLine) -> None:
        """Refuse any flag."""
        cls.of(line)

    @classmethod
    def of(cls, line: LogicalLine, *single: str, repeated: tuple[str, ...] = ()) -> Flags:
        given: list[tuple[str, str | None]] = []
        for flag in line.flags:
            name, equals, value = flag[2:].partition("=")
            if name not in single + repeated:
                raise _unknown(line.keyword, name, single + repeated)
            if name in single and name in dict(given):
                raise DockerfileError(f"{line.keyword} has --{name} twice", near=f"--{name}")
            given.append((name, value if equals else None))
        return cls(tuple(given))

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a flag that can be repeated."""
        values = []
        for key, value in self.given:
            if key == name and value is None:
                raise DockerfileError(f"--{name} needs a value", near=f"--{name}")
            if key == name and value:
                values.append(value)
        return tuple(values)

    def text(self, name: str) -> str:
        return "".join(self.texts(name))

    def truth(self, name: str) -> bool | None:
        """The value of a switch; None when it is not there."""
        for key, value in self.given:
            if key == name:
                return _truth(f"--{name}", value)
        return None

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of `allowed`, whose first is the default."""
        value = self.text(name) or allowed[0]
        if value not in allowed:
            from rootless import nearest

            problem = f"--{name} is one of {', '.join(allowed)}"
            raise DockerfileError(problem, near=value, hint=nearest.hint(value, allowed))
        return value

    def count(self, name: str) -> int:
        value = (self.text(name) or "0").removeprefix("+")
        is_number = value.isascii() and value.isdigit() and len(value) < 20
        if not is_number or int(value) > MAX_COUNT:
            raise DockerfileError(f"--{name} takes a number, not {value!r}", near=value)
        return int(value)

    def duration(self, name: str) -> int:
        """Nanoseconds of a time like `1m30s`; 0 when it is not there."""
        value = self.text(name) or "0"
        found = nanoseconds(value)
        if found is None or found > MAX_DURATION:
            raise DockerfileError(
                f"--{name} takes a time, not {value!r}", near=value, hint="like 30s, 1m30s or 500ms"
            )
        if 0 < found < MILLISECOND:
            raise DockerfileError(f"--{name} cannot be less than 1ms", near=value)
        return found

    def mounts(self, name: str) -> tuple[Mount, ...]:
        if (name, "") in self.given:
            raise DockerfileError(f"--{name} needs a value", near=f"--{name}")
        return tuple(map(_mount, self.texts(name)))


def _unknown(keyword: str, name: str, allowed: tuple[str, ...]) -> DockerfileError:
    from rootless import nearest

    hint = nearest.hint(name, allowed, prefix="--")
    return DockerfileError(f"{keyword} has no flag --{name}", near=f"--{name}", hint=hint)


def _truth(name: str, value: str | None) -> bool:
    if value is not None and value.lower() not in ("true", "false"):
        raise DockerfileError(f"{name} is true or false, not {value!r}", near=name)
    return value is None or value.lower() == "true"


def nanoseconds(text: str) -> int | None:
    """Nanoseconds of decimal numbers with units, as Go writes them; None for anything else."""
    text = text.removeprefix("+")
    total, position = 0, 0
    while position < len(text) and text != "0":
        start = position
        while position < len(text) and text[position] in "0123456789.":
            position += 1
        number = text[start:position]
        start = position
        while position < len(text) and text[position] not in "0123456789.":
            position += 1
        unit = UNITS.get(text[start:position])
        whole, _, fraction = number.partition(".")
        if not unit or not (whole + fraction).isdigit() or len(number) > 30:
            return None
        total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
    return total


def _mount(text: str) -> Mount:
    origin = ""
    for item in fields(text):
        key, equals, value = item.partition("=")
        if equals and key.lower() == "from":
            origin = value
    if _has_variable(origin):
        raise DockerfileError(
            "'from' doesn't support variable expansion",
            near=origin,
            hint=f"define an alias for it: FROM {origin} AS name",
        )
    return Mount(text, origin)


def fields(text: str) -> list[str]:
    """The fields of a line of comma-separated values, which quotes may protect."""
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except (csv.Error, StopIteration):
        raise DockerfileError("the quotes of --mount do not end", near=text) from None


def _has_variable(text: str) -> bool:
    dollar, _, rest = text.partition("$")
    return len(dollar) < len(text) and bool(rest)
