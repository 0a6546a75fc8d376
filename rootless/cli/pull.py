"""`pull`: one image, or with --all-tags every one of a repository."""

from __future__ import annotations

import sys
from http import HTTPStatus

from rootless import interrupts, userns
from rootless.cli import fetch, previews, progress
from rootless.errors import IntegrityError, NotFoundError, RootlessError, UsageError
from rootless.image import obtain
from rootless.oci.reference import Reference
from rootless.registry.errors import RegistryError
from rootless.store import Store, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.registry.client import Client
    from rootless.store.images import Image


def pull(given: Settings, arguments: Arguments) -> int:
    """Download what the arguments name, or what of it is new."""
    interrupts.catch()
    given = given.with_logins(arguments.authfile)
    reference = Reference.parse(arguments.name)
    if arguments.all_tags and arguments.dry_run:
        raise UsageError("--dry-run is for one image", hint="leave out --all-tags/-a")
    if arguments.all_tags:
        _refuse_tag(arguments.name, reference)
    client = fetch.client(
        given,
        reference,
        tls_verify=arguments.tls_verify,
        cert_dir=arguments.cert_dir,
        watch=fetch.watching(given, arguments),
    )
    pulls = _Pulls(given, client, arguments)
    if arguments.all_tags:
        return _pull_all(pulls, client, reference)
    if arguments.dry_run:
        pulls.preview(reference)
        return 0
    userns.enter()
    if reference.tag == "latest" and not arguments.name.endswith(":latest"):
        pulls.say("Using default tag: latest")
    is_new = pulls.pull(reference)
    pulls.say_status(is_new, reference.familiar)
    print(reference)
    return 0


class _Pulls:
    """Pulls of one command, told as docker tells them."""

    def __init__(self, given: Settings, client: Client, arguments: Arguments) -> None:
        self._given = given
        self._store = Store(given.root)
        self._client = client
        self._platform = fetch.platform(arguments.platform)
        self._quiet = arguments.quiet
        self._plain = arguments.explain

    def say(self, line: str) -> None:
        """Print a line that --quiet leaves out."""
        if not self._quiet:
            print(line)

    def say_status(self, is_new: bool, name: str) -> None:  # noqa: FBT001 - the status itself
        """The last word."""
        news = "Downloaded newer image" if is_new else "Image is up to date"
        self.say(f"Status: {news} for {name}")

    def pull(self, reference: Reference) -> bool:
        """Download one image; whether its name means another one now."""
        before = obtain.find(self._store, str(reference))
        self.say(f"{reference.tag or reference.digest}: Pulling from {reference.repository}")
        display = progress.pulling(self._given, sys.stdout, quiet=self._quiet, plain=self._plain)
        image = fetch.pull(self._store, self._client, reference, self._platform, display)
        name = reference.familiar
        events.tell(self._store, "image", "pull", name, {"name": reference.familiar_name})
        self.say(f"Digest: {_digest(image, reference)}")
        return before is None or before.id != image.id

    def preview(self, reference: Reference) -> None:
        """Say what `pull` would do."""
        previews.pull(self._store, reference, self._platform, self._client)


def _digest(image: Image, reference: Reference) -> object:
    """What the registry calls the image."""
    served = [one.digest for one in image.repo_digests if one.repository == reference.repository]
    return served[0] if served else image.descriptor.digest


def _refuse_tag(text: str, reference: Reference) -> None:
    if reference.digest or text.endswith(f":{reference.tag}"):
        raise UsageError(
            "tag can't be used with --all-tags/-a",
            hint=f"rootless pull -a {reference.familiar_name}",
        )


def _pull_all(pulls: _Pulls, client: Client, reference: Reference) -> int:
    """Every tag; those that are no image for this platform are told of at the end."""
    tags = client.tags(reference.repository)
    if not tags:
        raise NotFoundError(f"{reference.familiar_name} has no tags")
    userns.enter()
    is_new, failures = False, []
    for tag in tags:
        try:
            is_new |= pulls.pull(reference.replace(tag=tag))
        except (NotFoundError, IntegrityError, RegistryError) as error:
            if isinstance(error, RegistryError) and error.status != HTTPStatus.NOT_FOUND:
                raise
            failures.append(f"{tag}: {error.message}")
    if len(failures) < len(tags):
        pulls.say_status(is_new, reference.familiar_name)
        print(f"{reference.registry}/{reference.repository}")
    if failures:
        raise RootlessError("\n".join(failures))
    return 0
