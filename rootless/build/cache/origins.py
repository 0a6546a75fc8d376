"""What COPY --from finds in other stages and images, as digests, each computed once.

To look into layers they must be mounted; so what was found is remembered for as long as the build
runs, and in the step cache once the layers are published. There it is also known by how those
layers came about (`definition`): so a COPY from a stage can be cached though the stage was not
looked at, or is nowhere any more. Runs in the builder.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.build.cache import Cache
    from rootless.build.plan.actions import CopyFiles
    from rootless.build.stack import Stack


class Origins:
    """The digests that one build knows; those of layers without names wait here for them."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._waiting: dict[tuple[int, tuple[object, ...]], tuple[Stack, str, str]] = {}

    def find(self, action: CopyFiles, origin: Stack) -> str | None:
        """The digest of what `action` copies from the layers `origin`; None if not known."""
        selection = action.selection
        if (id(origin), selection) in self._waiting:
            return self._waiting[id(origin), selection][1]
        if origin.is_published:
            return self._cache.contents(origin.chain_id, selection)
        return None

    def find_defined(self, action: CopyFiles, definition: str) -> str | None:
        """The same for layers that need not be there, known by their definition."""
        return self._cache.contents(definition, action.selection)

    def keep(self, action: CopyFiles, origin: Stack, contents: str, definition: str) -> None:
        """Remember a digest; `definition` is empty where none may be relied on."""
        self._waiting[id(origin), action.selection] = (origin, contents, definition)
        self.record()

    def record(self) -> None:
        """Tell later builds what is known of layers that are published by now."""
        for (stack_id, selection), (origin, contents, defined) in list(self._waiting.items()):
            if origin.is_published:
                for name in filter(None, (origin.chain_id, defined)):
                    self._cache.record_contents(name, selection, contents)
                del self._waiting[stack_id, selection]
