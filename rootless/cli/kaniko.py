"""`kaniko`: the flags of kaniko's executor, said to `build` in its own words.

What has no such word is refused where the image would be another, and warned of where it would
not. A crash leaves a staging in the store, which the next command that stages something sweeps.
"""

from __future__ import annotations

import json
import os
import sys

from rootless import interrupts
from rootless.cli import files, kaniko_context, kaniko_registries, parser, table, words
from rootless.errors import UsageError
from rootless.oci.reference import Reference
from rootless.store import Store
from rootless.store.staging import Staging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings

LOGINS = "/kaniko/.docker"
"""Where pipelines write config.json for kaniko, whose image sets $DOCKER_CONFIG to it."""
_TAG = "rootless"  # of a cache: kaniko's own tags are keys of single layers
_SILENT = ("error", "fatal", "panic")
_DIGEST_FILES = ("digest_file", "image_name_with_digest_file", "image_name_tag_with_digest_file")


def kaniko(given: Settings, arguments: Arguments) -> int:
    """Build as kaniko would have, and push."""
    from rootless.cli import build

    interrupts.catch()
    _check(arguments)
    for warning in _warnings(arguments):
        print(f"warning: {warning}", file=sys.stderr)
    given = _with_logins(given)
    staging = Staging(Store(given.root))
    try:
        place = kaniko_context.find(arguments, given.environment)
        rules = kaniko_registries.write(staging.path, arguments, given.environment, _pushed_to)
        given = given.replace(own_rules=rules, environment={**given.environment, **place.secrets})
        metadata = f"{staging.path}/metadata"
        argv = [*_words(arguments, given, staging.path), "--metadata-file", metadata, *place.words]
        code = build.build(given, parser.parse(table.load("build"), argv))
        _tell(arguments, metadata)
    finally:
        staging.discard()
    return code


def _check(arguments: Arguments) -> None:
    """Refuse what makes no sense, and what would make another image here."""
    if not arguments.destination and not arguments.no_push:
        raise UsageError("you must provide --destination, or use --no-push")
    if arguments.cache and arguments.no_push and not arguments.cache_repo:
        raise UsageError("if using cache with --no-push, specify cache repo with --cache-repo")
    if not arguments.skip_unused_stages:
        raise UsageError(
            "--skip-unused-stages=false: stages that the target does not need are never built",
            hint="build such a stage by itself with --target",
        )
    if arguments.cache and not arguments.cache_run_layers:
        raise UsageError(
            "--cache-run-layers=false: with --cache, RUN steps are cached here",
            hint="leave --cache out: each step is run then",
        )


def _warnings(arguments: Arguments) -> Iterator[str]:
    """What is not done, and why the image is the same all the same."""
    for path in arguments.ignore_path:
        yield (
            f"--ignore-path {path}: steps run in a root of their own, into which nothing of this "
            "machine comes; what a step itself writes there is kept"
        )
    if arguments.cache_dir:
        yield f"--cache-dir {arguments.cache_dir}: base images are kept in the store (--root)"
    if any(arguments.credential_helpers):
        yield "--credential-helpers: logins are in config.json, and the helpers that this names"
    if arguments.force_build_metadata:
        yield "--force-build-metadata: an instruction that changes no file makes no layer"
    if arguments.push_ignore_immutable_tag_errors:
        yield "--push-ignore-immutable-tag-errors: a push that is refused is an error"
    if arguments.insecure_pull or arguments.skip_tls_verify_pull:
        yield "pulling without a check of certificates: nor are those checked where it is pushed"


def _with_logins(given: Settings) -> Settings:
    """Where pipelines write them for kaniko, unless the environment says another place."""
    named = ("REGISTRY_AUTH_FILE", "DOCKER_AUTH_CONFIG", "DOCKER_CONFIG")
    if any(map(given.environment.get, named)) or not os.path.exists(f"{LOGINS}/config.json"):
        return given
    return given.replace(environment={**given.environment, "DOCKER_CONFIG": LOGINS})


