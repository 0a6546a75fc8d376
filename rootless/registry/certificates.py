"""Certificates for single registries: a folder HOST:PORT of *.crt, *.cert and *.key files.

containers-certs.d(5), which is docker's layout too. `*.crt` are authorities that are trusted
besides the system's; NAME.cert with NAME.key is how we show who we are. Both are for that registry
only, not for where it sends us.
"""

from __future__ import annotations

import os

from rootless.record import Record
from rootless.registry.errors import RegistryError, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from ssl import SSLContext


class Certificates(Record):
    """`authorities` and `own`: paths of PEM files, each of ours with its key."""

    authorities: tuple[str, ...] = ()
    own: tuple[tuple[str, str], ...] = ()

    def load_into(self, context: SSLContext) -> None:
        """Let `context` use them; RegistryError names a file that cannot be."""
        for path in self.authorities:
            try:
                context.load_verify_locations(path)
            except (OSError, ValueError) as error:
                raise _unusable(path, error) from None
        for path, key in self.own:
            try:
                context.load_cert_chain(path, key, password=_no_password)
            except (OSError, ValueError) as error:
                raise _unusable(path, error) from None


def find(folders: Iterable[str], registry: str) -> Certificates:
    """Those of the first of `folders` that has any for `registry`, as it is named in images."""
    for folder in folders:
        path = os.path.join(folder, registry)
        if os.path.isdir(path):
            return in_folder(path)
    return Certificates()


def in_folder(folder: str) -> Certificates:
    """All in one folder; RegistryError where one of a pair is missing."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise _unusable(folder, error) from None
    paths = [os.path.join(folder, name) for name in names]
    files = [path for path in paths if os.path.isfile(path)]
    for path in files:
        stem, _, kind = path.rpartition(".")
        other = {"cert": f"{stem}.key", "key": f"{stem}.cert"}.get(kind)
        if other and other not in files:
            raise RegistryError(
                f"{path} is of no use without {other}",
                hint="an authority's certificate is called *.crt",
            )
    own = tuple((path, f"{path[:-5]}.key") for path in files if path.endswith(".cert"))
    return Certificates(tuple(path for path in files if path.endswith(".crt")), own)


def _no_password() -> str:
    raise ValueError("its key has a password")  # OpenSSL would ask on the terminal


def _unusable(path: str, error: Exception) -> RegistryError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return RegistryError(f"{path} cannot be used: {printable(why, 200)}")
