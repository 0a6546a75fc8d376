"""How BuildKit's history spells what Go prints: a health check, with its durations. Pure."""

from __future__ import annotations

from rootless.dockerfile.quoting import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.config import Healthcheck

_UNITS = ((1_000_000, "ms"), (1_000, "µs"), (1, "ns"))
_SECOND, _MINUTE, _HOUR = 10**9, 60 * 10**9, 3600 * 10**9
_ESCAPES = {**dict(zip(range(7, 14), "abtnvfr", strict=True)), 34: '"', 39: "'", 92: "\\"}


def healthcheck(check: Healthcheck) -> str:
    """As in `&{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" '\\x03'}`."""
    words = " ".join(quoted(word) for word in check.test)
    times = (check.interval, check.timeout, check.start_period, check.start_interval)
    shown = " ".join(f'"{duration(one)}"' for one in times)
    return f"&{{[{words}] {shown} '{_letter(check.retries)}'}}"


def duration(nanoseconds: int) -> str:
    """As Go writes it: 1h0m0s, 1m30s, 1.5s, 500ms, 0s."""
    if nanoseconds == 0 or nanoseconds >= _SECOND:
        hours, rest = divmod(nanoseconds, _HOUR)
        minutes, rest = divmod(rest, _MINUTE)
        before = f"{hours}h" if hours else ""
        before += f"{minutes}m" if minutes or hours else ""
        return f"{before}{_decimal(rest, _SECOND)}s"
    size, unit = next(one for one in _UNITS if nanoseconds >= one[0])
    return f"{_decimal(nanoseconds, size)}{unit}"


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = f"{rest:0{len(str(unit)) - 1}}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _escaped(letter: str) -> str:
    number = ord(letter)
    if number in _ESCAPES:
        return "\\" + _ESCAPES[number]
    if number < 32 or number == 127:
        return f"\\x{number:02x}"
    return letter if letter.isprintable() else f"\\u{number:04x}"


def _letter(number: int) -> str:
    """The letter of this number: retries are written as one."""
    if number == ord('"'):
        return '"'
    return _escaped(chr(number) if number <= 0x10FFFF else "\ufffd")
