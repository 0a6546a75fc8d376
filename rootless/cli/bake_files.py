"""What a job that sees no files of this machine is given to build from: an image in a registry.

It holds /context, as .dockerignore leaves it, /contexts/0, 1, … for local ones of `contexts`, and
/Dockerfile. So the registry keeps what it has already, and the job pulls as any other.
"""

from __future__ import annotations

import os
import sys

from rootless import process
from rootless.cli import bake_run, bake_words, dockerfiles
from rootless.cli.bake_words import dockerfile_of, is_local
from rootless.cli.build import build
from rootless.errors import RootlessError
from rootless.leanjson import loads
from rootless.store import Store
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.bake.attributes import Target
    from rootless.cli.settings import Settings

_ON_DISK = ("local", "tar", "oci", "docker")


def check(target: Target, title: str) -> None:
    """RootlessError for what only this machine has."""
    if target.get("secret"):
        raise RootlessError(
            f"a job of {title} has none of your secrets",
            hint="build such a target here, or on a scheduler whose nodes share your files",
        )
    if any(one["type"] in _ON_DISK for one in target.get("output", ())):
        raise RootlessError(f"files that a job of {title} writes stay there", hint="push instead")
    for key in ("cache-from", "cache-to"):
        if any(one.get("type") == "local" for one in target.get(key, ())):
            raise RootlessError(f"{key}: a job of {title} has no folder of this machine")
    if any(one.startswith("oci-layout:") for one in target.get("contexts", {}).values()):
        raise RootlessError(f"contexts: a job of {title} has no folder of this machine")
    if not is_local(target["context"]) and target.get("dockerfile-inline"):
        raise RootlessError("an inline Dockerfile goes with a context that is here")


def has_files(target: Target) -> bool:
    """Whether anything that the target is made from is on this machine."""
    return is_local(target["context"]) or bool(_folders(target))


def moved(target: Target) -> Target:
    """The target as it is built from what `send` has sent."""
    found = {key: value for key, value in target.items() if key != "dockerfile-inline"}
    if is_local(target["context"]):
        found |= {"context": ".", "dockerfile": "../Dockerfile"}
    places = {name: f"../contexts/{number}" for number, name in enumerate(_folders(target))}
    return {**found, "contexts": {**target.get("contexts", {}), **places}}


def send(given: Settings, name: str, target: Target, reference: str) -> str:
    """Push the image; its digest. Built as any other, in a process of its own."""
    with Staging(Store(given.root)) as staging:
        command = _command(target, reference, staging.path)

        def body(_send: process.Send) -> int:
            bake_run.connect(command.stdin, 2, 2)
            return build(given, bake_words.arguments(name, command))

        child = process.fork(body, f"sending the files of target {name}")
        try:
            sys.stderr.flush()
            code = child.result()
        except RootlessError as error:
            raise RootlessError(f"target {name}: {error.message}", hint=error.hint) from None
        finally:
            child.close()
        if code:
            raise RootlessError(f"target {name}: what it is made from was not sent")
        with open(f"{staging.path}/metadata.json", "rb") as file:
            made: dict[str, Any] = loads(file.read(), "metadata.json")
    return str(made["containerimage.digest"])


def _command(target: Target, reference: str, folder: str) -> bake_words.Command:
    """The build of that image; `folder` is for what it needs besides."""
    lines, flags = ["FROM scratch", "WORKDIR /context"], []
    os.mkdir(f"{folder}/files")
    context, ignore = f"{folder}/files", b""
    if is_local(target["context"]):
        context = target["context"].removeprefix("cwd://")
        written = _written(target, context)
        ignore = written.ignore
        with open(f"{folder}/files/Dockerfile", "wb") as file:
            file.write(written.content)
        lines += ["COPY . .", "COPY --from=files Dockerfile /Dockerfile"]
        flags += ["--build-context", f"files={folder}/files"]
    for number, path in enumerate(_folders(target).values()):
        lines.append(f"COPY --from=other{number} / /contexts/{number}/")
        flags += ["--build-context", f"other{number}={path}"]
    with open(f"{folder}/ignore", "wb") as file:
        file.write(ignore)
    told = (
        *("--progress=none", f"--metadata-file={folder}/metadata.json", "--file=-"),
        *(f"--ignorefile={folder}/ignore", f"--output=type=registry,name={reference}"),
    )
    return bake_words.Command((*told, *flags, "--", context), "\n".join(lines) + "\n")


def _written(target: Target, context: str) -> dockerfiles.Written:
    if inline := target.get("dockerfile-inline"):
        return dockerfiles.beside(context, context, inline.encode(), fetched=False)
    return dockerfiles.find(context, context, dockerfile_of(target))


def _folders(target: Target) -> dict[str, str]:
    """The directories of this machine among `contexts`."""
    found = sorted(target.get("contexts", {}).items())
    return {name: one.removeprefix("cwd://") for name, one in found if is_local(one)}
