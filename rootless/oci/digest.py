"""Content digests, image-spec descriptor.md §digests."""

from __future__ import annotations

import sys

from rootless.errors import IntegrityError
from rootless.record import Record

if sys.version_info >= (3, 12):
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
else:
    from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = frozenset("0123456789abcdef")


class Digest(Record):
    """An algorithm we can check and its lower-case hex value; safe as a file name."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: object) -> Digest:
        """`sha256:<64 hex>` or `sha512:<128 hex>`; anything else is an IntegrityError."""
        algorithm, colon, value = text.partition(":") if isinstance(text, str) else ("", "", "")
        length = _LENGTHS.get(algorithm)
        if not colon or length is None or len(value) != length or not _HEX.issuperset(value):
            raise IntegrityError(f"{str(text)[:150]!r} is not a digest (sha256:<64 hex digits>)")
        return cls(algorithm, value)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of `content`; by sha256 the interpreter's own code makes it.

        hashlib's is faster, but loads OpenSSL: 3 to 8 ms, more than small blobs ever win back.
        """
        if algorithm == "sha256":
            return cls(algorithm, sha256(content).hexdigest())
        import hashlib

        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    @property
    def short(self) -> str:
        """The first 12 hex digits, as docker prints ids."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
