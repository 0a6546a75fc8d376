"""JSON by CPython's C scanner and encoder, without importing `json`.

`import json` costs 5 ms (it compiles regular expressions); the scanner and the encoder behind it
are a C module that needs none of them.
"""

from __future__ import annotations

from rootless.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_BYTES = 4 << 20  # what registries and runtimes accept for a manifest


class _Strict:
    """The decoder settings that the C scanner reads from its context object."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_float(text: str) -> float:
        """A number that can be written again."""
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError(f"{text[:40]} is too large a number")
        return value

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")


def _scan(text: str) -> tuple[Any, int]:
    from _json import make_scanner

    context: Any = _Strict
    try:
        scanned: tuple[Any, int] = make_scanner(context)(text, 0)
    except SystemError:  # the scanner's own error class is in json.decoder, which it expects loaded
        import json.decoder  # noqa: F401

        scanned = make_scanner(context)(text, 0)
    return scanned


def loads(content: str | bytes, what: str = "JSON") -> Any:
    """The value in `content`; IntegrityError naming `what` when it is not one JSON value."""
    try:
        text = content.decode() if isinstance(content, bytes) else content
        text = text.removeprefix("\ufeff").strip(" \t\r\n")
        value, end = _scan(text)
    except StopIteration:
        raise IntegrityError(f"{what} is damaged: it is empty or cut short") from None
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is damaged: {error}") from None
    if end != len(text):
        raise IntegrityError(f"{what} is damaged: text after its end at character {end}")
    return value


def string(text: str, start: int) -> tuple[str, int]:
    """The string that begins behind the quotation mark before `start`, and where it has ended;
    ValueError when it is none.
    """
    from _json import scanstring

    strict = True
    try:
        return scanstring(text, start, strict)
    except SystemError:  # as in `_scan`
        import json.decoder  # noqa: F401

        return scanstring(text, start, strict)


def beginning(text: str) -> Any:
    """The value that `text` begins with, whatever follows; IntegrityError when there is none."""
    try:
        return _scan(text)[0]
    except (StopIteration, ValueError, RecursionError):
        raise IntegrityError("there is no JSON value") from None


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON; dictionaries keep their order. IntegrityError where it is too deep."""
    from _json import encode_basestring_ascii, make_encoder

    no, plain = False, encode_basestring_ascii
    encode = make_encoder(None, _refuse, plain, None, ":", ",", no, no, no)
    try:
        return "".join(encode(value, 0)).encode()
    except RecursionError:
        raise IntegrityError("JSON is nested too deep to be written") from None


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
