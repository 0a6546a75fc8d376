"""What COPY --from finds in other stages and images, as digests, each computed once.

To look into layers they must be mounted; so what was found is remembered for as long as the build
runs, and in the step cache once the layers are published. Runs in the builder.
"""

from __future__ import annotations

from rootless.build.cache import local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.plan.actions import CopyFiles
    from rootless.build.stack import Stack
    from rootless.store import Store


class Origins:
    """The digests that one build knows; those of layers without names wait here for them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[tuple[int, tuple[object, ...]], tuple[Stack, str]] = {}

    def find(self, action: CopyFiles, origin: Stack) -> str | None:
        """The digest of what `action` copies from the layers `origin`; None if not known."""
        selection = _selection(action)
        if (id(origin), selection) in self._waiting:
            return self._waiting[id(origin), selection][1]
        if origin.is_published:
            return local.find_contents(self._store, origin.chain_id, selection)
        return None

    def keep(self, action: CopyFiles, origin: Stack, contents: str) -> None:
        """Remember a digest."""
        self._waiting[id(origin), _selection(action)] = (origin, contents)
        self.record()

    def record(self) -> None:
        """Tell later builds what is known of layers that are published by now."""
        for (stack_id, selection), (origin, contents) in list(self._waiting.items()):
            if origin.is_published:
                local.record_contents(self._store, origin.chain_id, selection, contents)
                del self._waiting[stack_id, selection]


def _selection(action: CopyFiles) -> tuple[object, ...]:
    return (action.sources, action.parents, action.exclude)
