"""`save`, `load`, `import` and `export`: images, and a container's files, as single tar files."""

from __future__ import annotations

import os
import sys
import time

from rootless import interrupts, userns
from rootless.cli import fetch, files, words
from rootless.errors import UsageError
from rootless.oci.config import ImageConfig
from rootless.oci.reference import Reference
from rootless.store import Store, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.archive import Put, Read
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.oci.platform import Platform

    Change = Callable[[ImageConfig], ImageConfig]

_NO_ARCHIVE = "name a tar archive, a URL, or - for standard input"


def save(given: Settings, arguments: Arguments) -> int:
    """Write images to a tar archive; a file appears whole or not at all."""
    interrupts.catch()
    store = Store(given.root)
    platform = fetch.platform(arguments.platform) if arguments.platform else None
    found = [fetch.here(store, name, arguments.platform) for name in arguments.names]
    files.check_stream(arguments.output)
    userns.enter()
    from rootless.image import save

    def write(put: Put) -> None:
        save.save(store, arguments.names, put, arguments.format, platform)

    files.stream(arguments.output, write)
    for image in found:
        events.tell_image(store, "save", image.id)
    return 0


def export(given: Settings, arguments: Arguments) -> int:
    """Write all files of a container to a tar archive; a file appears whole or not at all."""
    interrupts.catch()
    from rootless.cli import finding
    from rootless.container import events as happened
    from rootless.container import export as exporting

    store = Store(given.root)
    container = finding.find(store, arguments.container)
    files.check_stream(arguments.output)
    userns.enter()
    files.stream(arguments.output, lambda put: exporting.export(store, container, put))
    happened.tell(store, "export", container.spec)
    return 0


def load(given: Settings, arguments: Arguments) -> int:
    """Read images from a tar archive."""
    interrupts.catch()
    from rootless.image import archives

    fd = files.open_archive(
        arguments.input, "an archive of images is written by: rootless save -o FILE IMAGE"
    )
    platform = fetch.platform(arguments.platform) if arguments.platform else None
    store = Store(given.root)
    userns.enter()
    for image in archives.load(store, lambda count: os.read(fd, count), platform):
        events.tell_image(store, "load", image.id)
        for reference in image.references:
            print(f"Loaded image: {reference.familiar}")
        if not image.references:
            print(f"Loaded image ID: {image.id}")
    return 0


def import_(given: Settings, arguments: Arguments) -> int:
    """Make an image of a root file system's tarball, and print its id."""
    interrupts.catch()
    reference = Reference.parse(arguments.name) if arguments.name else None
    platform = fetch.platform(arguments.platform)
    change = _change(arguments.change, platform)
    if "://" in arguments.file:
        return _import_url(given, arguments, reference, change)
    if not arguments.file:
        raise UsageError("the archive has no name", hint=_NO_ARCHIVE)
    source = "-" if arguments.file == "-" else os.path.basename(arguments.file)
    fd = files.open_archive(arguments.file, _NO_ARCHIVE)
    userns.enter()
    return _import(given, arguments, reference, change, lambda count: os.read(fd, count), source)


def _import_url(
    given: Settings, arguments: Arguments, reference: Reference | None, change: Change
) -> int:
    from rootless import __version__
    from rootless.cli import progress
    from rootless.registry import download, trust
    from rootless.registry.http import Access

    url = download.parse(arguments.file)
    shown = trust.redacted(url)
    access = Access(proxies=given.proxies, user_agent=f"rootless/{__version__}")
    userns.enter()
    with download.Download(url, access) as coming:
        print(f"Downloading from {words.escape(shown)}", file=sys.stderr)
        with progress.downloading(given, coming) as read:
            return _import(given, arguments, reference, change, read, shown)


def _import(
    given: Settings,
    arguments: Arguments,
    reference: Reference | None,
    change: Change,
    read: Read,
    source: str,
) -> int:
    from rootless.image import imports

    store = Store(given.root)
    image = imports.import_tar(
        store,
        read,
        reference,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        message=arguments.message or f"Imported from {source}",
        change=change,
    )
    events.tell_image(store, "import", image.id)
    print(image.id)
    return 0


def _change(texts: Sequence[str], platform: Platform) -> Change:
    """What --platform and --change do to the config of an imported image."""
    from rootless.build.plan.changes import Changes

    changes = Changes.parse(texts)
    changes.apply(ImageConfig(platform))  # complain before anything is unpacked
    return lambda config: changes.apply(config.replace(platform=platform))
