"""Image references: `[registry/]repository[:tag][@digest]` with Docker Hub's defaults.

Grammar: distribution's reference package. A first component with a dot, a colon or the name
`localhost` is a registry; `busybox` means docker.io/library/busybox:latest.
"""

from __future__ import annotations

from rootless.errors import IntegrityError, UsageError
from rootless.oci.digest import Digest
from rootless.record import Record

DOCKER_HUB = "docker.io"
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_WORD = _LOWER | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_LABEL = (_WORD | {"-"}) - {"_"}
_IPV6 = frozenset("0123456789abcdefABCDEF:")
HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class Reference(Record):
    """A full name: `repository` has `library/` filled in, and there is a tag or a digest."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse what a person types; UsageError names what is wrong with it."""
        rest, at, digest_text = text.partition("@")
        digest = _digest(text, digest_text) if at else None
        registry, path = split_registry(rest)
        repository, colon, tag = path.partition(":")
        if colon and not is_tag(tag):
            raise _bad(text, f"{tag!r} is not a tag: at most 128 letters, digits, '_', '.' or '-'")
        _check_repository(text, repository)
        if not _is_host(registry):
            raise _bad(text, f"{registry!r} is not a registry's host name")
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        if len(repository) > 255:
            raise _bad(text, "the name is longer than 255 characters")
        return cls(registry, repository, tag or (None if digest else "latest"), digest)

    @property
    def familiar_name(self) -> str:
        """The repository as docker prints it: without docker.io and library/."""
        if self.registry != DOCKER_HUB:
            return f"{self.registry}/{self.repository}"
        return self.repository.removeprefix("library/")

    @property
    def familiar(self) -> str:
        """As docker prints a whole reference."""
        return self.familiar_name + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{self._suffix}"


def parse_registry(text: str) -> str:
    """The registry that a person names, perhaps by a URL; UsageError if it cannot be one."""
    bare = text.partition("://")[2] if text.startswith(("http://", "https://")) else text
    host = bare.partition("/")[0]
    if not _is_host(host):
        raise UsageError(
            f"{text[:200]!r} is not a registry's host name", hint="write HOST or HOST:PORT"
        )
    return DOCKER_HUB if host in HUB_HOSTS else host


def is_tag(tag: str) -> bool:
    """Whether the text can be a tag."""
    return 0 < len(tag) <= 128 and tag[0] in _WORD and _WORD.union(".-").issuperset(tag)


def split_registry(name: str) -> tuple[str, str]:
    """Registry and the rest of a name; the Hub's other hosts become docker.io."""
    first, slash, rest = name.partition("/")
    is_registry = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_registry:
        return DOCKER_HUB, name
    return (DOCKER_HUB if first in HUB_HOSTS else first), rest


def _digest(text: str, digest_text: str) -> Digest:
    try:
        return Digest.parse(digest_text)
    except IntegrityError as error:
        raise _bad(text, error.message) from None


def _is_host(host: str) -> bool:
    """A DNS name, an IPv4 address or an [IPv6 address], and perhaps a port."""
    if host.startswith("["):
        address, bracket, rest = host[1:].partition("]")
        extra, colon, port = rest.partition(":")
        named = bool(address and bracket and not extra) and _IPV6.issuperset(address)
    else:
        name, colon, port = host.partition(":")
        named = all(_is_label(label) for label in name.split("."))
    return named and (port.isascii() and port.isdecimal() if colon else not port)


def _is_label(label: str) -> bool:
    return label != "" and _LABEL.issuperset(label) and "-" not in (label[0], label[-1])


def _check_repository(text: str, repository: str) -> None:
    if not repository:
        raise _bad(text, "there is no name")
    for component in repository.split("/"):
        if component != component.lower():
            raise _bad(text, "the name must be in lower case")
        if not _is_component(component):
            raise _bad(text, f"{component!r} is not a name: a-z and 0-9, joined by '.', '_' or '-'")


def _is_component(component: str) -> bool:
    """Runs of letters and digits, between them one '.', one or two '_', or any number of '-'."""
    words = component.replace("__", ".").replace("_", ".")
    if not _LOWER.union(".-").issuperset(words) or words[:1] in ".-" or words[-1] in ".-":
        return False
    return not any(pair in words for pair in ("..", "-.", ".-"))


def _bad(text: str, why: str) -> UsageError:
    hint = "write NAME[:TAG], REGISTRY/NAME[:TAG] or NAME@sha256:…"
    if text.startswith(("http://", "https://")):
        hint = "a name is no URL: leave out what stands before the registry"
    return UsageError(f"{text[:200]!r} is not an image reference: {why}", hint=hint)
