"""`save`, `load` and `import`: images as single tar files."""

from __future__ import annotations

import os
import stat

from rootless import userns
from rootless.cli import files
from rootless.errors import RootlessError, UsageError
from rootless.oci.config import ImageConfig
from rootless.oci.platform import Platform
from rootless.oci.reference import Reference
from rootless.store import Store, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def save(given: Settings, arguments: Arguments) -> int:
    """Write images to a tar archive; a file appears whole or not at all."""
    store = Store(given.root)
    for name in arguments.names:
        images.resolve(store, name)
    if arguments.output is None and os.isatty(1):
        raise UsageError(
            "an archive is not for a terminal", hint="use -o FILE, or redirect the output"
        )
    userns.enter()
    if arguments.output in (None, "-"):
        _save(store, arguments, 1)
        return 0
    if _is_special(arguments.output):
        _save(store, arguments, files.open_file(arguments.output, os.O_WRONLY))
    else:
        with files.replacing(arguments.output) as fd:
            _save(store, arguments, fd)
    return 0


def _save(store: Store, arguments: Arguments, fd: int) -> None:
    from rootless.image import save

    def put(chunk: bytes) -> None:
        files.write_all(fd, chunk, arguments.output or "standard output")

    save.save(store, arguments.names, put, arguments.format)


def _is_special(path: str) -> bool:
    """Whether `path` is a pipe or a device, which is written to and not replaced."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def load(given: Settings, arguments: Arguments) -> int:
    """Read images from a tar archive."""
    from rootless.image import archives

    fd = _open(arguments.input)
    userns.enter()
    for image in archives.load(Store(given.root), lambda count: os.read(fd, count)):
        for reference in image.references:
            print(f"Loaded image: {reference.familiar}")
        if not image.references:
            print(f"Loaded image ID: {image.id}")
    return 0


def import_(given: Settings, arguments: Arguments) -> int:
    """Make an image of a root file system's tarball, and print its id."""
    import time

    from rootless.image import imports

    if "://" in arguments.file:
        raise UsageError(
            "import from a URL is not implemented", hint="download it and pipe it: curl URL | … -"
        )
    reference = Reference.parse(arguments.name) if arguments.name else None
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    source = "-" if arguments.file == "-" else os.path.basename(arguments.file)
    platform = Platform.parse(arguments.platform) if arguments.platform else Platform.host()
    change = _change(arguments.change, platform)
    fd = _open(arguments.file)
    userns.enter()
    image = imports.import_tar(
        Store(given.root),
        lambda count: os.read(fd, count),
        reference,
        created=created,
        message=arguments.message or f"Imported from {source}",
        change=change,
    )
    print(image.id)
    return 0


def _change(texts: Sequence[str], platform: Platform) -> Callable[[ImageConfig], ImageConfig]:
    """What --platform and --change do to the config of an imported image."""
    from rootless.build.changes import Changes

    changes = Changes.parse(texts)
    changes.apply(ImageConfig(platform))  # complain before anything is unpacked
    return lambda config: changes.apply(config.replace(platform=platform))


def _open(path: str | None) -> int:
    """The file to read, standard input for None and -; refused when that is a terminal."""
    if path is None or path == "-":
        if os.isatty(0):
            raise UsageError(
                "there is no archive: standard input is a terminal",
                hint="name a file, or pipe an archive in",
            )
        return 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()  # docker's words, which are Go's
        raise RootlessError(f"open {path}: {reason}", hint=_meant(path)) from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise RootlessError(
            f"read {path}: is a directory", hint="an archive is one file: pack it first, tar -c"
        )
    return fd


def _meant(path: str) -> str | None:
    """The file beside it that has nearly that name."""
    from rootless import nearest

    folder, name = os.path.split(path)
    try:
        beside = os.listdir(folder or ".")
    except OSError:
        return None
    return nearest.hint(name, beside, prefix=os.path.join(folder, ""))
