"""`rmi` and podman's `untag`: names and images taken away, in docker's order and words."""

from __future__ import annotations

import sys

from rootless.cli import words
from rootless.errors import NotFoundError, RootlessError
from rootless.store import Store, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.oci.digest import Digest
    from rootless.store.removal import Removal, User


_USAGE = "usage: rootless rmi [OPTIONS] IMAGE [IMAGE...]; see 'rootless rmi --help'"


def rmi(given: Settings, arguments: Arguments) -> int:
    """Remove images by name or id, or all; goes on after an error, which is raised at the end."""
    from rootless import userns
    from rootless.store import removal

    _check(arguments)
    store = Store(given.root)
    if arguments.platform:
        return _of_platform(store, arguments)
    userns.enter()
    removals, freed = removal.remove(
        store,
        arguments.names,
        force=arguments.force,
        every=arguments.all,
        users=users(store),
    )
    errors = [one.error for one in removals if one.error and not _is_forgiven(one, arguments)]
    for one in removals:
        _print(one)
        _tell(store, one)
    for digest in freed.layers:
        print(f"Deleted: {digest}")
    if errors:
        raise RootlessError("\n".join(error.message for error in errors), hint=errors[0].hint)
    return 0


def _of_platform(store: Store, arguments: Arguments) -> int:
    """With --platform: one image of each list that is named."""
    from rootless import userns
    from rootless.cli import fetch
    from rootless.store import removal

    platform = fetch.platform(arguments.platform)
    userns.enter()
    for name in arguments.names:
        one = removal.remove_platform(
            store, name, platform, force=arguments.force, users=users(store)
        )
        if one.error:
            raise one.error
        _print(one)
    return 0


def untag(given: Settings, arguments: Arguments) -> int:
    """Take names from an image, which stays."""
    from rootless.store import removal

    removal.untag(Store(given.root), arguments.image, arguments.names)
    return 0


def users(store: Store) -> dict[Digest, User]:
    """Image id → a container that uses it; one that runs, if there is any."""
    from rootless.container import records
    from rootless.store.removal import User

    used = {image: User(name) for image, name in records.used_images(store).items()}
    running = [one for one in records.listing(store) if one.is_running]
    for one in running:
        needed = (one.image_id, *records.mounted_images(one.spec))
        used |= dict.fromkeys(needed, User(one.id, is_running=True))
    return used


def _check(arguments: Arguments) -> None:
    from rootless.cli.parser import CommandLineError

    if bool(arguments.names) == arguments.all:
        wanted = "takes no names with --all" if arguments.all else "requires at least 1 argument"
        raise CommandLineError(f"'rootless rmi' {wanted}", hint=_USAGE)


def _is_forgiven(removal: Removal, arguments: Arguments) -> bool:
    """With --force what is not there is no error, but said."""
    forgiven = arguments.force and isinstance(removal.error, NotFoundError)
    if forgiven and removal.error:
        print(words.escape(removal.error.message), file=sys.stderr)
    return bool(forgiven)


def _tell(store: Store, removal: Removal) -> None:
    for name in removal.untagged:
        events.tell_image(store, "untag", name)
    for digest in removal.deleted:
        events.tell_image(store, "delete", digest)


def _print(removal: Removal) -> None:
    for name in removal.untagged:
        print(f"Untagged: {name}")
    for digest in removal.deleted:
        print(f"Deleted: {digest}")
