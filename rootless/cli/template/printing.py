"""Values as Go's fmt package prints them: Print, Println and Printf with its verbs and flags.

Pure. What is made is bounded, also where widths and lists multiply.
"""

from __future__ import annotations

from rootless.cli.template import literals
from rootless.cli.template.values import Byte, Duration, Missing, Nil, Struct, Time, is_nil
from rootless.cli.template.values import type_name as type_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 8 << 20
"""Characters that one text, or a whole output, may have."""
_LARGEST_NUMBER = 1_000_000  # Go's own bound for a width or precision
_DIGITS = frozenset("0123456789")
_BASES = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "x": "0x", "X": "0X"}
_LAST_RUNE = 0x10FFFF


class TooLongError(Exception):
    """A text would be longer than `MOST`."""


class Flags:
    """What stands between % and the verb; of %v, # and + are told apart."""

    def __init__(self) -> None:
        self.sharp = self.zero = self.plus = self.minus = self.space = False
        self.go_syntax = self.field_names = False
        self.width: int | None = None
        self.precision: int | None = None

    def set(self, char: str) -> bool:
        """Take a flag; False when it is none."""
        name = _FLAGS.get(char)
        if name:
            setattr(self, name, True)
        return bool(name)

    def for_verb(self, verb: str) -> None:
        """Of %v, # and + mean something else."""
        if verb == "v":
            self.go_syntax, self.sharp = self.sharp, False
            self.field_names, self.plus = self.plus, False


_FLAGS = {"#": "sharp", "0": "zero", "+": "plus", "-": "minus", " ": "space"}


def text_of(value: object) -> str:
    """As {{.}} prints it, and %v."""
    return value if type(value) is str else Printer().value(value, "v")


def sprint(values: Sequence[object]) -> str:
    """Go's Sprint: a space between two values that are no strings."""
    pieces: list[str] = []
    was_text = True
    for value in values:
        is_text = isinstance(value, str)
        if pieces and not is_text and not was_text:
            pieces.append(" ")
        pieces.append(text_of(value))
        was_text = is_text
    return joined(pieces, "")


def sprintln(values: Sequence[object]) -> str:
    """Go's Sprintln."""
    return joined([text_of(value) for value in values], " ") + "\n"


def joined(pieces: Sequence[str], between: str) -> str:
    """One text of several. TooLongError."""
    if sum(map(len, pieces)) + len(between) * len(pieces) > MOST:
        raise TooLongError
    return between.join(pieces)


