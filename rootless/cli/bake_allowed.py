"""What bake files may reach: files below the working directory, and what --allow names.

A bake file may be somebody else's. Paths that the command line itself gives (--set) are the
user's own word.
"""

from __future__ import annotations

import os

from rootless.errors import RootlessError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rootless.bake.attributes import Target
    from rootless.bake.definition import Resolved
    from rootless.bake.overrides import Override

_KINDS = {"fs": ("read", "write"), "fs.read": ("read",), "fs.write": ("write",)}
_OTHERS = ("network.host", "security.insecure", "ssh")
_EVERYWHERE = "/"


def check(
    resolved: Resolved,
    words: Sequence[str],
    changes: Sequence[Override],
    environment: Mapping[str, str],
) -> None:
    """RootlessError for the first path that no --allow (`words`) lets a target reach."""
    if environment.get("BUILDX_BAKE_ENTITLEMENTS_FS", "").lower() in ("0", "f", "false"):
        return
    allowed = _allowed(words)
    for kind, path in _of_changes(changes):
        allowed[kind].append(os.path.realpath(path))
    for name, target in sorted(resolved.targets.items()):
        for kind, attribute, path in _paths(target):
            real = os.path.realpath(path)
            if not any(_is_below(real, folder) for folder in allowed[kind]):
                raise RootlessError(
                    f"target {name}: {attribute} would {kind} {path}, "
                    "which is outside of this directory",
                    hint=f"if you know what the file does: --allow fs.{kind}={path}",
                )


def _allowed(words: Sequence[str]) -> dict[str, list[str]]:
    here = os.path.realpath(".")
    found = {"read": [here], "write": [here]}
    for word in words:
        name, _, path = word.partition("=")
        if name in _OTHERS:
            continue
        if name not in _KINDS or not path:
            raise UsageError(f"--allow {word!r}: write fs.read=PATH, fs.write=PATH or fs=PATH")
        for kind in _KINDS[name]:
            found[kind].append(_EVERYWHERE if path == "*" else os.path.realpath(path))
    return found


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _of_changes(changes: Sequence[Override]) -> Iterator[tuple[str, str]]:
    for change in changes:
        target: Target = {}
        change.apply(target)
        for kind, _, path in _paths({"context": ".", **target}):
            yield kind, path


def _paths(target: Target) -> Iterator[tuple[str, str, str]]:
    """(read or write, attribute, path) of all on this machine that a target names."""
    context = target["context"]
    if is_local(context):
        yield "read", "context", context
        if "dockerfile" in target and not target.get("dockerfile-inline"):
            written = target["dockerfile"].removeprefix("cwd://")
            yield "read", "dockerfile", os.path.join(context, written)
    for one in target.get("contexts", {}).values():
        if is_local(one):
            yield "read", "contexts", one.removeprefix("cwd://")
    for secret in target.get("secret", ()):
        if secret.get("src"):
            yield "read", "secret", secret["src"]
    for key in target.get("ssh", ()):
        for path in key.get("paths", ()):
            yield "read", "ssh", path
    yield from _entry_paths(target)


def _entry_paths(target: Target) -> Iterator[tuple[str, str, str]]:
    for cache in target.get("cache-from", ()):
        if cache.get("type") == "local" and cache.get("src"):
            yield "read", "cache-from", cache["src"]
    for attribute in ("cache-to", "output"):
        for entry in target.get(attribute, ()):
            if entry.get("dest", "-") != "-":
                yield "write", attribute, entry["dest"]


def is_local(context: str) -> bool:
    """Whether a context is a path here, not a URL, a repository, an image or a target."""
    elsewhere = ("target:", "docker-image:", "oci-layout:", "git@")
    return context.startswith("cwd://") or not ("://" in context or context.startswith(elsewhere))
