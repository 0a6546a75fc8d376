"""The way into the builder: from a request to an image.

Runs in a process with one thread, uid 0 of its user and mount namespace as soon as there is
anything to carry out. A crash leaves owned directories in `tmp/`, and every published step in the
cache.
"""

from __future__ import annotations

import os

from rootless.build.carry.builder import Builder
from rootless.build.export import image as images
from rootless.build.plan import checks
from rootless.build.plan.recipes import Recipes
from rootless.build.request import Exported, Warned
from rootless.dockerfile.lint import Options
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.build.request import Event, Report, Request
    from rootless.oci.platform import Platform
    from rootless.store import Store
    from rootless.store.images import Image


def build(store: Store, request: Request, report: Report) -> Image:
    """Build, tag and return an image; RootlessErrors have docker's exit code for builds, 1."""
    umask = os.umask(0o022)
    try:
        return _build(store, request, report)
    except RootlessError as error:
        error.exit_code = 1
        raise
    finally:
        os.umask(umask)


def build_all(store: Store, requests: Sequence[Request], report: Report) -> tuple[Image, ...]:
    """`build` one after the other, as for several platforms; steps are numbered through."""
    if len(requests) == 1:
        return (build(store, requests[0], report),)
    numbered = _Numbered(report)
    return tuple(build(store, one, numbered.reporting(one.plan.platform)) for one in requests)


class _Numbered:
    """Steps of several builds, told as those of one."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._before = 0
        self._total = 0

    def reporting(self, platform: Platform) -> Report:
        """What the next build is to report to."""
        self._before += self._total
        self._total = 0

        def pass_on(event: Event) -> None:
            if isinstance(event, Warned | Exported):
                return self._report(event)
            step = event.step
            self._total = step.total
            moved = step.replace(
                number=step.number + self._before,
                total=step.total + self._before,
                stage=f"{platform} {step.stage}".strip(),
            )
            return self._report(event.replace(step=moved))

        return pass_on


def _build(store: Store, request: Request, report: Report) -> Image:
    report = _warning_once(report)
    for message in request.plan.warnings():
        report(Warned(message))
    store.hold(())  # before any strand is carried out by a fork: what that makes is then ours too
    recipes = Recipes(
        request.plan,
        request.fetch,
        has_context=request.has_context,
    )
    _check(request, recipes, report)
    builder = Builder(store, request, report, recipes)
    try:
        stack = builder.build()
        form = request.form
        if request.caching.inline:
            from rootless.build.cache.remote import LABEL

            label = builder.known(whole=False, mounts=False).timeless().encode()
            form = form.replace(labels={**form.labels, LABEL: label})
        image = images.export(store, recipes.target, stack, request.replace(form=form))
        for share in request.caching.shares:
            share.put(builder.known(whole=share.whole, mounts=share.mounts))
    finally:
        builder.close()
    report(Exported(image))
    return image


def _check(request: Request, recipes: Recipes, report: Report) -> None:
    """Warn of what BuildKit's checks find; RootlessError where they are called errors."""
    dockerfile = request.plan.dockerfile
    options = Options.of(dockerfile, request.plan.build_args)
    needed = {one.stage.number for one in recipes.ordered}
    ignore = request.context.ignore if request.context else b""
    found = checks.find(request.plan, options, ignore, recipes.config, needed.__contains__)
    for one in found:
        place = f"{dockerfile.name}:{one.location.start_line}"
        report(Warned(f"{place}: {one.rule}: {one.detail}"))
    if violated := options.violated(found):
        raise RootlessError(violated, hint="the check directive or build-arg makes them errors")


def _warning_once(report: Report) -> Report:
    """A `report` that says nothing twice, whichever step or stage it comes from."""
    told: set[str] = set()

    def pass_on(event: Event) -> None:
        if isinstance(event, Warned):
            if event.message in told:
                return
            told.add(event.message)
        report(event)

    return pass_on
