"""What bake files may reach: files below the working directory, and what --allow names.

A bake file may be somebody else's. What the command line itself gives (--set) is the user's own
word. Paths are taken from the words that `build` gets, as `build` understands them.
"""

from __future__ import annotations

import os

from rootless.cli.bake_words import dockerfile_of, is_local, ssh_text, text_of
from rootless.errors import RootlessError, UsageError
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rootless.bake.attributes import Target
    from rootless.bake.overrides import Override

_KINDS = {"fs": ("read", "write"), "fs.read": ("read",), "fs.write": ("write",)}
_SSH = "ssh"
_OTHERS = ("network.host", "security.insecure", "device", _SSH)
_ALWAYS = "network.host"  # a build has the host's network anyway
_EVERYWHERE = "/"


class Allowed(Record):
    """`words` are entitlements; `folders` what may be read and written, real paths, None for all.

    `keys` are those of --ssh that the command line gives.
    """

    words: frozenset[str]
    keys: frozenset[str]
    folders: Mapping[str, Sequence[str]] | None
    environment: Mapping[str, str]

    def check(self, name: str, target: Target) -> None:
        """RootlessError for the first thing that the target may not have."""
        try:
            for word in _rights(target, self.keys):
                if word not in self.words and word.partition("=")[0] not in self.words:
                    raise RootlessError(
                        f"it asks for {word}",
                        hint=f"if you know what the file does: --allow {word}",
                    )
            for kind, attribute, path in self._outside(target):
                raise RootlessError(
                    f"{attribute} would {kind} {path}, which is outside of this directory",
                    hint=f"if you know what the file does: --allow fs.{kind}={path}",
                )
        except RootlessError as error:
            raise RootlessError(f"target {name}: {error.message}", hint=error.hint) from None

    def _outside(self, target: Target) -> Iterator[tuple[str, str, str]]:
        if self.folders is None:
            return
        for kind, attribute, path in _paths(target, self.environment):
            real = os.path.realpath(path)
            if not any(_is_below(real, folder) for folder in self.folders[kind]):
                yield kind, attribute, path


def parse(
    words: Sequence[str], changes: Sequence[Override], environment: Mapping[str, str]
) -> Allowed:
    """What --allow (`words`) and --set (`changes`) say; UsageError."""
    folders = _folders(words)
    rights = {_ALWAYS, *(word for word in words if word.partition("=")[0] in _OTHERS)}
    keys: set[str] = set()
    for target in map(_changed, changes):
        for kind, _, path in _paths(target, environment):
            folders[kind].append(os.path.realpath(path))
        rights |= set(target.get("entitlements", ()))
        keys |= set(map(ssh_text, target.get("ssh", ())))
    off = environment.get("BUILDX_BAKE_ENTITLEMENTS_FS", "").lower() in ("0", "f", "false")
    return Allowed(frozenset(rights), frozenset(keys), None if off else folders, environment)


def _changed(change: Override) -> Target:
    target: Target = {"context": "."}
    change.apply(target)
    return target


def _folders(words: Sequence[str]) -> dict[str, list[str]]:
    here = os.path.realpath(".")
    found = {"read": [here], "write": [here]}
    for word in words:
        name, _, path = word.partition("=")
        if name in _OTHERS:
            continue
        if name not in _KINDS or not path:
            raise UsageError(
                f"--allow {word!r}: write fs.read=PATH, fs.write=PATH or fs=PATH",
                hint=f"or one of {', '.join(_OTHERS)}",
            )
        for kind in _KINDS[name]:
            found[kind].append(_EVERYWHERE if path == "*" else os.path.realpath(path))
    return found


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _rights(target: Target, keys: frozenset[str]) -> Iterator[str]:
    """The entitlements that a target wants; an agent of ssh is one, but for those in `keys`."""
    yield from target.get("entitlements", ())
    if any(ssh_text(key) not in keys for key in target.get("ssh", ())):
        yield _SSH


def _paths(target: Target, environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(read or write, attribute, path) of all on this machine that a target names."""
    context = target["context"]
    if is_local(context):
        yield "read", "context", context
    if "dockerfile" in target and not target.get("dockerfile-inline"):
        path = dockerfile_of(target)
        if is_local(context) or os.path.isabs(path):
            yield "read", "dockerfile", path
    for one in target.get("contexts", {}).values():
        if path := _folder_of(one.removeprefix("cwd://")):
            yield "read", "contexts", path
    for secret in target.get("secret", ()):
        if path := _file_of(secret, environment):
            yield "read", "secret", path
    for key in target.get("ssh", ()):
        for path in filter(None, ssh_text(key).partition("=")[2].split(",")):
            yield "read", "ssh", path
    yield from _entry_paths(target)


def _folder_of(context: str) -> str:
    """The path that one of `contexts` is, or "": a folder, or an OCI layout."""
    from rootless.cli import named

    layout = context.removeprefix("oci-layout://")
    if layout != context:
        return named.layout(layout)[0]
    return context if is_local(context) else ""


def _file_of(secret: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The file of a secret; an id alone is a variable or a file, as for --secret."""
    name = secret.get("id", "")
    alone = "" if secret.get("env") or name in environment else name
    return secret.get("src") or alone


def _entry_paths(target: Target) -> Iterator[tuple[str, str, str]]:
    from rootless.cli import caches, outputs

    for kind, attribute in (("read", "cache-from"), ("write", "cache-to")):
        for entry in target.get(attribute, ()):
            if path := caches.folder(f"--{attribute}", text_of(entry)):
                yield kind, attribute, path
    for entry in target.get("output", ()):
        path = outputs.output(text_of(entry)).path
        if path not in ("", "-"):
            yield "write", "output", path
