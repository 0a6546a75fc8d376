"""A web site on loopback: files with ETags and times, redirects, and git repositories."""

from __future__ import annotations

import hashlib
import io
import tarfile
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from tests.support.hostile_registry import Answer, HostileRegistry, Request
from tests.support.repositories import Repositories

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HELLO = b"hello\n"
SUM = hashlib.sha256(HELLO).hexdigest()
MODIFIED = 1_600_000_000


def packed(files: Mapping[str, bytes], mode: Any = "w:gz", uid: int = 0) -> bytes:
    """A tar of files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid = len(content), 0o640, uid
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


TAR = packed({"a": b"a", "d/b": b"b"})


class Website(HostileRegistry):
    """`files` are answers by path; `repositories` are below /git/."""

    def __init__(self, folder: Path) -> None:
        self.repositories = Repositories(folder)
        dated = {"Last-Modified": formatdate(MODIFIED, usegmt=True)}
        self.files = {
            "/f.txt": Answer(200, HELLO, {"ETag": '"v1"', **dated}),
            "/n.txt": Answer(200, b"no headers\n"),
            "/dir/": Answer(200, b"index\n"),
            "/t.tar.gz": Answer(200, TAR),
            "/r/thing.bin": Answer(302, b"", {"Location": "/f.txt"}),
            "/cd": Answer(200, b"cd\n", {"Content-Disposition": "attachment; filename=other"}),
        }
        super().__init__(self.answer)
        self.url = f"http://{self.address}"

    def answer(self, request: Request) -> Answer:
        path = request.path.partition("?")[0]
        if path.startswith("/git/"):
            return self.repositories.respond(request)
        found = self.files.get(path, Answer(404))
        etag = found.headers.get("ETag")
        if etag and etag == request.headers.get("If-None-Match"):
            return Answer(304, b"", {"ETag": etag})
        return found._replace(body=b"") if request.method == "HEAD" else found

    def asked(self) -> list[str]:
        """What was asked since the last time, as "GET /path"."""
        found = [f"{one.method} {one.path}" for one in self.requests]
        self.requests.clear()
        return found
