"""`manifest`: lists of images for several platforms, made, looked at and pushed."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import partial

from rootless import leanjson, userns
from rootless.cli import fetch, jsontext, progress, words
from rootless.cli.parser import Arguments
from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.image import lists, obtain
from rootless.image import registry as ends
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.registry.errors import RegistryError
from rootless.store import Store, gc, images, removal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rootless.cli.settings import Settings
    from rootless.image.transport import Document

_DOCKER = "docker://"


def create(given: Settings, arguments: Arguments) -> int:
    """Make a list of images that are here or in a registry; prints its name."""
    name = Reference.parse(arguments.name)
    store = Store(given.root)
    entries = _entries(given, arguments, store, arguments.images)
    lists.create(store, name, entries, amend=arguments.amend)
    print(f"Created manifest list {name}")
    return 0


def add(given: Settings, arguments: Arguments) -> int:
    """Add images to a list."""
    name = Reference.parse(arguments.name)
    store = Store(given.root)
    lists.read(store, name)
    entries = _entries(given, arguments, store, arguments.images)
    if changed := _annotating(arguments):
        entries = tuple(map(changed, entries))
    print(lists.add(store, name, entries))
    return 0


def annotate(given: Settings, arguments: Arguments) -> int:
    """Say of an entry of a list what it is for."""
    name = Reference.parse(arguments.name)
    store = Store(given.root)
    changed = _annotating(arguments)
    if changed is None:
        hint = "give --os, --arch, --variant, --os-version or --os-features"
        raise UsageError("there is nothing to change", hint=hint)
    wanted = _digests(given, arguments, store, name, arguments.image)

    def work(entries: tuple[Descriptor, ...]) -> tuple[Descriptor, ...]:
        return tuple(changed(entry) if entry.digest in wanted else entry for entry in entries)

    lists.change(store, name, work)
    return 0


def remove_entry(given: Settings, arguments: Arguments) -> int:
    """Take an entry out of a list."""
    name = Reference.parse(arguments.name)
    store = Store(given.root)
    wanted = _digests(given, arguments, store, name, arguments.image)
    userns.enter()
    changed = lists.change(
        store, name, lambda there: tuple(one for one in there if one.digest not in wanted)
    )
    gc.collect(store)
    print(changed)
    return 0


def inspect(given: Settings, arguments: Arguments) -> int:
    """Show a list of this store, else what a registry has under the name."""
    name = Reference.parse(arguments.name.removeprefix(_DOCKER))
    store = Store(given.root)
    try:
        lists.read(store, name)
        shown = _shown(name, partial(lists.document, store, name), verbose=arguments.verbose)
    except (NotFoundError, UsageError):
        source = ends.Source(fetch.client(given, name, tls_verify=_verify(arguments)), name)
        shown = _shown(name, source.manifest, source.blob, verbose=arguments.verbose)
    print(jsontext.indented(shown))
    return 0


def _shown(
    name: Reference,
    manifest: Callable[..., Document],
    blob: Callable[[Descriptor], Iterable[bytes]] | None = None,
    *,
    verbose: bool,
) -> object:
    """A document as it is; with `verbose` each image with its name, as docker has it.

    `manifest` gives that of a digest, or what the name stands for.
    """
    top = manifest()
    if not verbose:
        return leanjson.loads(top.content, "the manifest")
    found = top.decode()
    if isinstance(found, Index):
        return [
            _described(f"{name}@{entry.digest}", entry, manifest(entry.digest))
            for entry in found.manifests
        ]
    entry = Descriptor(found.media_type, top.digest, len(top.content))
    if blob and found.config.size <= leanjson.MAX_BYTES:
        config = ImageConfig.decode(b"".join(blob(found.config)))
        entry = entry.replace(platform=config.platform)
    return _described(str(name), entry, top)


def _described(name: str, entry: Descriptor, document: Document) -> dict[str, object]:
    from binascii import b2a_base64

    is_docker = document.decode().media_type == media_types.DOCKER_MANIFEST
    return {
        "Ref": name,
        "Descriptor": entry.encode(),
        "Raw": b2a_base64(document.content, newline=False).decode(),
        "SchemaV2Manifest" if is_docker else "OCIManifest": leanjson.loads(document.content),
    }


def push(given: Settings, arguments: Arguments) -> int:
    """Push a list with all its images; with --purge it is removed here then."""
    from rootless.cli import push as pushing

    name = Reference.parse(arguments.name)
    store = Store(given.root)
    lists.read(store, name)
    changed = {"all_tags": False, "tls_verify": _verify(arguments)}
    code = pushing.push(given, Arguments({**vars(arguments), **changed}))
    if code == 0 and arguments.purge and not arguments.dry_run:
        _forget(store, [name])
    return code


def rm(given: Settings, arguments: Arguments) -> int:
    """Remove lists; their images stay where something else needs them."""
    store = Store(given.root)
    names = [Reference.parse(text) for text in arguments.names]
    for name in names:
        lists.read(store, name)
    _forget(store, names)
    return 0


def _forget(store: Store, names: Sequence[Reference]) -> None:
    userns.enter()
    removals, _ = removal.remove(store, [str(name) for name in names])
    errors = [one.error for one in removals if one.error]
    if errors:
        raise errors[0]


def _entries(
    given: Settings, arguments: Arguments, store: Store, texts: Sequence[str]
) -> tuple[Descriptor, ...]:
    """The entries for images named on the command line: of the store first, else of a registry."""
    platform = None if arguments.all else Platform.host()
    found: list[Descriptor] = []
    for text in texts:
        image = None if text.startswith(_DOCKER) else obtain.find(store, text)
        if image:
            found += lists.local(store, image, platform)
            continue
        name = Reference.parse(text.removeprefix(_DOCKER))
        source = ends.Source(fetch.client(given, name, tls_verify=_verify(arguments)), name)
        try:
            with progress.pulling(given, sys.stderr, quiet=False) as report:
                found += lists.bring(store, source, platform, report)
        except RegistryError as error:
            obtain.suggest(store, name, error)
            raise
    return tuple(found)


def _verify(arguments: Arguments) -> bool:
    return bool(arguments.tls_verify) and not arguments.insecure


def _annotating(arguments: Arguments) -> Callable[[Descriptor], Descriptor] | None:
    """What --os, --arch and the other flags of a platform make of an entry; None without any."""
    names = ("os", "arch", "variant", "os_version", "os_features")
    if not any(getattr(arguments, name) for name in names):
        return None
    features = [one for text in arguments.os_features for one in text.split(",") if one]
    said = {"os.version": arguments.os_version, "os.features": features}

    def changed(entry: Descriptor) -> Descriptor:
        was = entry.platform or Platform.host()
        arch = arguments.arch or was.architecture
        variant = arguments.variant or ("" if arguments.arch else was.variant)
        more = {key: value for key, value in said.items() if value}
        platform = {**entry.rest.get("platform", {}), **more}
        return entry.replace(
            platform=Platform.make(arguments.os or was.os, arch, variant),
            rest={**entry.rest, "platform": platform} if platform else entry.rest,
        )

    return changed


def _digests(
    given: Settings, arguments: Arguments, store: Store, name: Reference, text: str
) -> set[Digest]:
    """The entries of a list that a person means: by digest, or by a name here or in a registry."""
    entries = lists.read(store, name).manifests
    here = {entry.digest for entry in entries}
    if text.startswith("sha256:"):
        found = {Digest.parse(text)}
    else:
        found = _named_here(store, text) & here or _served(given, arguments, text)
    if not found & here:
        digests = ", ".join(f"{one.digest} ({one.platform})" for one in entries[:20])
        raise RootlessError(
            f"the list {name.familiar} has no {words.escape(text)}", hint=f"it has {digests}"
        )
    return found & here


def _named_here(store: Store, text: str) -> set[Digest]:
    with suppress(NotFoundError):  # a registry's image, which has no name here
        image = images.resolve(store, text)
        return {entry.digest for entry in lists.local(store, image, None)}
    return set()


def _served(given: Settings, arguments: Arguments, text: str) -> set[Digest]:
    """What a registry has under a name; nothing where it cannot be asked."""
    name = Reference.parse(text.removeprefix(_DOCKER))
    with suppress(RegistryError):
        client = fetch.client(given, name, tls_verify=_verify(arguments))
        top = ends.Source(client, name).manifest()
        found = top.decode()
        listed = found.manifests if isinstance(found, Index) else ()
        return {top.digest, *(entry.digest for entry in listed)}
    return set()
