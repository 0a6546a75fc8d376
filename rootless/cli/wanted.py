"""What is to come of a build: mostly an image in the store, and nothing more.

The rest is `delivery`'s, which is imported when something of it is asked for: a build whose steps
are all cached is a hot path.
"""

from __future__ import annotations

from rootless.build.request import Form
from rootless.cli.progress.output import Given
from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from rootless.cli.parser import Arguments
    from rootless.cli.progress import BuildDisplay
    from rootless.cli.settings import Settings
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.store import Store
    from rootless.store.images import Image

    class Wanted(Protocol):
        """What is to come of one command."""

        def form(self, platform: Platform) -> Form:
            """How the image for a platform is to look."""

        def deliver(
            self,
            store: Store,
            built: Sequence[Image],
            enter: Callable[[], object],
            display: BuildDisplay,
        ) -> None:
            """Hand over what was made, and say so; `enter` enters the user namespace."""


_MORE = ("annotation", "compression", "iidfile", "load", "metadata_file", "output", "push")


def wanted(
    given: Settings,
    arguments: Arguments,
    tags: tuple[Reference, ...],
    platforms: Sequence[Platform],
    epoch: int | None,
) -> Wanted:
    """As the flags say; reads the logins of registries. UsageError, RootlessError."""
    if arguments.provenance or arguments.sbom or arguments.attest:
        from rootless.cli import outputs

        outputs.refuse_attestations(arguments)
    form = _form(arguments, tags)
    if len(platforms) == 1 and not any(getattr(arguments, field) for field in _MORE):
        return Kept(form)
    from rootless.cli.delivery import Delivery

    return Delivery(given, arguments, form, platforms, epoch)


def _form(arguments: Arguments, tags: tuple[Reference, ...]) -> Form:
    squash = "new" if arguments.squash or not arguments.layers else ""
    return Form(
        tags=tags,
        labels=_labels(arguments.label),
        unset_labels=frozenset(arguments.unsetlabel),
        is_docker=arguments.format == "docker",
        squash="all" if arguments.squash_all else squash,
    )


def _labels(words: Sequence[str]) -> Mapping[str, str]:
    """`KEY=VALUE`, or `KEY` for an empty one."""
    found = {}
    for word in words:
        name, _, value = word.partition("=")
        if not name:
            raise UsageError(f"--label {word!r} has no key", hint="write KEY=VALUE")
        found[name] = value
    return found


class Kept:
    """An image in the store."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def form(self, platform: Platform) -> Form:  # noqa: ARG002 - there is one only
        """As `Wanted`."""
        return self._form

    def deliver(
        self,
        store: Store,  # noqa: ARG002 - it is there
        built: Sequence[Image],
        enter: Callable[[], object],  # noqa: ARG002
        display: BuildDisplay,
    ) -> None:
        """As `Wanted`."""
        name = str(built[0].id)
        names = [f"naming to {tag}" for tag in self._form.tags]
        display.exported(Given([f"writing image {name}", *names], name))