class Printer:
    """One verb with its flags, for a value and what it holds."""

    def __init__(self, flags: Flags | None = None) -> None:
        self.flags = flags or Flags()
        self.left = MOST

    def value(self, value: object, verb: str, *, inside: bool = False) -> str:
        """`value` by `verb`; what is `inside` another one is a <nil> by any verb."""
        if value is None or isinstance(value, Missing):
            return self._nothing(verb, inside=inside)
        if verb == "T" and not inside:
            return self._string(type_of(value), "s")
        if isinstance(value, list | dict | Struct) and verb not in "p":
            return self._many(value, verb)
        made = self._one(value, verb)
        made = self._bad(value, verb) if made is None else made
        self._count(made)
        return made

    def _count(self, made: str) -> None:
        self.left -= len(made) + 1
        if self.left < 0:
            raise TooLongError

    def _nothing(self, verb: str, *, inside: bool) -> str:
        if inside:
            return "interface {}(nil)" if self.flags.go_syntax else "<nil>"
        return self._pad("<nil>") if verb in "Tv" else f"%!{verb}(<nil>)"

    def _bad(self, value: object, verb: str) -> str:
        shown = "0x0" if isinstance(value, Nil) else self._one(value, "v")
        if shown is None:
            shown = self.value(value, "v")
        return f"%!{verb}({type_of(value)}={shown})"

    def _one(self, value: object, verb: str) -> str | None:
        """None when the verb is not for such a value."""
        if isinstance(value, bool):
            return self._pad("true" if value else "false") if verb in "tv" else None
        if isinstance(value, Duration | Time) and verb in "vsxXq":
            return self._string(value.shown, verb)
        if isinstance(value, int):
            return self._integer(value, verb)
        if isinstance(value, float):
            return self._float(value, verb)
        if isinstance(value, str):
            return self._string(value, verb) if verb in "vsxXq" else None
        if isinstance(value, Nil):
            return self._pad("<nil>") if verb in "vs" else None
        return None

    def _many(self, value: list[object] | dict[str, object] | Struct, verb: str) -> str:
        flags = self.flags
        if flags.go_syntax and is_nil(value):
            return f"{type_of(value)}(nil)"
        if isinstance(value, list):
            inner = [self.value(item, verb, inside=True) for item in value]
            brackets = "[]"
        elif isinstance(value, dict):
            inner = [
                f"{self.value(key, verb, inside=True)}:{self.value(value[key], verb, inside=True)}"
                for key in sorted(value)
            ]
            brackets = "map[]"
        else:
            named = flags.go_syntax or flags.field_names
            inner = [
                (f"{name}:" if named else "") + self.value(value.get(name), verb, inside=True)
                for name in value.fields
            ]
            brackets = "{}"
        self._count(brackets)
        if flags.go_syntax:
            return f"{type_of(value)}{{{', '.join(inner)}}}"
        return f"{brackets[:-1]}{' '.join(inner)}{brackets[-1]}"

    def _pad(self, text: str, *, zeros: bool = True) -> str:
        flags = self.flags
        missing = (flags.width or 0) - len(text)
        if missing <= 0:
            return text
        if flags.minus:
            return text + " " * missing
        return ("0" if flags.zero and zeros else " ") * missing + text

    def _string(self, text: str, verb: str) -> str:
        flags = self.flags
        if verb in "xX":
            return self._hexadecimal(text, verb)
        text = text if flags.precision is None else text[: flags.precision]
        if verb != "q" and not (verb == "v" and flags.go_syntax):
            return self._pad(text)
        if flags.sharp and literals.can_backquote(text):
            return self._pad(f"`{text}`")
        return self._pad(literals.quote(text, ascii_only=flags.plus))

    def _hexadecimal(self, text: str, verb: str) -> str:
        flags = self.flags
        content = text.encode("utf-8", "surrogateescape")[: flags.precision]
        prefix = f"0{verb}" if flags.sharp and content else ""
        between = f" {prefix}" if flags.space else ""
        digits = between.join(f"{byte:02{verb}}" for byte in content)
        return self._pad(prefix + digits)

    def _integer(self, value: int, verb: str) -> str | None:
        if verb in "cqU":
            return self._rune(value, verb)
        if verb not in _BASES:
            return None
        flags = self.flags
        base = "x" if verb == "v" and flags.go_syntax and isinstance(value, Byte) else _BASES[verb]
        sharp = flags.sharp or base != _BASES[verb]
        sign = "-" if value < 0 else "+" if flags.plus else " " if flags.space else ""
        digits = format(abs(int(value)), base)
        if flags.precision is not None:
            if flags.precision == 0 and value == 0:
                return " " * (flags.width or 0)
            digits = digits.rjust(flags.precision, "0")
        elif flags.zero and not flags.minus and flags.width:
            digits = digits.rjust(flags.width - len(sign), "0")
        if sharp:
            octal = "0" if base == "o" and digits[0] != "0" else ""
            digits = _PREFIXES.get(base, octal) + digits
        if verb == "O":
            digits = f"0o{digits}"
        return self._pad(sign + digits, zeros=False)

    def _rune(self, value: int, verb: str) -> str:
        flags = self.flags
        code = value if 0 <= value <= _LAST_RUNE and not 0xD800 <= value < 0xE000 else 0xFFFD
        if verb == "c":
            return self._pad(chr(code))
        if verb == "q":
            return self._pad(literals.quote(chr(code), "'", ascii_only=flags.plus))
        shown = f"U+{value % (1 << 64):0{max(4, flags.precision or 0)}X}"
        if flags.sharp and code == value and chr(code).isprintable():
            shown += f" '{chr(code)}'"
        return self._pad(shown, zeros=False)

    def _float(self, value: float, verb: str) -> str | None:
        if verb not in "veEfFgG":
            return None
        flags = self.flags
        form = {"v": "g", "F": "f"}.get(verb, verb)
        precision = flags.precision
        if precision is None and form in "eEf":
            precision = 6
        if precision is not None or flags.sharp:
            alternate, precision = "#" if flags.sharp else "", 6 if precision is None else precision
            digits = f"{abs(value):{alternate}.{precision}{form}}"
        else:
            digits = _shortest(abs(value))
        digits = digits.upper() if form in "EG" else digits
        negative = str(value).startswith("-")
        sign = "-" if negative else "+" if flags.plus else " " if flags.space else ""
        if flags.zero and not flags.minus and flags.width:
            digits = digits.rjust(flags.width - len(sign), "0")
        return self._pad(sign + digits)


