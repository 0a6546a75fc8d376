"""Getting an image from a registry, as `pull`, `run` and `build` do: flags, logins, progress.

`client` reads logins and may start a credential helper, which needs the user's own ids: call it
before userns.enter(). `pull` writes layers: call it after.
"""

from __future__ import annotations

import sys

from rootless.errors import NotFoundError, UsageError
from rootless.oci.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.cli.outside import Logins
    from rootless.cli.parser import Arguments
    from rootless.cli.progress import TransferDisplay
    from rootless.cli.settings import Settings
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client
    from rootless.registry.credentials import Credentials
    from rootless.registry.http import Exchange
    from rootless.registry.push import Uploads
    from rootless.registry.session import Session
    from rootless.registry.sources import Place
    from rootless.store import Store
    from rootless.store.images import Image

    Find = Callable[[str, str], Credentials | None]
    """The user's login for a repository of a registry."""

    Watch = Callable[[Exchange], object]
    """Told of every exchange with a registry: see `requests.Script`."""


def platform(text: str | None) -> Platform:
    """The platform that --platform names, else this machine's."""
    if text and "," in text:
        raise UsageError(
            f"--platform {text}: one at a time",
            hint=f"run the command once for each, beginning with --platform {text.split(',')[0]}",
        )
    return Platform.parse(text) if text else Platform.host()


def platforms(texts: Sequence[str]) -> tuple[Platform, ...]:
    """Those that --platform names, each once, in their order; else this machine's."""
    words = [word.strip() for text in texts for word in text.split(",")]
    found = tuple(dict.fromkeys(Platform.parse(word) for word in words if word))
    return found or (Platform.host(),)


def here(store: Store, name: str, asked: str | None) -> Image:
    """The image of that name in the store, for what --platform names; NotFoundError."""
    from rootless.store import images

    wanted = platform(asked) if asked else None
    image = images.resolve(store, name, wanted)
    if wanted and not image.config.platform.runs_on(wanted):
        raise NotFoundError(
            f"image with reference {name} was found but does not provide the specified platform "
            f"({wanted})",
            hint=f"it is for {image.config.platform}",
        )
    return image


def client(
    given: Settings,
    reference: Reference,
    *,
    tls_verify: bool,
    cert_dir: str | None = None,
    logins: Logins | None = None,
    watch: Watch | None = None,
) -> Client:
    """A client of wherever the image comes from, each with the user's login for it there.

    `cert_dir` is for the image's own registry; a mirror has nothing that is not kept for it. With
    `logins` it may also be made inside of the namespace.
    """
    from functools import partial

    from rootless.registry import sources
    from rootless.registry.client import Client, Origin

    rules = sources.load(given.registries_files, given.registries_folders)
    *mirrors, own = rules.places(reference)
    find = logins.find if logins else finder(given)
    at = partial(_at, given, reference, find, tls_verify=tls_verify, watch=watch)
    origins = [Origin(at(one), one) for one in mirrors]
    origins.append(Origin(at(own, cert_dir=cert_dir), own))
    return Client(reference.registry, origins=origins)


def destination(
    given: Settings,
    reference: Reference,
    *,
    tls_verify: bool,
    cert_dir: str | None = None,
    watch: Watch | None = None,
) -> Uploads:
    """The repository that the image is sent to, with the user's login for it."""
    from rootless.registry import sources
    from rootless.registry.push import Uploads

    rules = sources.load(given.registries_files, given.registries_folders)
    place = rules.destination(reference)
    find = finder(given)
    session = _at(
        given, reference, find, place, tls_verify=tls_verify, cert_dir=cert_dir, watch=watch
    )
    return Uploads(session, place.repository(f"{reference.registry}/{reference.repository}"))


def finder(given: Settings) -> Find:
    """What finds the user's logins; to be called outside of the namespace."""
    from functools import partial

    from rootless.registry import auth

    return partial(auth.find, given.auth_files, inline=given.auth_text)


def session(
    given: Settings,
    registry: str,
    login: Credentials | None,
    *,
    tls_verify: bool,
    cert_dir: str | None = None,
) -> Session:
    """A session with a registry, to show `login` to it."""
    from rootless.registry import sources

    rules = sources.load(given.registries_files, given.registries_folders)
    verify = tls_verify and not rules.is_insecure(registry)
    return _session(given, registry, login, tls_verify=verify, cert_dir=cert_dir)


def watching(given: Settings, arguments: Arguments) -> Watch | None:
    """What --explain asks for, on standard error."""
    if not arguments.explain:
        return None
    import sys

    from rootless.cli import requests

    return requests.Script(sys.stderr, given.root, tls_verify=arguments.tls_verify)


def pull(
    store: Store,
    client: Client,
    reference: Reference,
    platform: Platform,
    display: TransferDisplay,
    *,
    strict: bool = True,
) -> Image:
    """Download the image, which `display` shows; a limit that is near is told.

    Unless that is `strict`, an image that is for one platform only may be for another.
    """
    from rootless.image import obtain

    with display as report:
        image = obtain.pull(
            store, reference, platform=platform, client=client, report=report, strict=strict
        )
    for registry, limit in client.limits:
        print(f"note: {registry}: {limit}", file=sys.stderr)
    return image


def _at(
    given: Settings,
    reference: Reference,
    find: Find,
    place: Place,
    *,
    tls_verify: bool,
    cert_dir: str | None = None,
    watch: Watch | None = None,
) -> Session:
    """A session with one of the places for a reference."""
    repository = place.repository(f"{reference.registry}/{reference.repository}")
    login = find(place.registry, repository)
    verify = tls_verify and not place.insecure
    return _session(given, place.registry, login, tls_verify=verify, cert_dir=cert_dir, watch=watch)


def _session(
    given: Settings,
    registry: str,
    login: Credentials | None,
    *,
    tls_verify: bool,
    cert_dir: str | None,
    watch: Watch | None = None,
) -> Session:
    from rootless import __version__
    from rootless.registry import certificates
    from rootless.registry.http import Access
    from rootless.registry.session import Session

    if cert_dir:
        trusted = certificates.in_folder(cert_dir)
    else:
        trusted = certificates.find(given.certificate_folders, registry)
    agent = f"rootless/{__version__}"
    access = Access(tls_verify, given.proxies, agent, certificates=trusted, watch=watch)
    return Session(registry, login, access)