def _words(arguments: Arguments, given: Settings, staged: str) -> Iterator[str]:
    """The flags of `build`, but for those of its context."""
    yield f"--progress={'none' if arguments.verbosity in _SILENT else 'plain'}"
    for word in arguments.build_arg:
        name, equals, value = word.partition("=")
        yield f"--build-arg={name}={value if equals else given.environment.get(name, '')}"
    yield from (f"--label={word}" for word in arguments.label)
    yield from (f"--tag={name}" for name in arguments.destination)
    if arguments.target:
        yield f"--target={arguments.target}"
    if arguments.custom_platform:
        yield f"--platform={arguments.custom_platform}"
    if arguments.reproducible:
        yield "--source-date-epoch=0"
    if arguments.single_snapshot:
        yield "--squash"
    if arguments.insecure_pull or arguments.skip_tls_verify_pull:
        yield "--tls-verify=false"
    yield from _cache(arguments)
    yield from _outputs(arguments, staged)


def _cache(arguments: Arguments) -> Iterator[str]:
    if not arguments.cache:
        yield "--no-cache"
        return
    yield f"--cache-ttl={arguments.cache_ttl}"
    kind, where, folder = _cache_place(arguments)
    if kind == "registry" or os.path.exists(where):
        yield f"--cache-from={_fields(type=kind, **{folder or 'ref': where})}"
    if not arguments.no_push_cache:
        to = "dest" if folder else "ref"
        yield f"--cache-to={_fields(type=kind, mode='max', **{to: where})}"


def _cache_place(arguments: Arguments) -> tuple[str, str, str]:
    """Its type, where it is, and the key that names a folder."""
    repository = arguments.cache_repo
    if repository and repository.startswith("oci:"):
        return "local", os.path.abspath(repository.removeprefix("oci:")), "src"
    return "registry", f"{repository or _inferred(arguments)}:{_TAG}", ""


def _inferred(arguments: Arguments) -> str:
    """As kaniko: below the first destination."""
    reference = Reference.parse(arguments.destination[0])
    return f"{reference.registry}/{reference.repository}/cache"


def _outputs(arguments: Arguments, staged: str) -> Iterator[str]:
    """A tar is instead of a push; a digest is that of the image as it would be pushed."""
    if arguments.compression:
        level = arguments.compression_level
        yield f"--compression={arguments.compression}{f',{level}' if level else ''}"
    if arguments.oci_layout_path:
        yield f"--output={_fields(type='oci', tar='false', dest=arguments.oci_layout_path)}"
    if arguments.tar_path:
        yield f"--output={_fields(type='docker', dest=arguments.tar_path)}"
    elif not arguments.no_push:
        yield "--push"
    else:
        if any(getattr(arguments, field) for field in _DIGEST_FILES):
            yield f"--output={_fields(type='oci', dest=f'{staged}/image')}"
        yield "--load"


def _fields(**values: str) -> str:
    """`key=value,…`, as a line of a CSV file."""
    return ",".join(
        '"{}"'.format(text.replace('"', '""')) if set(text) & {",", '"'} else text
        for text in (f"{key}={value}" for key, value in values.items())
    )


def _pushed_to(arguments: Arguments) -> Iterator[str]:
    """The registries that something is to be sent to."""
    for name in arguments.destination:
        yield Reference.parse(name).registry
    if arguments.cache:
        kind, where, _ = _cache_place(arguments)
        if kind == "registry":
            yield Reference.parse(where).registry


def _tell(arguments: Arguments, metadata: str) -> None:
    """What the build made, written to the files that were asked for."""
    if not any(getattr(arguments, field) for field in _DIGEST_FILES):
        return
    with open(metadata, "rb") as file:
        digest = json.load(file)["containerimage.digest"]
    names = [Reference.parse(name) for name in arguments.destination]
    plain = "".join(f"{one.registry}/{one.repository}@{digest}\n" for one in names)
    tagged = "".join(f"{one.registry}/{one.repository}:{one.tag}@{digest}\n" for one in names)
    for field, content in zip(_DIGEST_FILES, (digest, plain, tagged), strict=True):
        if path := getattr(arguments, field):
            with files.replacing(path) as fd:
                files.write_all(fd, content.encode(), words.escape(path))
