"""Which stages and images a build needs, found from its target backwards.

Every needed stage is resolved to steps here, before anything runs, so that all mistakes in a
Dockerfile are told at once; stages nobody needs are never looked at. The caller's `fetch` may
pull images. Runs in the builder.
"""

from __future__ import annotations

from time import monotonic

from rootless.build.plan import steps
from rootless.build.plan.actions import CopyFiles
from rootless.errors import RootlessError
from rootless.oci.config import ImageConfig
from rootless.oci.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.build.plan.actions import Action
    from rootless.build.plan.stages import Plan, Stage
    from rootless.build.plan.steps import Recipe, Step
    from rootless.dockerfile.errors import Location
    from rootless.oci.platform import Platform
    from rootless.store.images import Image

    Fetch = Callable[[Reference, Platform], Image]


class Recipes:
    """The needed stages, `ordered` as in the Dockerfile: each comes after all that it uses.

    A chain may have as many stages as a Dockerfile has lines, so nothing here recurses.
    """

    def __init__(self, plan: Plan, fetch: Fetch, *, has_context: bool) -> None:
        self._plan = plan
        self._fetch = fetch
        self._has_context = has_context
        self._by_number: dict[int, Recipe] = {}
        self._images: dict[tuple[Reference, Platform], Image] = {}
        self._seconds: dict[tuple[Reference, Platform], float] = {}
        waiting = [plan.target]
        while waiting:
            for stage in self._unresolved(waiting.pop()):
                waiting += self._resolve(stage)
        self.ordered = [self._by_number[number] for number in sorted(self._by_number)]

    @property
    def target(self) -> Recipe:
        """The last one: what the build is for."""
        return self.ordered[-1]

    def image(self, reference: Reference, platform: Platform) -> Image:
        """An image that a stage or a COPY --from names, fetched before."""
        return self._images[reference, platform]

    def config(self, stage: Stage) -> ImageConfig | None:
        """That of the image a needed stage is built on."""
        assert isinstance(stage.base, Reference)
        return self.image(stage.base, stage.platform).config

    def seconds(self, reference: Reference, platform: Platform) -> float:
        """How long it took to get an image; whoever asks again waits no more."""
        return self._seconds.pop((reference, platform), 0.0)

    def _unresolved(self, stage: Stage) -> list[Stage]:
        """`stage` and what it is built on, base first, as far as it is not resolved yet."""
        chain = []
        while stage.number not in self._by_number:
            chain.append(stage)
            if not isinstance(stage.base, int):
                break
            stage = self._plan.stage(stage.base)
        return chain[::-1]

    def _resolve(self, stage: Stage) -> list[Stage]:
        """Resolve `stage`, whose base is resolved; the stages that it copies from."""
        recipe = steps.resolve(self._plan, stage, self._base(stage))
        self._by_number[stage.number] = recipe
        origins = []
        for step in recipe.steps:
            for origin in step.action.origins:
                if isinstance(origin, int):
                    origins.append(self._plan.stage(origin))
                else:
                    self._obtain(origin, stage.platform, step.location, step.complaint)
            if step.action.reads_context:
                self._check_context(step)
        return origins

    def _check_context(self, step: Step) -> None:
        """Of an empty one nothing can be copied but all that there is."""
        named = [source for one in _copies(step.action) for source in one.sources]
        if not self._has_context and any(one.strip("./") not in ("", "*") for one in named):
            raise self._plan.dockerfile.error(
                step.complaint("there is no build context to copy from"),
                step.location,
                "name a directory as the context, and the Dockerfile with -f: -f - .",
            )

    def _base(self, stage: Stage) -> ImageConfig | Recipe:
        if stage.base is None:
            return ImageConfig(stage.platform, working_dir="/")
        if isinstance(stage.base, int):
            return self._by_number[stage.base]
        try:
            self._plan.check_image(stage.image, stage.number)
        except RootlessError as error:
            place = stage.origin.location
            raise self._plan.dockerfile.error(error.message, place, error.hint) from None
        return self._obtain(stage.base, stage.platform, stage.origin.location).config

    def _obtain(
        self,
        reference: Reference,
        platform: Platform,
        location: Location,
        complaint: Callable[[str], str] = str,
    ) -> Image:
        key = (reference, platform)
        if key not in self._images:
            started = monotonic()
            try:
                self._images[key] = self._fetch(reference, platform)
            except RootlessError as error:
                hint = self._meant(reference) or error.hint
                told = complaint(error.message)
                raise self._plan.dockerfile.error(told, location, hint) from error
            self._seconds[key] = monotonic() - started
        return self._images[key]

    def _meant(self, reference: Reference) -> str | None:
        """The stage that a name stands for which is no image."""
        from rootless import nearest

        names = [stage.name for stage in self._plan.stages if stage.name]
        return nearest.hint(reference.repository.rpartition("/")[2], names, prefix="the stage ")


def _copies(action: Action) -> list[CopyFiles]:
    """What an action takes of the context, as COPYs."""
    found = (action, *action.shown)
    return [one for one in found if isinstance(one, CopyFiles) and one.reads_context]
