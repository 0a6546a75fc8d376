"""`--build-context NAME=WHAT`: what stands for the name of an image or of a stage in a build."""

from __future__ import annotations

import os

from rootless.build.plan import stages
from rootless.build.plan.sources import FolderSource, UrlSource
from rootless.build.request import Folder
from rootless.cli import dockerfiles
from rootless.errors import NotFoundError, UsageError
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from rootless.build.plan.sources import Remote
    from rootless.oci.platform import Platform
    from rootless.store import Store
    from rootless.store.images import Image

_IMAGE, _LAYOUT = "docker-image://", "oci-layout://"


class Named(Record):
    """All of a build's: `contexts` as `stages.plan` takes them, `folders` as `Request` does.

    `layouts` are (folder, name in it) of images in OCI layouts, by the name that they stand for;
    `ids` are those of images in the store.
    """

    contexts: Mapping[str, Remote | str] = {}
    folders: Mapping[str, Folder] = {}
    layouts: Mapping[Reference, tuple[str, str]] = {}
    ids: Mapping[Reference, str] = {}

    @property
    def references(self) -> frozenset[Reference]:
        """The names that do not mean what a registry has."""
        return frozenset((*self.layouts, *self.ids))


def parse(words: tuple[str, ...]) -> Named:
    """UsageError and NotFoundError say what is wrong; the last of one name counts."""
    contexts: dict[str, Remote | str] = {}
    folders: dict[str, Folder] = {}
    layouts: dict[Reference, tuple[str, str]] = {}
    ids: dict[Reference, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise UsageError(
                f"--build-context {word!r} is not NAME=WHAT",
                hint=f"WHAT is a directory, {_IMAGE}NAME, {_LAYOUT}FOLDER, or a URL",
            )
        known = Reference.parse(stages.context_name(name))
        layouts.pop(known, None)
        ids.pop(known, None)
        if value.startswith(_LAYOUT):
            layouts[known] = layout(value.removeprefix(_LAYOUT))
            contexts[name] = str(known)
        elif image_id := _id(value):
            ids[known] = image_id
            contexts[name] = str(known)
        else:
            contexts[name] = _parse(name, value, folders)
    return Named(contexts, folders, layouts, ids)


def _id(value: str) -> str:
    """The image's id that `docker-image://sha256:…` names, "" for anything else."""
    image_id = value.removeprefix(_IMAGE)
    digits = image_id.removeprefix("sha256:")
    whole = len(digits) == 64 and set(digits) <= set("0123456789abcdef")
    return image_id if whole and value == f"{_IMAGE}sha256:{digits}" else ""


def _parse(name: str, value: str, folders: dict[str, Folder]) -> Remote | str:
    from rootless.dockerfile import remote

    if value.startswith(_IMAGE):
        image = value.removeprefix(_IMAGE)
        return image if image == "scratch" else str(Reference.parse(image))
    if not os.path.isdir(value):
        if repository := remote.git(value, short=True):
            return repository
        if remote.is_url(value):
            return UrlSource(value, unpacks=True)
        raise NotFoundError(
            f"the context {name} is to be {value!r}, which is not a directory",
            hint=f"name a directory, {_IMAGE}NAME, {_LAYOUT}FOLDER, or a URL",
        )
    directory = os.path.abspath(value)
    folders[name] = Folder(directory, dockerfiles.general_ignore(directory, value))
    return FolderSource(name)


def layout(text: str) -> tuple[str, str]:
    """FOLDER, FOLDER:TAG or FOLDER@DIGEST."""
    folder, at, digest = text.partition("@")
    if at:
        return folder, f"@{digest}"
    if os.path.isdir(text):
        return text, ""
    folder, _, tag = text.rpartition(":")
    return (folder, tag) if folder else (text, "")


def load(store: Store, path: str, name: str, platform: Platform) -> Image:
    """The image of an OCI layout, brought into the store without a name; inside the namespace."""
    from rootless.image import copy, folder
    from rootless.image import store as ends
    from rootless.oci.manifest import Manifest
    from rootless.store import images

    with folder.Folder(path) as opened:
        source = folder.Source(opened, folder.Layout(name))
        found = copy.copy(source, ends.Taking(store, ()), lambda _: None, platform=platform)
    manifest = found.decode()
    assert isinstance(manifest, Manifest)
    return images.resolve(store, str(manifest.config.digest))
