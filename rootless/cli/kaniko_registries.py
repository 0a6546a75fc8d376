"""What kaniko's flags say of registries, as the files that say it to this program.

They are written into a folder of the command's own, and read beside the user's: see
`Settings.own_rules`.
"""

from __future__ import annotations

import json
import os

from rootless.errors import UsageError
from rootless.oci.reference import DOCKER_HUB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rootless.cli.parser import Arguments

_HUB = "docker.io"
_HUBS = {_HUB, DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def write(
    folder: str,
    arguments: Arguments,
    environment: Mapping[str, str],
    pushed_to: Callable[[Arguments], Iterable[str]],
) -> str:
    """Rules and certificates below `folder`; the place for Settings.own_rules."""
    insecure = {*arguments.insecure_registry, *arguments.skip_tls_verify_registry}
    if arguments.insecure or arguments.skip_tls_verify:
        insecure |= set(pushed_to(arguments))
    insecure = set(map(_known, insecure))
    mirrors = _mirrors(arguments, environment)
    os.makedirs(f"{folder}/registries.conf.d")
    text = "".join(
        _rule(one, mirrors.get(one, ()), insecure, arguments.skip_default_registry_fallback)
        for one in sorted({*mirrors, *insecure})
    )
    with open(f"{folder}/registries.conf.d/kaniko.conf", "x", encoding="utf-8") as file:
        file.write(text)
    for host, path in _pairs("--registry-certificate", arguments.registry_certificate):
        _link(folder, host, "kaniko.crt", path)
    for host, pair in _pairs("--registry-client-cert", arguments.registry_client_cert):
        certificate, comma, key = pair.partition(",")
        if not comma:
            raise UsageError(f"--registry-client-cert {host}={pair} is not HOST=CERT,KEY")
        _link(folder, host, "kaniko.cert", certificate)
        _link(folder, host, "kaniko.key", key)
    return folder


def _known(registry: str) -> str:
    """The Docker Hub has many names."""
    return _HUB if registry in _HUBS else registry


def _mirrors(arguments: Arguments, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Registry → whom to ask before it."""
    found: dict[str, list[str]] = {}
    maps = (*arguments.registry_map, environment.get("KANIKO_REGISTRY_MAP", ""))
    words = [word for text in maps for word in text.split(";") if word]
    for registry, mirror in _pairs("--registry-map", words):
        found.setdefault(_known(registry), []).append(mirror)
    hub = (*arguments.registry_mirror, environment.get("KANIKO_REGISTRY_MIRROR", ""))
    for mirror in filter(None, hub):
        found.setdefault(_HUB, []).append(mirror)
    return found


def _rule(registry: str, mirrors: Iterable[str], insecure: set[str], only: bool) -> str:  # noqa: FBT001
    """One table of containers-registries.conf(5); with `only`, the last mirror is in its place."""
    *first, last = [*mirrors, registry] if not only or not mirrors else mirrors
    lines = ["[[registry]]", f"prefix = {json.dumps(registry)}", *_place(last, insecure)]
    for mirror in first:
        lines += ["[[registry.mirror]]", *_place(mirror, insecure)]
    return "\n".join((*lines, ""))


def _place(location: str, insecure: set[str]) -> tuple[str, str]:
    is_insecure = _known(location.partition("/")[0]) in insecure
    return f"location = {json.dumps(location)}", f"insecure = {str(is_insecure).lower()}"


def _pairs(flag: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value or "/" in key:
            raise UsageError(f"{flag} {text} is not HOST=VALUE")
        yield key, value


def _link(folder: str, host: str, name: str, path: str) -> None:
    if not os.path.isfile(path):
        raise UsageError(f"{path}: there is no such file of a certificate or key")
    os.makedirs(f"{folder}/certs.d/{host}", exist_ok=True)
    os.symlink(os.path.abspath(path), f"{folder}/certs.d/{host}/{name}")
