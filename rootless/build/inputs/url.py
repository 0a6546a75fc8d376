"""A file on the web, as ADD takes it: mode 0600, the time that its server says, its URL's name.

What it held is remembered with its ETag in `cache/urls/<name>.json`: as long as the server has that
ETag, nothing is fetched to know that nothing has changed. A checksum that the Dockerfile gives is
asked of nobody. Runs in the builder. A crash leaves a file in a staging; the record may be lost.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.dockerfile.remote import file_name
from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.record import Record
from rootless.store import replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol, Self

    from rootless.build.plan.sources import UrlSource
    from rootless.store import Store

    class Answer(Protocol):
        """An open download; it ends with `with`."""

        @property
        def headers(self) -> Mapping[str, str]: ...
        def read(self, count: int) -> bytes: ...
        def __enter__(self) -> Self: ...
        def __exit__(self, *_: object) -> None: ...

    class Web(Protocol):
        """How files on the web are reached; RootlessError where they are not."""

        def etag(self, url: str, known: str) -> str:
            """The ETag that the file has now, "" where that is not told."""

        def get(self, url: str) -> Answer:
            """The file, from its beginning."""


_CHUNK = 1 << 18
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Version(Record):
    """What a URL leads to: the `digest` of the bytes, and `modified`, seconds or 0."""

    digest: Digest
    modified: int = 0

    def key(self, source: UrlSource) -> str:
        """All of it that an image gets to see."""
        return f"url\0{file_name(source.url)}\0{self.digest}\0{self.modified}\0{source.unpacks}"


def known(store: Store, web: Web, source: UrlSource) -> Version | None:
    """What the URL leads to, as far as that is known without fetching it."""
    if source.checksum:
        return Version(source.checksum)
    remembered = _recall(_memory(store, source.url))
    etag = remembered.get("etag", "")
    if not etag or strong(web.etag(source.url, etag)) != strong(etag):
        return None
    try:
        return Version(Digest.parse(remembered["digest"]), int(remembered["modified"]))
    except (IntegrityError, KeyError, ValueError):
        return None


def fetch(store: Store, web: Web, source: UrlSource, folder: str) -> Version:
    """Put the file into the directory `folder`; IntegrityError if it is not what it must be."""
    from hashlib import new

    algorithm = source.checksum.algorithm if source.checksum else "sha256"
    hashed = new(algorithm)
    path = os.path.join(folder, file_name(source.url))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with web.get(source.url) as answer, open(fd, "wb") as file:
        while chunk := answer.read(_CHUNK):
            hashed.update(chunk)
            file.write(chunk)
        headers = answer.headers
    digest = Digest.parse(f"{algorithm}:{hashed.hexdigest()}")
    if source.checksum not in (None, digest):
        raise IntegrityError(
            f"{source.shown} has the checksum {digest}, not {source.checksum}",
            hint="correct --checksum, or find out who changed the file",
        )
    modified = seconds(headers.get("Last-Modified", ""))
    os.utime(path, (modified, modified))
    if algorithm == "sha256":
        _remember(store, source.url, headers.get("ETag", ""), Version(digest, modified))
    return Version(source.checksum) if source.checksum else Version(digest, modified)


def seconds(text: str) -> int:
    """The time that an HTTP date says (RFC 9110, 5.6.7), 0 for none."""
    from calendar import timegm

    words = text.replace(",", " ").replace("-", " ").split()
    try:
        day, month, year, clock = words[1], words[2], words[3], words[4]
        hour, minute, second = (int(one) for one in clock.split(":"))
        date = (int(year), _MONTHS.index(month) + 1, int(day), hour, minute, second)
        return max(timegm(date), 0)
    except (ValueError, IndexError, OverflowError):
        return 0


def strong(etag: str) -> str:
    """An ETag (RFC 9110, 8.8.3) to be compared, of whichever kind."""
    return etag.removeprefix("W/")


def _memory(store: Store, url: str) -> str:
    return store.path("cache", "urls", f"{Digest.of(os.fsencode(url)).hex[:32]}.json")


def _recall(path: str) -> dict[str, str]:
    """What was remembered; nothing when it cannot be read."""
    try:
        with open(path, "rb") as file:
            found = leanjson.loads(file.read(1 << 16))
    except (OSError, IntegrityError):
        return {}
    is_text = isinstance(found, dict) and all(isinstance(one, str) for one in found.values())
    return found if is_text else {}


def _remember(store: Store, url: str, etag: str, version: Version) -> None:
    if not etag or len(etag) > 1024:
        return
    path = _memory(store, url)
    content = {"etag": etag, "digest": str(version.digest), "modified": str(version.modified)}
    with store.writing():
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        replace_file(store, path, leanjson.dumps(content), durable=False)
