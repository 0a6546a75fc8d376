"""`save`, `load`, `import` and `export`: images, and a container's files, as single tar files."""

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

    from rootless.archive import Put
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings


def save(given: Settings, arguments: Arguments) -> int:
    """Write images to a tar archive; a file appears whole or not at all."""
    store = Store(given.root)
    for name in arguments.names:
        images.resolve(store, name)
    _check_output(arguments.output)
    userns.enter()
    from rootless.image import save

    def write(put: Put) -> None:
        save.save(store, arguments.names, put, arguments.format)

    _write(arguments.output, write)
    return 0


def export(given: Settings, arguments: Arguments) -> int:
    """Write all files of a container to a tar archive; a file appears whole or not at all."""
    from rootless.cli import commit
    from rootless.container import export as exporting

    store = Store(given.root)
    container = commit.find(store, arguments.container)
    _check_output(arguments.output)
    userns.enter()
    _write(arguments.output, lambda put: exporting.export(store, container, put))
    return 0


def _check_output(path: str | None) -> None:
    if not path and os.isatty(1):
        raise UsageError(
            "an archive is not for a terminal", hint="use -o FILE, or redirect the output"
        )


def _write(path: str | None, write: Callable[[Put], object]) -> None:
    """Call `write` with what puts chunks into the file at `path`, or to standard output."""

    def into(fd: int) -> None:
        write(lambda chunk: files.write_all(fd, chunk, path or "standard output"))

    if path in (None, "", "-"):
        into(1)
    elif os.path.isdir(path):
        raise RootlessError(f"{path} is a directory", hint="name the file to write in it")
    elif _is_special(path):
        into(files.open_file(path, os.O_WRONLY))
    else:
        with files.replacing(path) as fd:
            into(fd)


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
    if path in (None, "", "-"):
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
