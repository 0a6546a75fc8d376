"""Logins that docker and podman keep: containers-auth.json(5) and Docker's config.json.

A login is looked up for one registry and repository and belongs to it alone; what a credential
helper says or how it fails never concerns another registry. Only `find` reads files and starts
helpers: call it before entering a user namespace, where a helper could not reach the desktop's
keyring.
"""

from __future__ import annotations

import binascii
import os
import select
import signal
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from rootless import leanjson
from rootless.errors import IntegrityError
from rootless.oci.reference import DOCKER_HUB, HUB_HOSTS
from rootless.record import Record
from rootless.registry.errors import RegistryError

HELPER_TIMEOUT = 20.0
MAX_HELPER_OUTPUT = 64 << 10
MAX_FILE = 4 << 20
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_NOT_FOUND = b"credentials not found"


class Credentials(Record):
    """A login: user and password, or an identity token which stands for both."""

    username: str
    password: str
    identity_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"


def find(paths: Iterable[str], registry: str, repository: str) -> Credentials | None:
    """The login for a repository from the first of the files at `paths` that has one.

    Missing files are skipped. RegistryError names a file that is damaged or a helper, kept for
    this very registry, that fails.
    """
    for path in paths:
        login = _find_in(path, _load(path), registry, repository)
        if login:
            return login
    return None


def _find_in(
    path: str, config: dict[str, Any], registry: str, repository: str
) -> Credentials | None:
    helpers = {_host(key): name for key, name in _map(path, config, "credHelpers").items()}
    if registry in helpers:
        return _ask_helper(path, helpers[registry], registry)
    known = {_key(key): entry for key, entry in _map(path, config, "auths").items()}
    entry = _longest(known, f"{registry}/{repository}")
    login = _decode(path, registry, entry)
    if login is None and (store := config.get("credsStore")):
        try:
            login = _ask_helper(path, store, registry)
        except RegistryError:
            if entry is not None:  # docker notes here that it has given the helper a login
                raise
    return login


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
        user, colon, password = b64decode(encoded or "", validate=True).decode().partition(":")
    except (binascii.Error, ValueError, TypeError):
        user, colon, password = "", "", ""
    if not colon and not token:
        raise RegistryError(
            f"the login for {registry} in {path} is damaged", hint=f"log in to {registry} again"
        )
    return Credentials(user, password.rstrip("\0"), token)


def _load(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            value = leanjson.loads(file.read(MAX_FILE), path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except IntegrityError as error:
        raise RegistryError(
            error.message, hint="correct it, or delete it and log in again"
        ) from None
    except OSError as error:
        raise RegistryError(f"cannot read the logins in {path}: {error.strerror}") from None
    if not isinstance(value, dict):
        raise RegistryError(f"{path} is not a JSON object")
    return value


def _map(path: str, config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise RegistryError(f"{path} is damaged: {key} is not a JSON object")
    return value


def _key(key: str) -> str:
    """What an entry of `auths` is for: a registry, or below one a namespace or repository."""
    return _host(key) if "://" in key else _canonical(key.removesuffix("/v1/").rstrip("/"))


def _host(key: str) -> str:
    """Docker writes some keys as URLs; their host is what counts."""
    return _canonical(key.partition("://")[2].partition("/")[0] if "://" in key else key)


def _canonical(name: str) -> str:
    host, slash, path = name.partition("/")
    return f"{DOCKER_HUB if host in HUB_HOSTS else host}{slash}{path}"


def _ask_helper(path: str, name: object, registry: str) -> Credentials | None:
    """What docker-credential-NAME has for `registry`; None when it knows of nothing."""
    if (
        not isinstance(name, str)
        or not name
        or name[0] in ".-"
        or not _HELPER_NAME.issuperset(name)
    ):
        raise RegistryError(f"{str(name)[:80]!r} in {path} is not the name of a credential helper")
    program = f"docker-credential-{name}"
    server = _HUB_KEY if registry == DOCKER_HUB else registry
    status, output = _run(program, server.encode(), registry)
    if status != 0 and _NOT_FOUND in output:
        return None
    try:
        if status != 0:
            raise IntegrityError(f"it exited with status {status}")
        answer = leanjson.loads(output, "its answer")
        user, secret = answer["Username"], answer["Secret"]
        if not isinstance(user, str) or not isinstance(secret, str):
            raise IntegrityError("its answer has no login")
    except (IntegrityError, LookupError, TypeError) as error:
        why = error.message if isinstance(error, IntegrityError) else "its answer has no login"
        raise _broken(program, registry, why) from None
    return Credentials("", "", secret) if user == "<token>" else Credentials(user, secret)


def _run(program: str, request: bytes, registry: str) -> tuple[int, bytes]:
    """Exit status and output of a helper, which gets a bounded time and may say a bounded much."""
    try:
        process = subprocess.Popen(
            [program, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise _broken(program, registry, f"it cannot be started: {error.strerror}") from None
    assert process.stdin
    assert process.stdout
    try:
        _give(process.stdin.fileno(), request)
        process.stdin.close()
        output = _collect(process.stdout.fileno(), time.monotonic() + HELPER_TIMEOUT)
        if output is None:
            raise _broken(program, registry, "it does not finish or says too much")
        return process.wait(timeout=HELPER_TIMEOUT), output
    except subprocess.TimeoutExpired:
        raise _broken(program, registry, "it does not finish") from None
    finally:
        process.stdout.close()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _give(fd: int, request: bytes) -> None:
    with suppress(BrokenPipeError):  # its exit status tells why
        os.write(fd, request)  # shorter than a pipe's buffer


def _collect(fd: int, deadline: float) -> bytes | None:
    """All that comes until the end; None when it comes too late or is too much."""
    output = b""
    while (left := deadline - time.monotonic()) > 0 and len(output) <= MAX_HELPER_OUTPUT:
        if select.select([fd], [], [], left)[0]:
            chunk = os.read(fd, 4096)
            if not chunk:
                return output
            output += chunk
    return None


def _broken(program: str, registry: str, why: str) -> RegistryError:
    return RegistryError(
        f"the credential helper {program} for {registry} failed: {why}",
        hint="repair it, or take its line out of the login file",
    )
