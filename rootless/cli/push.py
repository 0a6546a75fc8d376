"""`push`: images of the store to a registry."""

from __future__ import annotations

import sys

from rootless import interrupts
from rootless.cli import fetch, files, progress
from rootless.errors import NotFoundError, UsageError
from rootless.oci import media_types
from rootless.oci.reference import Reference
from rootless.record import Record
from rootless.store import Store, events, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.image.push import Wishes
    from rootless.image.transport import Document
    from rootless.store.images import Image


_FORMS: dict[str | None, dict[str, str]] = {
    None: {},
    "oci": media_types.OCI_TWINS,
    "docker": media_types.DOCKER_TWINS,
    "v2s2": media_types.DOCKER_TWINS,
}
_DOCKER = "docker://"  # as podman and skopeo write it


class _Job(Record):
    """An image and the name it is to have at its registry."""

    image: Image
    reference: Reference


def push(given: Settings, arguments: Arguments) -> int:
    """Upload an image, or all tags of a repository: what of it the registry lacks."""
    interrupts.catch()
    from rootless.cli import previews
    from rootless.image import push as pushing

    given = given.with_logins(arguments.authfile)
    target = _target(arguments)
    if not arguments.quiet:
        _announce(arguments, target)
    store = Store(given.root)
    jobs = _jobs(store, arguments, target)
    uploads = fetch.destination(
        given,
        target,
        tls_verify=arguments.tls_verify,
        cert_dir=arguments.cert_dir,
        watch=fetch.watching(given, arguments),
    )
    wishes = _wishes(arguments)
    for job in jobs:
        if arguments.dry_run:
            previews.push(store, job.image, job.reference, uploads, wishes)
            continue
        plain = arguments.explain
        with progress.pushing(given, sys.stdout, quiet=arguments.quiet, plain=plain) as report:
            document = pushing.push(store, job.image, job.reference, uploads, wishes, report)
        about = {"name": job.reference.familiar_name}
        events.tell(store, "image", "push", job.reference.familiar, about)
        _tell(arguments, job, document)
    if arguments.quiet and not arguments.dry_run:
        print(f"{target.registry}/{target.repository}" if arguments.all_tags else target)
    return 0


def _target(arguments: Arguments) -> Reference:
    """Where it is to go."""
    reference = Reference.parse((arguments.destination or arguments.name).removeprefix(_DOCKER))
    if reference.digest:
        raise UsageError("cannot push a digest reference", hint="write NAME[:TAG]")
    if arguments.all_tags and (arguments.destination or arguments.digestfile):
        raise UsageError("--all-tags/-a is for a NAME alone", hint="rootless push -a NAME")
    if arguments.all_tags and arguments.name.endswith(f":{reference.tag}"):
        raise UsageError(
            "tag can't be used with --all-tags/-a",
            hint=f"rootless push -a {reference.familiar_name}",
        )
    return reference


def _announce(arguments: Arguments, target: Reference) -> None:
    given = arguments.destination or arguments.name
    if not arguments.all_tags and target.tag == "latest" and not given.endswith(":latest"):
        print("Using default tag: latest")
    print(f"The push refers to repository [{target.registry}/{target.repository}]", flush=True)


def _jobs(store: Store, arguments: Arguments, target: Reference) -> list[_Job]:
    """What to push, each under its own name."""
    if arguments.destination:
        return [_Job(images.resolve(store, arguments.name), target)]
    here = [
        reference
        for listed in images.listing(store)
        for reference in listed.references
        if (reference.registry, reference.repository) == (target.registry, target.repository)
    ]
    wanted = sorted(here, key=str) if arguments.all_tags else [one for one in here if one == target]
    if not wanted:
        raise _missing(store, target, here)
    return [_Job(images.resolve(store, str(one)), one) for one in wanted]


def _missing(store: Store, target: Reference, here: list[Reference]) -> NotFoundError:
    """In docker's words."""
    near = images.catalog(store).meant(target)
    hint = f"did you mean {near}?" if near else f"name one: rootless tag IMAGE {target.familiar}"
    if here:
        return NotFoundError(f"tag does not exist: {target.familiar}", hint=hint)
    return NotFoundError(
        f"An image does not exist locally with the tag: {target.familiar_name}", hint=hint
    )


def _wishes(arguments: Arguments) -> Wishes:
    from rootless import userns
    from rootless.archive.compression import Compression
    from rootless.image.push import Wishes

    entered: list[object] = []

    def enter() -> None:
        """Once, whatever the number of images."""
        if not entered:
            entered.append(userns.enter())

    compression = Compression.parse(arguments.compression) if arguments.compression else None
    platform = fetch.platform(arguments.platform) if arguments.platform else None
    return Wishes(enter, compression, platform, _FORMS[arguments.format])


def _tell(arguments: Arguments, job: _Job, document: Document) -> None:
    if arguments.digestfile:
        with files.replacing(arguments.digestfile) as fd:
            files.write_all(fd, str(document.digest).encode(), arguments.digestfile)
    is_whole = job.image.descriptor.media_type not in media_types.INDEXES
    if not is_whole and document.media_type not in media_types.INDEXES and not arguments.platform:
        print(
            "Not all multiplatform-content is present and only the available single-platform "
            f"image was pushed\n{job.image.descriptor.digest} -> {document.digest}",
            file=sys.stderr,
        )
    if not arguments.quiet:
        size = len(document.content)
        print(f"{job.reference.tag}: digest: {document.digest} size: {size}", flush=True)
