"""What contexts and ADDs have fetched from elsewhere, kept so that it need not come again.

    cache/sources/<name>/data/        a commit of a git repository (tree/), a file of the web (file)
    cache/sources/<name>/source.json  {"what", "created"}, and the "etag" of a file

A commit is what it is for ever: who has it asks its server for the name of a branch only. A file is
taken from here as long as its server tells the ETag that it came with; without an ETag none is
kept. What nobody has used for a week goes when something is added. Runs in the builder, and before
it, as the user; see `store.keeping` for locks and crashes.
"""

from __future__ import annotations

import os
from time import time

from rootless import leanjson
from rootless.build.inputs import git as gits
from rootless.build.inputs.url import strong
from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.store import keeping, staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.inputs.git import Git
    from rootless.build.inputs.url import Web
    from rootless.dockerfile.remote import GitSource
    from rootless.store import Store
    from rootless.store.keeping import Held

_RECORD = "source.json"
_FOLDER = "cache/sources"
_FILE = "file"
_UNUSED = 7 * 86_400  # seconds after which what was fetched goes
_MOST_OF_A_RECORD = 1 << 16
_LONGEST_ETAG = 1 << 10
_PIECE = 1 << 18


def commit(store: Store, program: Git, source: GitSource, name: str) -> tuple[Held, str]:
    """The files of the commit `name` of a repository, held, and the path of the folder asked for.

    NotFoundError when it has no such folder.
    """
    keeps = gits.keeps_repository(source)
    path = _path(store, "git", source.shown, name, keeps, source.submodules)

    def fill(data: str) -> bytes:
        program.check_out(source, name, data)
        return _record(f"git repository {source.shown}#{name}")

    held = keeping.look(path, _RECORD) or _make(store, path, fill)
    try:
        return held, gits.inside(os.path.join(held.path, "tree"), source)
    except BaseException:
        held.release()
        raise


def file(store: Store, web: Web, url: str) -> Held | None:
    """The directory with a file of the web, if it is here and its server says that it is the same
    still: see `open_file`.
    """
    path = _path(store, "url", url)
    etag = _etag(path)
    if not etag or strong(web.etag(url, etag)) != strong(etag):
        return None
    held = keeping.look(path, _RECORD)
    if held and _etag(path) != etag:  # another build has fetched another
        held.release()
        return None
    return held


def is_worth_keeping(etag: str) -> bool:
    """Whether a server that tells this ETag can be asked whether a file is the same still."""
    return 0 < len(etag) <= _LONGEST_ETAG


def keep_file(store: Store, url: str, etag: str, read: Callable[[int], bytes]) -> Held:
    """Keep all that there is to `read`, in the place of what came from the URL before."""
    path = _path(store, "url", url)

    def fill(data: str) -> bytes:
        with open(os.path.join(data, _FILE), "wb") as file:
            while piece := read(_PIECE):
                file.write(piece)
        if grave := staging.bury(store, path):  # who uses it has it until the end
            staging.delete(grave)
        return _record(f"http url {url.partition('?')[0]}", etag)

    return _make(store, path, fill)


def open_file(held: Held) -> int:
    """A descriptor of a file of the web that is held."""
    return held.open(_FILE)


def _make(store: Store, path: str, fill: Callable[[str], bytes]) -> Held:
    """Make what is at `path`, or take what another build makes meanwhile."""
    held = None
    while held is None:
        keeping.make(store, path, fill, _RECORD)
        _forget_unused(store)
        held = keeping.look(path, _RECORD)
    return held


def _path(store: Store, *what: object) -> str:
    return store.path(_FOLDER, Digest.of(leanjson.dumps([1, *what])).hex[:32])


def _record(what: str, etag: str = "") -> bytes:
    return leanjson.dumps({"what": what, "etag": etag, "created": time()})


def _etag(path: str) -> str:
    """That of what is kept at `path`; "" where there is none."""
    try:
        with open(os.path.join(path, _RECORD), "rb") as file:
            found = leanjson.loads(file.read(_MOST_OF_A_RECORD))
    except (OSError, IntegrityError):
        return ""
    return str(found.get("etag", "")) if isinstance(found, dict) else ""


def _forget_unused(store: Store) -> None:
    """Take away what is of no use any more; who uses it all the same has it until the end."""
    oldest = time() - _UNUSED
    folder = store.path(_FOLDER)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        try:
            is_old = os.stat(os.path.join(path, _RECORD)).st_mtime < oldest
        except OSError:
            is_old = True
        if is_old and (grave := staging.bury(store, path)):
            staging.delete(grave)