def _shortest(value: float) -> str:
    """The fewest digits that mean this number, as %g has them."""
    digits, _, exponent = f"{value!r}e0".partition("e")
    whole, _, part = digits.partition(".")
    significant = (whole + part).lstrip("0")
    power = int(exponent.partition("e")[0]) + len(whole) - 1
    power -= len(whole + part) - len(significant) if significant.strip("0") else 0
    significant = significant.rstrip("0") or "0"
    if value and not -4 <= power < 6:
        rest = f".{significant[1:]}" if significant[1:] else ""
        return f"{significant[0]}{rest}e{'-' if power < 0 else '+'}{abs(power):02}"
    return f"{value:.{max(0, len(significant) - power - 1)}f}"


def sprintf(form: str, values: Sequence[object]) -> str:
    """Go's Sprintf, also for what is wrong with a format: %!d(string=x), %!(EXTRA …)."""
    return _Format(form, values).make()


class _Format:
    def __init__(self, form: str, values: Sequence[object]) -> None:
        self.form = form
        self.values = values
        self.at = 0
        self.argument = 0
        self.reordered = False
        self.good = True
        self.after_index = False

    def make(self) -> str:
        pieces: list[str] = []
        size = 0
        while self.at < len(self.form):
            percent = self.form.find("%", self.at)
            end = len(self.form) if percent < 0 else percent
            pieces.append(self.form[self.at : end])
            self.at = end + 1
            if percent >= 0:
                pieces.append(self._verb())
            size += len(pieces[-1])
            if size > MOST:
                raise TooLongError
        if not self.reordered and self.argument < len(self.values):
            pieces.append(_extra(self.values[self.argument :]))
        return "".join(pieces)

    def _verb(self) -> str:
        """What the verb whose % is just before here makes."""
        flags, made = Flags(), ""
        self.good, self.after_index = True, False
        while flags.set(self._peek()):
            self.at += 1
        self._index()
        made += self._width(flags)
        if self._peek() == "." and self.at + 1 < len(self.form):
            self.at += 1
            made += self._precision(flags)
        if not self.after_index:
            self._index()
        verb = self._peek()
        self.at += 1
        if not verb:
            return made + "%!(NOVERB)"
        return made + self._apply(verb, flags)

    def _apply(self, verb: str, flags: Flags) -> str:
        if verb == "%":
            return "%"
        if not self.good:
            return f"%!{verb}(BADINDEX)"
        if self.argument >= len(self.values):
            return f"%!{verb}(MISSING)"
        flags.for_verb(verb)
        self.argument += 1
        return Printer(flags).value(self.values[self.argument - 1], verb)

    def _peek(self) -> str:
        return self.form[self.at : self.at + 1]

    def _width(self, flags: Flags) -> str:
        """Read it, as digits or * for an argument; a complaint, or nothing."""
        if self._peek() != "*":
            flags.width = self._number()
            if self.after_index and flags.width is not None:
                self.good = False
            return ""
        width = self._star()
        if width is not None and width < 0:
            flags.minus, flags.zero, width = True, False, -width
        flags.width = width
        return "%!(BADWIDTH)" if width is None else ""

    def _precision(self, flags: Flags) -> str:
        if self.after_index:
            self.good = False
        self._index()
        if self._peek() != "*":
            flags.precision = self._number() or 0
            return ""
        precision = self._star()
        flags.precision = None if precision is None or precision < 0 else precision
        return "%!(BADPREC)" if flags.precision is None else ""

    def _star(self) -> int | None:
        """The argument that is a width or precision."""
        self.at += 1
        self.after_index = False
        if self.argument >= len(self.values):
            return None
        value = self.values[self.argument]
        self.argument += 1
        if isinstance(value, bool) or not isinstance(value, int):
            return None
        return None if abs(value) > _LARGEST_NUMBER else value

    def _number(self) -> int | None:
        """Digits here; one that is too large ends the whole format, as in Go."""
        start = self.at
        number = 0
        while self._peek() in _DIGITS and self._peek():
            if number > _LARGEST_NUMBER:
                self.at = len(self.form)
                return None
            number = number * 10 + int(self._peek())
            self.at += 1
        return number if self.at > start else None

    def _index(self) -> None:
        """[n]: which argument is next."""
        if self._peek() != "[":
            self.after_index = False
            return
        self.reordered = True
        end = self.form.find("]", self.at)
        if end < 0 or len(self.form) - self.at < 3:
            self.at += 1
            self.good = self.after_index = False
            return
        digits = self.form[self.at + 1 : end]
        self.at = end + 1
        self.after_index = bool(digits) and _DIGITS.issuperset(digits) and len(digits) < 8
        if self.after_index and 1 <= int(digits) <= len(self.values):
            self.argument = int(digits) - 1
        else:
            self.good = False


def _extra(values: Sequence[object]) -> str:
    shown = ["<nil>" if value is None else f"{type_of(value)}={text_of(value)}" for value in values]
    return f"%!(EXTRA {', '.join(shown)})"
