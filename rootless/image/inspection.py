"""What an image is, as docker's API says it: a value for whoever looks into images.

Reads metadata only, outside the namespace; nothing is changed.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.oci.config import ImageConfig, encode_run
from rootless.record import Record
from rootless.store import blobs, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rootless.store import Store
    from rootless.store.images import Image

NEVER = "0001-01-01T00:00:00Z"
"""The time of what has not happened, in JSON made by Go."""
_CONFIG = {
    "Cmd": None,
    "Entrypoint": None,
    "Env": None,
    "Labels": None,
    "OnBuild": None,
    "User": "",
    "Volumes": None,
    "WorkingDir": "",
}
"""What the config of an image always shows."""


class Inspection(Record):
    """An image. `config` is in docker's JSON; `size` counts the files of all layers, in bytes.

    `directories` are where its layers are unpacked, the topmost first, as far as they are.
    """

    image: Image
    config: Mapping[str, Any]
    size: int
    directories: tuple[str, ...]

    def encode(self) -> dict[str, Any]:
        """The object that docker's API answers, its keys in docker's order."""
        config, platform = self.image.config, self.image.config.platform
        return {
            "Id": str(self.image.id),
            "RepoTags": [one.familiar for one in self.image.references],
            "RepoDigests": [one.familiar for one in self.image.repo_digests],
            "Parent": "",
            "Comment": config.history[-1].comment if config.history else "",
            **({"Created": self.image.created} if self.image.created else {}),
            "DockerVersion": "",
            "Author": config.author,
            "Architecture": platform.architecture,
            **({"Variant": platform.variant} if platform.variant else {}),
            "Os": platform.os,
            "Size": self.size,
            "GraphDriver": {"Data": self._overlay(), "Name": "overlay"},
            "RootFS": {"Type": "layers", "Layers": [str(one) for one in config.diff_ids]},
            "Metadata": {"LastTagTime": NEVER},
            "Descriptor": self.image.descriptor.replace(annotations={}).encode(),
            "Config": _sorted({**_CONFIG, **self.config}),
        }

    def _overlay(self) -> dict[str, str]:
        """The directories as overlayfs takes them."""
        top, below = self.directories[:1], self.directories[1:]
        data = {"LowerDir": ":".join(below), "UpperDir": "".join(top)}
        return {name: paths for name, paths in data.items() if paths}


def inspect(store: Store, image: Image) -> Inspection:
    """Look into an image of the store."""
    known = [layers.find(store, diff_id) for diff_id in reversed(image.config.diff_ids)]
    paths = tuple(layer.path for layer in known if layer)
    config = run_config(blobs.read(store, image.id))
    return Inspection(image, config, images.size(store, image), paths)


def run_config(content: bytes) -> dict[str, Any]:
    """How a container of an image runs, as docker shows it, from the bytes of the image's config.

    ArgsEscaped is BuildKit's: nothing follows from it, but docker shows it where it is.
    """
    run = encode_run(ImageConfig.decode(content))
    raw = leanjson.loads(content).get("config")
    if isinstance(raw, dict) and raw.get("ArgsEscaped") is True:
        run["ArgsEscaped"] = True
    return run


def _sorted(value: Any) -> Any:
    """The same with every object's keys in order, as docker shows what it does not look into."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value
