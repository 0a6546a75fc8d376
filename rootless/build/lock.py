"""What a build takes from elsewhere, and the file that says what it was: `Dockerfile.lock`.

`find` goes through the stages that a build needs and asks what their images, URLs and repositories
are now; a `Lock` holds what they were. Runs in the builder, before anything is carried out; what
it fetches to know that is thrown away again. The file is sorted JSON, for people and for git.
"""

from __future__ import annotations

import os

from rootless import leanjson
from rootless.build.inputs.remotes import Remotes
from rootless.build.plan.actions import CopyFiles
from rootless.build.plan.recipes import Recipes
from rootless.build.plan.sources import UrlSource
from rootless.dockerfile.remote import GitSource
from rootless.errors import IntegrityError
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rootless.build.plan.sources import Remote
    from rootless.build.request import Request
    from rootless.dockerfile.errors import Location
    from rootless.oci.platform import Platform
    from rootless.store import Store
    from rootless.store.images import Image

_VERSION = 1
_KINDS = ("images", "urls", "git")


class Used(Record):
    """One input: `kind` is images, urls or git; `name` how the lock calls it; `now` what it is.

    An image may be known by several digests, of its list and of its manifest: `also` has them.
    What an ADD fetches is `fetched`.
    """

    kind: str
    name: str
    now: str
    location: Location
    also: tuple[str, ...] = ()
    fetched: Remote | None = None


class Lock(Record):
    """`pins`: kind → name → digest or commit."""

    pins: Mapping[str, Mapping[str, str]]

    def of(self, kind: str, name: str) -> str | None:
        """What it was; None when the lock does not know it."""
        return self.pins.get(kind, {}).get(name)

    def image(self, reference: Reference, platform: Platform) -> Digest | None:
        """The digest that an image had."""
        pinned = self.of("images", image_name(reference, platform))
        return Digest.parse(pinned) if pinned else None

    def updated(self, used: list[Used]) -> Lock:
        """With what is used as it is now; what other targets and platforms use stays."""
        pins = {kind: dict(self.pins.get(kind, {})) for kind in _KINDS}
        for one in used:
            pins[one.kind][one.name] = one.now
        return Lock(pins)

    def drifts(self, used: list[Used]) -> Iterator[tuple[Used, str | None]]:
        """What is another than it was, with what that was; None for what is not in the lock."""
        for one in used:
            was = self.of(one.kind, one.name)
            if was not in (one.now, *one.also):
                yield one, was

    def dump(self) -> str:
        """The file: JSON of two levels, a line for each input."""
        parts = [f'  "version": {_VERSION}']
        for kind in _KINDS:
            lines = [
                f"    {_string(name)}: {_string(pin)}"
                for name, pin in sorted(self.pins.get(kind, {}).items())
            ]
            if lines:
                parts.append(f'  "{kind}": {{\n' + ",\n".join(lines) + "\n  }")
        return "{\n" + ",\n".join(parts) + "\n}\n"


def _string(text: str) -> str:
    return leanjson.dumps(text).decode()


def parse(content: bytes, name: str) -> Lock:
    """The lock in a file called `name`; IntegrityError when it is none."""
    found = leanjson.loads(content, name)
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise IntegrityError(f"{name} is no lock of version {_VERSION}")
    pins = {kind: found.get(kind, {}) for kind in _KINDS}
    for kind, entries in pins.items():
        texts = isinstance(entries, dict) and all(isinstance(one, str) for one in entries.values())
        if not texts:
            raise IntegrityError(f"{name} is damaged: {kind} is no map of strings")
    for digest in pins["images"].values():
        Digest.parse(digest)
    return Lock(pins)


def image_name(reference: Reference, platform: Platform) -> str:
    """How the lock calls an image: its platforms have digests of their own."""
    return f"{reference} {platform}"


def url_name(source: UrlSource) -> str:
    """How the lock calls a file on the web: a query, which may be a token, only by a digest."""
    query = source.url[len(source.shown) :]
    if not query:
        return source.shown
    return f"{source.shown} (query {Digest.of(os.fsencode(query)).hex[:12]})"


def find(store: Store, request: Request, given: frozenset[Reference] = frozenset()) -> list[Used]:
    """All that the build takes from elsewhere and does not name by a digest itself.

    What an image of `given` is, is said with the build, not by a registry.
    """
    recipes = Recipes(request.plan, request.fetch, has_context=request.has_context)
    remotes = Remotes(store, request.reach, request.folders)
    found: dict[tuple[str, str], Used] = {}
    try:
        for one in _all(recipes, remotes, given):
            found.setdefault((one.kind, one.name), one)
    finally:
        remotes.close()
    return list(found.values())


def _all(recipes: Recipes, remotes: Remotes, given: frozenset[Reference]) -> Iterator[Used]:
    for recipe in recipes.ordered:
        stage = recipe.stage
        if isinstance(stage.base, Reference) and stage.base not in given:
            yield from _image(recipes, stage.base, stage.platform, stage.origin.location)
        for step in recipe.steps:
            for origin in step.action.origins:
                if isinstance(origin, Reference) and origin not in given:
                    yield from _image(recipes, origin, stage.platform, step.location)
            if isinstance(step.action, CopyFiles):
                for source in step.action.remotes:
                    yield from _remote(remotes, source, step.location)


def _image(
    recipes: Recipes, reference: Reference, platform: Platform, location: Location
) -> Iterator[Used]:
    if reference.digest is None:
        first, *others = digests(recipes.image(reference, platform), reference)
        name = image_name(reference, platform)
        yield Used("images", name, first, location, tuple(others))


def digests(image: Image, reference: Reference) -> list[str]:
    """The digests by which an image can be had under that name, what a registry serves first."""
    place = (reference.registry, reference.repository)
    served = [one.digest for one in image.repo_digests if (one.registry, one.repository) == place]
    return list(dict.fromkeys(str(one) for one in (*served, image.descriptor.digest)))


def _remote(remotes: Remotes, source: Remote, location: Location) -> Iterator[Used]:
    if isinstance(source, GitSource):
        if not source.is_pinned:
            name = f"{source.shown}#{source.ref}" if source.ref else source.shown
            yield Used("git", name, remotes.now(source), location, fetched=source)
    elif isinstance(source, UrlSource) and source.checksum is None:
        yield Used("urls", url_name(source), remotes.now(source), location, fetched=source)
