"""What a build is going to do, in words: `build --dry-run` and `--explain`."""

from __future__ import annotations

from rootless.build.carry.forecast import Forecast
from rootless.build.plan.actions import CopyFiles, MakeFolder, RunCommand
from rootless.build.plan.recipes import Recipes
from rootless.cli import words
from rootless.errors import RootlessError

_KEY_DIGITS = 12
_CONFIG_ONLY = "change the image's config; nothing runs"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.carry.forecast import Foreseen
    from rootless.build.plan.actions import Action
    from rootless.build.plan.stages import Plan, Stage
    from rootless.build.plan.steps import Recipe
    from rootless.build.request import Request
    from rootless.store import Store


def lines(store: Store, request: Request) -> Iterator[str]:
    """The needed stages in the order they are built, each with its steps; bases are fetched.

    Of each step is said whether it is cached, and why not. What cannot begin is an error after
    the plan.
    """
    recipes = Recipes(request.plan, request.fetch, has_context=request.has_context)
    forecast = Forecast(store, request, recipes)
    failure = None
    try:
        forecast.look()
    except RootlessError as error:
        failure = error
    finally:
        forecast.close()
    for recipe in recipes.ordered:
        foreseen = forecast.of(recipe) if failure is None else None
        yield from map(words.escape, _stage(request.plan, recipe, foreseen))
    if failure:
        raise failure


def _stage(planned: Plan, recipe: Recipe, foreseen: list[Foreseen] | None) -> Iterator[str]:
    stage = recipe.stage
    yield f"stage {stage.title}, {stage.platform}, from {_base(planned, stage)}"
    head = stage.origin.location  # the place, too, of what the base's ONBUILD adds
    said = {}
    for place, step in enumerate(recipe.steps):
        said[step.location, step.text] = [_deed(planned, step.action)]
        if foreseen:
            said[step.location, step.text].append(_outlook(foreseen[place]))
        if step.location == head:
            yield from _indented(step.text, said[step.location, step.text])
    deeds = {location: lines for (location, _), lines in said.items()}
    for one in stage.instructions:
        yield from _indented(one.original, deeds.get(one.location, [_CONFIG_ONLY]))


def _indented(text: str, deeds: list[str]) -> Iterator[str]:
    first, _, _ = text.partition("\n")
    yield f"  {first}"
    for deed in deeds:
        yield f"      {deed}"


def _outlook(step: Foreseen) -> str:
    """Whether a step is cached, and if not, why."""
    key = f", key {step.key[:_KEY_DIGITS]}" if step.key else ""
    if step.cached:
        return f"cached{key}"
    if step.reason:
        return f"not cached{key}: {step.reason}"
    return "not looked at: all that it leads to is cached"


def _base(planned: Plan, stage: Stage) -> str:
    if stage.base is None:
        return "nothing (scratch)"
    if isinstance(stage.base, int):
        return f"stage {planned.stage(stage.base).title}"
    return f"the image {stage.base}"


def _deed(planned: Plan, action: Action) -> str:
    if isinstance(action, RunCommand):
        who, where = action.user or "root", action.cwd
        return (
            f"start {' '.join(action.argv)!r} in a sandbox, as {who} in {where}; "
            "the overlay's upper directory becomes the layer"
        )
    if isinstance(action, MakeFolder):
        return f"make the directory {action.path}"
    assert isinstance(action, CopyFiles)
    if action.origin is None:
        origin = "the context"
    elif isinstance(action.origin, int):
        origin = f"stage {planned.stage(action.origin).title}"
    else:
        origin = f"the image {action.origin}"
    copied = [*action.sources, *(name for name, _ in action.contents)]
    fetched = [one.shown for one in action.remotes]
    if fetched and not copied:
        return f"fetch {', '.join(fetched)} to {action.destination}, as a layer"
    if fetched:
        copied += fetched
    return f"copy {', '.join(copied)} from {origin} to {action.destination}, as a layer"
