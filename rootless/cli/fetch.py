"""Getting an image from a registry, as `pull`, `run` and `build` do: flags, logins, progress.

`client` reads logins and may start a credential helper, which needs the user's own ids: call it
before userns.enter(). `pull` writes layers: call it after.
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.oci.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from rootless.cli.outside import Logins
    from rootless.cli.settings import Settings
    from rootless.oci.reference import Reference
    from rootless.registry.client import Client
    from rootless.registry.credentials import Credentials
    from rootless.registry.http import Access
    from rootless.registry.session import Session
    from rootless.store import Store
    from rootless.store.images import Image


def platform(text: str | None) -> Platform:
    """The platform that --platform names, else this machine's."""
    if text and "," in text:
        raise UsageError(
            f"--platform {text}: one at a time",
            hint=f"run the command once for each, beginning with --platform {text.split(',')[0]}",
        )
    return Platform.parse(text) if text else Platform.host()


def client(
    given: Settings, reference: Reference, *, tls_verify: bool, logins: Logins | None = None
) -> Client:
    """A client of the reference's registry, with the user's login for that repository.

    With `logins` it may also be made inside of the namespace.
    """
    from rootless.registry import auth
    from rootless.registry.client import Client

    if logins:
        login = logins.find(reference.registry, reference.repository)
    else:
        login = auth.find(given.auth_files, reference.registry, reference.repository)
    return Client(reference.registry, login, _access(given, tls_verify=tls_verify))


def session(
    given: Settings, registry: str, login: Credentials | None, *, tls_verify: bool
) -> Session:
    """A session with a registry, to show `login` to it."""
    from rootless.registry.session import Session

    return Session(registry, login, _access(given, tls_verify=tls_verify))


def pull(
    given: Settings,
    store: Store,
    client: Client,
    reference: Reference,
    platform: Platform,
    *,
    out: TextIO,
    quiet: bool,
) -> Image:
    """Download the image, showing progress on `out`."""
    from rootless.cli import progress
    from rootless.image import obtain

    with progress.pulling(given, out, quiet=quiet) as report:
        return obtain.pull(store, reference, platform=platform, client=client, report=report)


def _access(given: Settings, *, tls_verify: bool) -> Access:
    """How the environment and the flags would have registries reached."""
    from rootless import __version__
    from rootless.registry.http import Access

    return Access(tls_verify, given.proxies, f"rootless/{__version__}")
