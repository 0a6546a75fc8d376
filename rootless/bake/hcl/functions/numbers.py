"""Functions of numbers and of true and false. Pure."""

from __future__ import annotations

import math

from rootless.bake.errors import BakeError
from rootless.bake.hcl import nodes, values
from rootless.bake.hcl.functions.signature import Function

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.bake.hcl.values import Number


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > 300 or abs(base) > 1e100:
        raise BakeError("the number grows too large")
    try:
        found = base**exponent
        return found if isinstance(found, int) else values.of_float(float(found))
    except (ArithmeticError, ValueError) as error:
        raise BakeError(f"there is no such power: {error}") from None


def _logarithm(number: Number, base: Number) -> Number:
    try:
        return values.of_float(round(math.log(number) / math.log(base), 12))
    except (ValueError, ZeroDivisionError):
        raise BakeError(f"there is no logarithm of {number} to the base {base}") from None


def _spelled(text: str, base: Number) -> int:
    digits = text.removeprefix("-")
    if base not in range(2, 63) or not digits.isalnum() or len(digits) > 300:
        raise BakeError(f"{text[:60]!r} is no number to the base {values.text(base)}")
    found = 0
    for letter in digits:
        value = _digit(letter, int(base))
        if value >= base:
            raise BakeError(f"{text[:60]!r} is no number to the base {values.text(base)}")
        found = found * int(base) + value
    return -found if text[:1] == "-" else found


def _digit(letter: str, base: int) -> int:
    if letter.isdecimal():
        return int(letter)
    if "a" <= letter <= "z":
        return ord(letter) - ord("a") + 10
    if "A" <= letter <= "Z":
        return ord(letter) - ord("A") + (10 if base <= 36 else 36)
    return base


FUNCTIONS = {
    "absolute": Function("n", abs),
    "add": Function("nn", lambda a, b: values.whole(a + b)),
    "and": Function("bb", lambda a, b: a and b),
    "ceil": Function("n", math.ceil),
    "divide": Function("nn", nodes.divided),
    "equal": Function("aa", values.equal),
    "floor": Function("n", math.floor),
    "greaterthan": Function("nn", lambda a, b: a > b),
    "greaterthanorequalto": Function("nn", lambda a, b: a >= b),
    "int": Function("n", math.trunc),
    "lessthan": Function("nn", lambda a, b: a < b),
    "lessthanorequalto": Function("nn", lambda a, b: a <= b),
    "log": Function("nn", _logarithm),
    "max": Function("n+", lambda *a: max(a)),
    "min": Function("n+", lambda *a: min(a)),
    "modulo": Function("nn", nodes.modulo),
    "multiply": Function("nn", lambda a, b: values.whole(a * b)),
    "negate": Function("n", lambda a: -a),
    "not": Function("b", lambda a: not a),
    "notequal": Function("aa", lambda a, b: not values.equal(a, b)),
    "or": Function("bb", lambda a, b: a or b),
    "parseint": Function("sn", _spelled),
    "pow": Function("nn", _power),
    "signum": Function("n", lambda a: (a > 0) - (a < 0)),
    "subtract": Function("nn", lambda a, b: values.whole(a - b)),
}
