"""Functions that write values in another form: JSON, CSV, base64, URLs, hashes, UUIDs. Pure."""

from __future__ import annotations

from rootless import leanjson
from rootless.bake.errors import BakeError
from rootless.bake.hcl import values
from rootless.bake.hcl.functions.signature import Function
from rootless.errors import IntegrityError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.bake.hcl.values import Value


def _base64_decoded(text: str) -> str:
    import base64

    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        raise BakeError(f"{text[:60]!r} is no base64 of a text") from None


def _base64_encoded(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def _csv_decoded(text: str) -> list[Value]:
    import csv
    import io

    rows = list(csv.reader(io.StringIO(text)))
    if not rows:
        raise BakeError("a line of headings is missing")
    if any(len(row) != len(rows[0]) for row in rows if row):
        raise BakeError("the lines are not of one length")
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:] if row]


def _json_decoded(text: str) -> Value:
    try:
        return leanjson.loads(text, "the string")
    except IntegrityError as error:
        raise BakeError(error.message) from None


def json_encoded(value: Value, *, html: bool = True) -> str:
    """As Go writes JSON: keys sorted; with `html`, <, > and & as escapes; other letters plain."""
    if isinstance(value, dict):
        pairs = [(go_string(key, html=html), value[key]) for key in sorted(value)]
        return "{" + ",".join(f"{key}:{json_encoded(one, html=html)}" for key, one in pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(json_encoded(one, html=html) for one in value) + "]"
    if isinstance(value, str):
        return go_string(value, html=html)
    if value is None or isinstance(value, bool):
        return leanjson.dumps(value).decode()
    return values.text(value)


def go_string(text: str, *, html: bool = True) -> str:
    """A JSON string as Go's encoder writes it."""
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b"}
    short["\f"] = "\\f"
    found = [
        short.get(letter) or (f"\\u{ord(letter):04x}" if _is_escaped(letter, html) else letter)
        for letter in text
    ]
    return '"' + "".join(found) + '"'


def _is_escaped(letter: str, html: bool) -> bool:  # noqa: FBT001
    return letter < " " or letter in "\u2028\u2029" or (html and letter in "<>&")


def _url_encoded(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text, safe="")


def _hashed(name: str) -> Callable[[str], str]:
    def digest(text: str) -> str:
        import hashlib

        return hashlib.new(name, text.encode()).hexdigest()

    return digest


def _uuid4() -> str:
    import uuid

    return str(uuid.uuid4())


def _uuid5(space: str, name: str) -> str:
    import uuid

    known = {
        "dns": uuid.NAMESPACE_DNS,
        "url": uuid.NAMESPACE_URL,
        "oid": uuid.NAMESPACE_OID,
        "x500": uuid.NAMESPACE_X500,
    }
    try:
        return str(uuid.uuid5(known.get(space) or uuid.UUID(space), name))
    except ValueError:
        raise BakeError(f"{space!r} is no name space: dns, url, oid, x500 or a UUID") from None


FUNCTIONS = {
    "base64decode": Function("s", _base64_decoded),
    "base64encode": Function("s", _base64_encoded),
    "csvdecode": Function("s", _csv_decoded),
    "jsondecode": Function("s", _json_decoded),
    "jsonencode": Function("a", json_encoded),
    "md5": Function("s", _hashed("md5")),
    "sha1": Function("s", _hashed("sha1")),
    "sha256": Function("s", _hashed("sha256")),
    "sha512": Function("s", _hashed("sha512")),
    "urlencode": Function("s", _url_encoded),
    "uuidv4": Function("", _uuid4),
    "uuidv5": Function("ss", _uuid5),
}
