"""What can go wrong between us and a registry, in sentences. No secret ever gets in here."""

from __future__ import annotations

from rootless import leanjson
from rootless.errors import IntegrityError, RootlessError
from rootless.registry.limits import Limit, span

LOGIN_HINT = "if it is private, log in before: rootless login {registry}"


class RegistryError(RootlessError):
    """A registry's answer, or its absence.

    `status` is the HTTP status (0 when nothing was answered), `code` the registry's own error
    code, `url` where it happened, without query and user. `temporary` means that trying again
    may help, at the earliest after `retry_after` seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        status: int = 0,
        code: str = "",
        url: str = "",
        temporary: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.url = url
        self.temporary = temporary
        self.retry_after = retry_after


def bad_login(registry: str, error: RegistryError) -> RegistryError:
    """What `error`, an answer to showing a login, means for who typed it."""
    if error.status in (401, 403):
        return RegistryError(
            f"{registry} does not accept this user name and password",
            hint="check them; with two-factor authentication an access token takes the password's"
            " place",
            status=error.status,
        )
    if error.status == 404:
        return RegistryError(
            f"{registry} does not answer as a registry does", hint="check the name and the port"
        )
    return error


def web_page(who: str, what: str, status: int = 200) -> RegistryError:
    """The error for a web page, which is for people, where `who` should have sent `what`."""
    return RegistryError(
        f"{who} answered with a web page when asked for {what}",
        hint="check the name and the port: is this a registry? A proxy, or the login page of the"
        " network you are in, may also stand in between: open it in a browser",
        status=status,
    )


def refused(
    what: str,
    registry: str,
    status: int,
    body: bytes,
    *,
    login: bool,
    page: bool = False,
    limit: Limit = Limit(),  # noqa: B008 - a frozen value
) -> RegistryError:
    """The error for an answer `status` with `body` to asking `registry` for `what`.

    `page`: the answer is a web page. No registry forbids or misses anything by one. `limit` is
    what its headers say.
    """
    if page and status in (403, 404, 405, 406, 410, 511):
        return web_page(registry, what, status)
    code, said = _diagnosis(body)
    if status == 429:
        message, hint = _too_many(what, registry, limit, login=login)
    else:
        message, hint = _sentence(what, registry, status, code, login=login)
    if said:
        message = f"{message} ({said})"
    return RegistryError(
        message,
        hint=hint,
        status=status,
        code=code,
        temporary=status in (408, 429) or status >= 500,
        retry_after=limit.wait,
    )


def _sentence(
    what: str, registry: str, status: int, code: str, *, login: bool
) -> tuple[str, str | None]:
    if status in (401, 403) and login:
        return (
            f"{registry} does not let this login have {what}",
            f"log in as somebody who may: rootless login {registry}",
        )
    if status in (401, 403) or (status == 404 and code == "NAME_UNKNOWN"):
        hint = f"check the name; {LOGIN_HINT.format(registry=registry)}"
        return f"{what} was not found on {registry}, or is private", hint
    if status == 404:
        return f"{registry} has no {what}", "check the name and the tag"
    if status >= 500:
        return f"{registry} failed with status {status} when asked for {what}", "try again later"
    return f"{registry} answered with status {status} when asked for {what}", None


def _too_many(what: str, registry: str, limit: Limit, *, login: bool) -> tuple[str, str | None]:
    """Too many requests, RFC 6585 §4: how many are allowed, and the ways out."""
    quota = f" ({limit.quota})" if limit.quota else ""
    message = f"{registry} limits how often images may be pulled{quota}, and {what} was too much"
    ways = [f"wait {span(limit.wait)}" if limit.wait else "wait a while"]
    if not login:
        ways.append(f"log in, which usually allows more: rootless login {registry}")
    ways.append("name a mirror of it in registries.conf")
    return message, "; or ".join(ways)


def _diagnosis(body: bytes) -> tuple[str, str]:
    """The registry's own error code and words, distribution-spec §error-codes, made printable."""
    try:
        first = leanjson.loads(body)["errors"][0]
        code, said = str(first.get("code", "")), str(first.get("message", ""))
    except (IntegrityError, LookupError, TypeError, AttributeError):
        return "", ""
    return printable(code, 60), printable(said, 200)


def printable(text: str, limit: int) -> str:
    """Somebody else's words, safe to show on a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text[:limit])
