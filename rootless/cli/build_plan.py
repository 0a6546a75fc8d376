"""What a build is going to do, in words: `build --dry-run` and `--explain`."""

from __future__ import annotations

from rootless.build.recipes import Recipes
from rootless.build.steps import CopyFiles, MakeFolder, RunCommand
from rootless.cli import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.plan import Plan, Stage
    from rootless.build.recipes import Fetch
    from rootless.build.steps import Action, Recipe


def lines(planned: Plan, fetch: Fetch) -> Iterator[str]:
    """The needed stages in the order they are built, each with its steps; bases are fetched."""
    for recipe in Recipes(planned, fetch).ordered:
        yield from map(words.escape, _stage(planned, recipe))


def _stage(planned: Plan, recipe: Recipe) -> Iterator[str]:
    stage = recipe.stage
    yield f"stage {stage.title}, {stage.platform}, from {_base(planned, stage)}"
    for step in recipe.steps:
        yield f"  {step.text}"
        yield f"      {_deed(planned, step.action)}"
    layers = {step.location for step in recipe.steps}
    for one in stage.instructions:
        if one.location not in layers:
            first, _, _ = one.original.partition("\n")
            yield f"  {first}"
            yield "      change the image's config; nothing runs"


def _base(planned: Plan, stage: Stage) -> str:
    if stage.base is None:
        return "nothing (scratch)"
    if isinstance(stage.base, int):
        return f"stage {planned.stages[stage.base].title}"
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
        origin = f"stage {planned.stages[action.origin].title}"
    else:
        origin = f"the image {action.origin}"
    copied = [*action.sources, *(name for name, _ in action.contents)]
    return f"copy {', '.join(copied)} from {origin} to {action.destination}, as a layer"
