"""JSON by CPython's C scanner and encoder, without importing `json`.

`import json` costs 5 ms (it compiles regular expressions); the scanner and the encoder behind it
are a C module that needs none of them. Where that module is missing, `json` serves.
"""

from __future__ import annotations

from rootless.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:  # pragma: no cover - another Python implementation
    make_scanner = None

MAX_BYTES = 4 << 20  # what registries and runtimes accept for a manifest


class _Strict:
    """The decoder settings that the C scanner reads from its context object."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012 - the scanner's own scratch, cleared by it

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")


def loads(text: str | bytes, what: str = "JSON") -> Any:
    """The value in `text`; IntegrityError naming `what` when it is not one JSON value."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        text = text.strip(" \t\r\n")
        value, end = _scan(text)
    except (ValueError, StopIteration, RecursionError) as error:
        raise IntegrityError(f"{what} is damaged: {error or 'it is empty or cut short'}") from None
    if end != len(text):
        raise IntegrityError(f"{what} is damaged: text after its end at character {end}")
    return value


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON; dictionaries keep their order. For one line that only we read."""
    if make_scanner is None:  # pragma: no cover
        import json

        return json.dumps(value, separators=(",", ":")).encode()
    encode = make_encoder(
        None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False
    )
    return "".join(encode(value, 0)).encode()


def _scan(text: str) -> tuple[Any, int]:
    if make_scanner is None:  # pragma: no cover
        import json

        return json.JSONDecoder().raw_decode(text)
    scanned: tuple[Any, int] = make_scanner(_Strict)(text, 0)
    return scanned


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
