"""Logins that docker and podman keep, and those we keep for them: who has one for what.

A login is looked up for one registry and repository and belongs to it alone; what a credential
helper says or how it fails never concerns another registry. Everything here reads files and starts
helpers: call it before entering a user namespace (see `credentials`).
"""

from __future__ import annotations

import binascii

from rootless.oci.reference import DOCKER_HUB, HUB_HOSTS
from rootless.registry import authfile
from rootless.registry.credentials import Credentials, Helper
from rootless.registry.errors import RegistryError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

INLINE = "DOCKER_AUTH_CONFIG"  # the variable that may have the text of such a file
HUB_KEY = "https://index.docker.io/v1/"


def find(
    paths: Iterable[str], registry: str, repository: str = "", *, inline: str = ""
) -> Credentials | None:
    """The login for a repository from the first of the files at `paths` that has one.

    Missing files are skipped. What is `inline`, the text of such a file, goes before them all; it
    names no helpers. RegistryError names a file that is damaged or a helper, kept for this very
    registry, that fails.
    """
    if inline:
        config = authfile.decode(inline, INLINE)
        entry = _entry(INLINE, config, registry, repository)
        if login := _decode(INLINE, registry, entry):
            return login
    for path in paths:
        login = _find_in(path, authfile.load(path), registry, repository)
        if login:
            return login
    return None


def keep(path: str, registry: str, login: Credentials) -> bool:
    """Write the login into the file at `path`, or let the helper that it names have it.

    Whether the file has a password now, unencrypted, that it had not before.
    """
    with authfile.changing(path) as config:
        auths = config["auths"] = _map(path, config, "auths")
        entry: dict[str, str] = {}
        helper = _helper(path, config, registry)
        if helper:
            helper.store(key(registry), login)
        else:
            pair = f"{login.username}:{'' if login.identity_token else login.password}"
            entry["auth"] = binascii.b2a_base64(pair.encode(), newline=False).decode()
            if login.identity_token:
                entry["identitytoken"] = login.identity_token
        before = auths.get(key(registry))
        for one in _spellings(auths, registry):
            if one != key(registry):
                del auths[one]
        auths[key(registry)] = entry
        return helper is None and not login.identity_token and entry != before


def forget(path: str, registry: str) -> None:
    """Take the login for `registry` out of the file at `path`, and from the helper it names."""
    config = authfile.load(path)
    if helper := _helper(path, config, registry):
        for server in dict.fromkeys((key(registry), registry)):
            helper.erase(server)
    if not _spellings(_map(path, config, "auths"), registry):
        return
    with authfile.changing(path) as config:
        auths = _map(path, config, "auths")
        for one in _spellings(auths, registry):
            del auths[one]


def key(registry: str) -> str:
    """What docker calls a registry in its file, and to helpers."""
    return HUB_KEY if registry == DOCKER_HUB else registry


def _find_in(
    path: str, config: dict[str, Any], registry: str, repository: str
) -> Credentials | None:
    helpers = _helpers(path, config)
    if registry in helpers:
        return Helper(path, helpers[registry]).get(key(registry))
    entry = _entry(path, config, registry, repository)
    login = _decode(path, registry, entry)
    if login is None and (store := config.get("credsStore")):
        try:
            login = Helper(path, store).get(key(registry))
        except RegistryError:
            if entry is not None:  # docker notes here that it has given the helper a login
                raise
    return login


def _entry(path: str, config: dict[str, Any], registry: str, repository: str) -> object:
    known = {_place(one): entry for one, entry in _map(path, config, "auths").items()}
    return _longest(known, f"{registry}/{repository}".rstrip("/"))


def _helper(path: str, config: dict[str, Any], registry: str) -> Helper | None:
    """The helper that keeps logins for `registry`."""
    helpers = _helpers(path, config)
    name = helpers.get(registry) or config.get("credsStore")
    return Helper(path, name) if name else None


def _helpers(path: str, config: dict[str, Any]) -> dict[str, object]:
    """The names of the helpers that keep logins of single registries."""
    return {_host(one): name for one, name in _map(path, config, "credHelpers").items()}


def _longest(known: dict[str, Any], name: str) -> object:
    """The entry for `name` or the nearest namespace above it, up to the registry."""
    while name:
        if name in known:
            return known[name]
        name = name.rpartition("/")[0]
    return None


def _decode(path: str, registry: str, entry: object) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    token = entry.get("identitytoken")
    token = token if isinstance(token, str) else ""
    encoded = entry.get("auth")
    if not encoded and not token:
        return None
    try:
        user, colon, password = (
            binascii.a2b_base64(encoded or "", strict_mode=True).decode().partition(":")
        )
    except (binascii.Error, ValueError, TypeError):
        user, colon, password = "", "", ""
    if not colon and not token:
        raise RegistryError(
            f"the login for {registry} in {path} is damaged", hint=f"log in to {registry} again"
        )
    return Credentials(user, password.rstrip("\0"), token)


def _map(path: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    value = config.get(name) or {}
    if not isinstance(value, dict):
        raise RegistryError(f"{path} is damaged: {name} is not a JSON object")
    return value


def _spellings(auths: dict[str, Any], registry: str) -> list[str]:
    """The keys of `auths` that mean the whole of `registry`."""
    return [one for one in auths if _place(one) == registry]


def _place(key: str) -> str:
    """What an entry of `auths` is for: a registry, or below one a namespace or repository."""
    return _host(key) if "://" in key else _canonical(key.removesuffix("/v1/").rstrip("/"))


def _host(key: str) -> str:
    """Docker writes some keys as URLs; their host is what counts."""
    return _canonical(key.partition("://")[2].partition("/")[0] if "://" in key else key)


def _canonical(name: str) -> str:
    host, slash, path = name.partition("/")
    return f"{DOCKER_HUB if host in HUB_HOSTS else host}{slash}{path}"
