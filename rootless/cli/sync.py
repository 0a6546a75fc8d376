"""`sync`: many images from registries to a registry or a folder, as `copy` takes one."""

from __future__ import annotations

from rootless import interrupts, userns
from rootless.cli import fetch, files, words
from rootless.cli.copy import Copying
from rootless.cli.parser import Arguments
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.settings import Settings

_DOCKER = "docker://"
_FOLDERS = ("dir:", "oci:")


def sync(given: Settings, arguments: Arguments) -> int:
    """Copy them one after the other; the first failure is the end, or with --keep-going all are."""
    interrupts.catch()
    names = _names(given, arguments)
    targets = _targets(names, arguments)
    jobs = [
        (name, target, Copying(given, _one(arguments, name, target)))
        for name, target in zip(names, targets, strict=True)
    ]
    userns.enter()
    failures: list[str] = []
    for name, target, job in jobs:
        print(f"{name.familiar} -> {words.escape(target)}", flush=True)
        try:
            job.run()
        except RootlessError as error:
            if not arguments.keep_going:
                raise
            failures.append(f"{name.familiar}: {error.message}")
    if failures:
        raise RootlessError("\n".join(failures), hint=f"{len(jobs) - len(failures)} were copied")
    return 0


def _names(given: Settings, arguments: Arguments) -> list[Reference]:
    """What to copy: the tags of a repository, one image, or those that a file lists."""
    if not arguments.source.startswith(_DOCKER):
        return _listed(arguments.source)
    text = arguments.source.removeprefix(_DOCKER)
    name = Reference.parse(text)
    if name.digest or text.endswith(f":{name.tag}"):
        return [name]
    client = fetch.client(given, name, tls_verify=arguments.src_tls_verify)
    return [name.replace(tag=tag) for tag in client.tags(name.repository)]


def _listed(path: str) -> list[Reference]:
    """One name a line; what begins with # is a comment."""
    try:
        content = files.read_input() if path == "-" else files.read(path)
    except NotFoundError as error:
        raise NotFoundError(error.message, hint="write docker:// before a repository") from None
    lines = [line.strip() for line in content.decode(errors="replace").splitlines()]
    names = [line.removeprefix(_DOCKER) for line in lines if line and not line.startswith("#")]
    if not names:
        raise UsageError(f"{path} lists no images", hint="write one name a line")
    return [Reference.parse(name) for name in dict.fromkeys(names)]


def _targets(names: list[Reference], arguments: Arguments) -> list[str]:
    """Where each goes; UsageError where two would be one."""
    place = arguments.destination
    if not place.startswith((_DOCKER, *_FOLDERS)) or place in (_DOCKER, *_FOLDERS):
        raise UsageError(
            f"{place} is no place for many images",
            hint="write docker://REGISTRY, docker://REGISTRY/PATH, dir:DIR or oci:DIR",
        )
    targets = [_target(place.rstrip("/"), name, scoped=arguments.scoped) for name in names]
    for target in targets:
        if targets.count(target) > 1:
            raise UsageError(
                f"two of the images would become {target}", hint="keep their paths with --scoped"
            )
    return targets


def _target(place: str, name: Reference, *, scoped: bool) -> str:
    """As skopeo names them: the last part of the repository, or with --scoped all of it."""
    if name.digest:
        raise UsageError(
            f"{name.familiar} has no tag to keep", hint="copy it alone: rootless copy SOURCE NAME"
        )
    last = name.repository.rpartition("/")[2]
    path = f"{name.registry.replace(':', '_')}/{name.repository}" if scoped else last
    tag = name.tag or "latest"
    if place.startswith("oci:"):
        return f"{place}:{path}:{tag}"
    return f"{place}/{path}:{tag}"


def _one(arguments: Arguments, name: Reference, target: str) -> Arguments:
    """The arguments of `copy` for one of them."""
    source = f"{_DOCKER}{name}"
    return Arguments({**vars(arguments), "source": source, "destination": target, "platform": None})
