"""`build --check` of what is in layers: secrets and private keys that have reached one, or would.

Nothing is built or fetched. The steps of the image that are in the cache have layers, whose files
are read; of the context, the files that a COPY takes which is not. Files of layers belong to many
ids, so the user namespace is entered to read them. What belongs to other stages stays there.
"""

from __future__ import annotations

import os

from rootless import inroot
from rootless.build.carry import leaks
from rootless.build.carry.forecast import Forecast
from rootless.build.inputs import context as contexts
from rootless.build.inputs.selection import Selection
from rootless.build.plan.recipes import Recipes
from rootless.dockerfile.lint import Finding
from rootless.errors import RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.build.inputs.context import Context
    from rootless.build.inputs.tree import Source
    from rootless.build.plan.actions import Action
    from rootless.build.plan.steps import Recipe
    from rootless.build.request import Request
    from rootless.store import Store

RULE = "SecretsInLayer"


def find(store: Store, request: Request) -> Iterator[Finding]:
    """What there is to say of each step; nothing where the plan cannot even begin."""
    try:
        recipes = Recipes(request.plan, request.fetch, has_context=request.has_context)
    except RootlessError:
        return
    cached = _cached(store, request, recipes)
    assert request.context
    context = contexts.of(store, request.context)
    try:
        selection = Selection(context, recipes.ordered)
        for recipe in _line(recipes):
            for place, step in enumerate(recipe.steps):
                if layer := cached.get((recipe.stage.number, place)):
                    request.enter()
                    told = leaks.within(layer, request.surroundings.secrets)
                else:
                    told = list(_taken(context, selection, step.action))
                yield from (Finding(RULE, sentence, step.location) for sentence in told)
    finally:
        context.close()


def _cached(store: Store, request: Request, recipes: Recipes) -> dict[tuple[int, int], str]:
    """The directories of layers that steps have, by stage and place; none without the base."""
    try:
        forecast = Forecast(store, request, recipes)
    except RootlessError:
        return {}
    try:
        forecast.look()
    except RootlessError:
        return {}
    finally:
        forecast.close()
    return {
        (recipe.stage.number, place): one.layer
        for recipe in recipes.ordered
        for place, one in enumerate(forecast.of(recipe))
        if one.layer
    }


def _line(recipes: Recipes) -> Iterator[Recipe]:
    """The stages whose layers the image has."""
    by_number = {one.stage.number: one for one in recipes.ordered}
    recipe = recipes.target
    yield recipe
    while isinstance(recipe.stage.base, int) and recipe.stage.base in by_number:
        recipe = by_number[recipe.stage.base]
        yield recipe


def _taken(context: Context, selection: Selection, action: Action) -> Iterator[str]:
    """Of the context's files that a step is going to take."""
    try:
        sources = selection.of(action)
    except RootlessError:  # the build will say so
        return
    for path in (path for source in sources for path in _files(source)):
        if _is_key(context.fd, path):
            yield f"a private key would be in a layer, for whoever gets that: {path}"


def _files(source: Source) -> Iterator[str]:
    if not source.folders:
        yield source.path
    for folder in source.folders:
        for name, _ in folder.files:
            yield os.path.join(source.path, folder.path, name)


def _is_key(root_fd: int, path: str) -> bool:
    """Whether the file begins as a private key; what cannot be read is none."""
    try:
        fd = inroot.open_path(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return leaks.is_key(fd)
    finally:
        os.close(fd)
