"""What a text names that lies elsewhere: a git repository at some commit, or a file at a URL.

Pure. The forms are BuildKit's: `https://HOST/REPO.git#REF:FOLDER`, `git@HOST:REPO#…`, `ssh://`,
`git://`, and the same said as a query, `?ref=…&subdir=…&commit=…&keep-git-dir`. What could mean
something else to git or ssh than to whoever reads it is refused here, before any program runs.
"""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_GIT = ("http", "https", "ssh", "git")
_WEB = ("http://", "https://")
_HEX = frozenset("0123456789abcdef")
_SHORTEST = 7  # digits of a commit's name that --checksum takes
_NO_REF = frozenset("\\^~*?[ \t") | frozenset(map(chr, range(32))) | {"\x7f"}
_TRUTHS = {"": True, "1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
_SWITCHED = ("keep-git-dir", "submodules")
_KEYS = ("ref", "tag", "branch", "subdir", "commit", "checksum", *_SWITCHED)
_USER = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
UNNAMED = "__unnamed__"
"""What docker calls a file whose URL has no name."""


class GitSource(Record):
    """A repository, and what of it is wanted.

    `remote` is what git is told, `ref` a branch, a tag, a whole ref or a commit, "" for the
    default branch. `commit` is what it must be, as far as it is given. `keep_git_dir` is None
    where nothing was said.
    """

    remote: str
    ref: str = ""
    subdir: str = ""
    commit: str = ""
    keep_git_dir: bool | None = None
    submodules: bool = True

    @property
    def is_pinned(self) -> bool:
        """Whether `ref` is a commit's whole name, which means the same for ever."""
        return is_commit(self.ref)

    @property
    def is_ssh(self) -> bool:
        """Whether it is fetched over ssh."""
        scheme, mark, _ = self.remote.partition("://")
        return not mark or scheme.lower() == "ssh"

    @property
    def shown(self) -> str:
        """The remote without a login, which may be a token."""
        scheme, mark, rest = self.remote.partition("://")
        place, slash, path = rest.partition("/")
        if not mark or scheme.lower() not in ("http", "https"):
            return self.remote
        return f"{scheme}{mark}{place.rpartition('@')[2]}{slash}{path}"


def is_commit(text: str) -> bool:
    """Whether `text` is the whole name of a commit, by SHA-1 or SHA-256."""
    return len(text) in (40, 64) and _HEX.issuperset(text)


def is_url(text: str) -> bool:
    """Whether `text` names a file on the web; repositories are asked for first, by `git`."""
    return text.startswith(_WEB)


def file_name(url: str) -> str:
    """What a file is called that is copied from `url` into a folder."""
    from urllib.parse import unquote

    path = url.partition("://")[2].partition("?")[0].partition("#")[0].partition("/")[2]
    name = os.path.basename(os.path.normpath("/" + unquote(path)))
    return name.replace("\0", "") or UNNAMED


def git(text: str, *, short: bool = False) -> GitSource | None:
    """The repository that `text` names, None when it names none; UsageError when it is unsound.

    With `short`, `github.com/…` is one too: docker takes it for a context, and not in ADD.
    """
    if short and text.startswith("github.com/"):
        text = f"https://{text}"
        return _from_url(text, "https")
    scheme, mark, _ = text.partition("://")
    if mark and scheme.isalnum():
        if scheme.lower() not in _GIT:
            return None
        plain = text.partition("#")[0].partition("?")[0]
        if scheme.lower() in ("http", "https") and not plain.endswith(".git"):
            return None
        return _from_url(text, scheme.lower())
    return _from_ssh(text)


def _from_url(text: str, scheme: str) -> GitSource:
    from urllib.parse import parse_qsl, unquote

    plain, _, fragment = text.partition("#")
    remote, _, query = plain.partition("?")
    place = remote.partition("://")[2].partition("/")[0]
    host = place.rpartition("@")[2]
    if not host or any(part.startswith("-") for part in (place, host)) or _is_odd(remote):
        raise UsageError(f"{text[:200]!r} is not the URL of a git repository")
    if scheme == "ssh" and host.startswith(":"):
        raise UsageError(f"{text[:200]!r} has no host")
    source = _with_fragment(GitSource(remote), unquote(fragment))
    return _checked(_with_query(source, parse_qsl(query, keep_blank_values=True)))


def _from_ssh(text: str) -> GitSource | None:
    """`USER@HOST:PATH`, as scp has it."""
    plain, _, fragment = text.partition("#")
    login, colon, path = plain.partition(":")
    user, at, host = login.partition("@")
    if not (colon and at and user and host and path):
        return None
    if not (_USER.issuperset(user) and _USER.issuperset(host)):
        return None
    if "-" in (user[0], host[0], path[0]) or _is_odd(path):
        raise UsageError(f"{text[:200]!r} is not the place of a git repository")
    return _checked(_with_fragment(GitSource(plain), fragment))


def _is_odd(text: str) -> bool:
    return any(char <= " " or char == "\x7f" for char in text)


def _with_fragment(source: GitSource, fragment: str) -> GitSource:
    ref, _, subdir = fragment.partition(":")
    return source.replace(ref=ref, subdir=subdir)


def _with_query(source: GitSource, pairs: list[tuple[str, str]]) -> GitSource:
    query = dict(pairs)
    if len(query) != len(pairs):
        raise UsageError(f"the query of {source.shown} says one thing twice")
    for key, value in pairs:
        if key not in _KEYS:
            raise _unknown(key)
        if not value and key not in _SWITCHED:
            raise UsageError(f"{key} in the query of {source.shown} has no value")
    commit = query.get("commit") or query.get("checksum", "")
    tag, branch = _whole(query, "tag", "refs/tags/"), _whole(query, "branch", "refs/heads/")
    return source.replace(
        ref=_only("ref", source, source.ref, query.get("ref", ""), tag, branch) or commit,
        subdir=_only("subdir", source, source.subdir, query.get("subdir", "")),
        commit=commit,
        keep_git_dir=_switch(query, "keep-git-dir"),
        submodules=_switch(query, "submodules") is not False,
    )


def _whole(query: Mapping[str, str], key: str, prefix: str) -> str:
    """The ref that is a tag or a branch; a name like another kind's is still its own kind's."""
    return prefix + query[key].removeprefix(prefix) if key in query else ""


def _only(what: str, source: GitSource, *values: str) -> str:
    """The one value that was given, "" for none; UsageError where they differ."""
    given = sorted(set(values) - {""})
    if len(given) > 1:
        raise UsageError(f"{source.shown} has more than one {what}: {' and '.join(given)[:200]}")
    return given[0] if given else ""


def _unknown(key: str) -> UsageError:
    from rootless import nearest

    hint = nearest.hint(key, _KEYS) or f"it may say {', '.join(_KEYS)}"
    return UsageError(f"{key[:80]!r} is nothing that a git URL can ask for", hint=hint)


def _switch(query: Mapping[str, str], key: str) -> bool | None:
    """True or false, None where nothing is said."""
    if key not in query:
        return None
    value = query[key].lower()
    if value not in _TRUTHS:
        raise UsageError(f"{key} is true or false, not {value[:80]!r}")
    return _TRUTHS[value]


def _checked(source: GitSource) -> GitSource:
    """Git, told of a ref or a folder, must not take it for an option or for an expression."""
    ref = source.ref
    if ref and (ref[0] in "-/" or ".." in ref or "@{" in ref or ":" in ref or _NO_REF & set(ref)):
        raise UsageError(
            f"{ref[:200]!r} is not a git ref", hint="name a branch, a tag or a whole commit"
        )
    if "\0" in source.subdir:
        raise UsageError("a folder's name cannot have a zero byte")
    return source.replace(commit=commit(source.commit)) if source.commit else source


def commit(text: str) -> str:
    """The name of a commit, or its first digits, as --checksum has it."""
    if not (_SHORTEST <= len(text) <= 64 and _HEX.issuperset(text)):
        raise UsageError(
            f"{text[:80]!r} is not a commit", hint="write its whole name, as git rev-parse does"
        )
    return text


def agreed(source: GitSource, *, keep_git_dir: bool | None, checksum: str) -> GitSource:
    """`source` with what the flags of ADD say of it; UsageError where it says otherwise itself."""
    if keep_git_dir is not None:
        if source.keep_git_dir not in (None, keep_git_dir):
            raise UsageError(f"--keep-git-dir and {source.shown} do not agree")
        source = source.replace(keep_git_dir=keep_git_dir)
    if checksum:
        if source.commit not in ("", checksum):
            raise UsageError(f"--checksum and {source.shown} do not agree")
        source = source.replace(commit=commit(checksum))
    return source
