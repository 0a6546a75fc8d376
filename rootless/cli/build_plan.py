"""What a build is going to do, in words: `build --dry-run` and `--explain`."""

from __future__ import annotations

from rootless.build.plan.actions import CopyFiles, MakeFolder, RunCommand
from rootless.build.plan.recipes import Recipes
from rootless.cli import words

_CONFIG_ONLY = "change the image's config; nothing runs"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.plan.actions import Action
    from rootless.build.plan.recipes import Fetch
    from rootless.build.plan.stages import Plan, Stage
    from rootless.build.plan.steps import Recipe


def lines(planned: Plan, fetch: Fetch, *, has_context: bool) -> Iterator[str]:
    """The needed stages in the order they are built, each with its steps; bases are fetched."""
    for recipe in Recipes(planned, fetch, has_context=has_context).ordered:
        yield from map(words.escape, _stage(planned, recipe))


def _stage(planned: Plan, recipe: Recipe) -> Iterator[str]:
    stage = recipe.stage
    yield f"stage {stage.title}, {stage.platform}, from {_base(planned, stage)}"
    head = stage.origin.location  # the place, too, of what the base's ONBUILD adds
    deeds = {step.location: _deed(planned, step.action) for step in recipe.steps}
    said = [
        (step.text, _deed(planned, step.action)) for step in recipe.steps if step.location == head
    ]
    said += [(one.original, deeds.get(one.location, _CONFIG_ONLY)) for one in stage.instructions]
    for text, deed in said:
        first, _, _ = text.partition("\n")
        yield f"  {first}"
        yield f"      {deed}"


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
