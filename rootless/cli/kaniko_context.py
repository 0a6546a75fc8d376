"""Where kaniko finds a build's files, in the words of `build`. Pure but for a look at names."""

from __future__ import annotations

import os

from rootless.errors import UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.cli.parser import Arguments

_BUCKETS = ("s3://", "gs://")
_AZURE = ".blob.core.windows.net"
_WEB = ("http://", "https://")
_HEADER = "GIT_AUTH_HEADER"


class Place(Record):
    """The words of `build` for it; `secrets` are variables of the environment that those name."""

    words: tuple[str, ...]
    secrets: Mapping[str, str] = {}


def find(arguments: Arguments, environment: Mapping[str, str]) -> Place:
    """The context and the Dockerfile; UsageError for what cannot be reached from here."""
    text = arguments.context
    if arguments.bucket or text.startswith(_BUCKETS) or _AZURE in text:
        raise UsageError(
            f"the context {arguments.bucket or text} lies in a bucket, which cannot be read here",
            hint="fetch it with the provider's own program, and name the file: --context tar://FILE",
        )
    if text.startswith("git://"):
        return _git(arguments, environment)
    if text.startswith(_WEB):
        return _whole(arguments, text)
    if text.startswith("tar://"):
        path = text.removeprefix("tar://")
        return _whole(arguments, "-" if path == "stdin" else path)
    folder = text.removeprefix("dir://")
    if arguments.context_sub_path:
        folder = os.path.join(folder, arguments.context_sub_path)
    return Place((*_dockerfile(arguments.dockerfile, folder), "--", folder))


def _whole(arguments: Arguments, context: str) -> Place:
    """An archive, whose folders cannot be chosen."""
    if arguments.context_sub_path:
        raise UsageError(
            f"--context-sub-path {arguments.context_sub_path}: not of an archive",
            hint="unpack it, and name the folder",
        )
    return Place((*_dockerfile(arguments.dockerfile), "--", context))


def _dockerfile(text: str, context: str | None = None) -> tuple[str, ...]:
    """One that is here wins over the context's, as with kaniko."""
    if text.startswith(_WEB):
        return ("--file", text)
    if os.path.exists(text):
        return ("--file", os.path.abspath(text))
    return ("--file", os.path.join(context, text) if context else text)


def _git(arguments: Arguments, environment: Mapping[str, str]) -> Place:
    """`git://HOST/PATH[#REF[#COMMIT]]`, which kaniko asks for by https."""
    options = dict(map(_git_option, arguments.git))
    place, *parts = arguments.context.removeprefix("git://").split("#")
    ref = (parts[1:] or parts[:1] or [""])[0] or options.get("branch", "")
    method = environment.get("GIT_PULL_METHOD", "https")
    place = place if place.endswith(".git") else f"{place}.git"
    modules = options.get("recurse-submodules", "false")
    subdir = f":{arguments.context_sub_path}" if arguments.context_sub_path else ""
    url = f"{method}://{place}?submodules={modules}#{ref}{subdir}"
    header = _login(environment)
    secret = ("--secret", f"id={_HEADER},env={_HEADER}") if header else ()
    found = (*_dockerfile(arguments.dockerfile), *secret, "--", url)
    return Place(found, {_HEADER: header} if header else {})


def _git_option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or key not in ("branch", "single-branch", "recurse-submodules"):
        raise UsageError(
            f"--git {text}: invalid git flag, must be in the key=value format",
            hint="keys are branch, single-branch and recurse-submodules",
        )
    return key, value


def _login(environment: Mapping[str, str]) -> str:
    """What Authorization says: a token is a user's name for kaniko."""
    user, password = environment.get("GIT_USERNAME", ""), environment.get("GIT_PASSWORD", "")
    if token := environment.get("GIT_TOKEN"):
        user, password = token, ""
    if not user and not password:
        return ""
    from base64 import b64encode

    return "basic " + b64encode(f"{user}:{password}".encode()).decode()
