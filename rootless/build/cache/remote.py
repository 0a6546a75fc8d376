"""A cache that machines share: an image of layers that steps made, with a label that says which.

Any registry keeps it, and any folder. The label `rootless.cache` of its config is JSON: {"version",
"steps": {key: [diff_id, created, made]}, "contents": {key: digest}, "mounts": {name: diff_id}};
keys are those of `cache.key`, names those of `cache.mounts`. An image that was built with an inline
cache has that label too. Keys are exact, and what a layer is made of is verified as in any pull;
that a layer is what a step makes is believed, as of an image. Read in the builder, by threads that
end before anything here returns; a crash leaves what a pull leaves.
"""

from __future__ import annotations

from rootless import leanjson
from rootless.errors import IntegrityError, NotFoundError, RootlessError
from rootless.image import pull
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest
from rootless.oci.platform import Platform
from rootless.record import Record
from rootless.store import blobs, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rootless.image.transport import Source
    from rootless.store import Store
    from rootless.store.images import Image
    from rootless.store.layers import Layer

LABEL = "rootless.cache"
_VERSION = 1


class Shared(Record):
    """What a step made: a layer, `created` as its image has it, in truth at `made`; RFC 3339."""

    diff_id: Digest
    created: str
    made: str

    @classmethod
    def decode(cls, value: object) -> Shared:
        """IntegrityError for what is none."""
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise IntegrityError("the cache has a step that is no layer")
        diff_id, created, made = (*value, "", "", "")[:3]
        return cls(Digest.parse(diff_id), created, made)


class Known(Record):
    """What a cache says: `steps` and `contents` (a digest) by key, and `mounts`, a layer that has
    what is in a cache mount, by name.
    """

    steps: Mapping[str, Shared] = {}
    contents: Mapping[str, str] = {}
    mounts: Mapping[str, Digest] = {}

    @classmethod
    def parse(cls, label: str) -> Known:
        """IntegrityError for what is no such label; nothing in one of another version."""
        value = leanjson.loads(label.encode(), "the cache")
        if not isinstance(value, dict):
            raise IntegrityError("the cache lists no steps")
        if value.get("version") != _VERSION:
            return cls()
        steps, contents = value.get("steps"), value.get("contents")
        if not isinstance(steps, dict) or not isinstance(contents, dict):
            raise IntegrityError("the cache lists no steps")
        if not all(isinstance(one, str) for one in contents.values()):
            raise IntegrityError("the cache has contents that are no digests")
        mounts = value.get("mounts", {})
        if not isinstance(mounts, dict):
            raise IntegrityError("the cache has mounts that are none")
        named = {name: Digest.parse(one) for name, one in mounts.items()}
        return cls({key: Shared.decode(one) for key, one in steps.items()}, contents, named)

    def __or__(self, other: Known) -> Known:
        """Both; where they differ, `other`."""
        return Known(
            {**self.steps, **other.steps},
            {**self.contents, **other.contents},
            {**self.mounts, **other.mounts},
        )

    def timeless(self) -> Known:
        """Without the clock's times, for an image that is to be the same when it is built again."""
        steps = {key: one.replace(made=one.created) for key, one in self.steps.items()}
        return self.replace(steps=steps)

    def encode(self) -> str:
        """As a label."""
        steps = {
            key: [str(one.diff_id), one.created, one.made]
            for key, one in sorted(self.steps.items())
        }
        contents = dict(sorted(self.contents.items()))
        value: dict[str, object] = {"version": _VERSION, "steps": steps, "contents": contents}
        if self.mounts:
            value["mounts"] = {name: str(one) for name, one in sorted(self.mounts.items())}
        return leanjson.dumps(value).decode()

    def image(self, store: Store) -> Image:
        """The cache as an image, its layers once each; it has no name, and is held."""
        wanted = [*(one.diff_id for one in self.steps.values()), *self.mounts.values()]
        found = {diff_id: layers.adopt(store, diff_id) for diff_id in wanted}
        there = sorted((one for one in found.values() if one), key=lambda one: str(one.diff_id))
        config = ImageConfig(
            Platform.host(),
            labels={LABEL: self.encode()},
            diff_ids=tuple(one.diff_id for one in there),
        )
        content = config.encode()
        store.hold([Digest.of(content)])
        blob = Descriptor(media_types.OCI_CONFIG, blobs.put(store, content), len(content))
        listed = tuple(map(images.layer_descriptor, there))
        manifest = Manifest(media_types.OCI_MANIFEST, blob, listed)
        content = manifest.encode()
        store.hold([Digest.of(content)])
        top = Descriptor(media_types.OCI_MANIFEST, blobs.put(store, content), len(content))
        return images.Image(top, manifest, config)


class Remote:
    """A cache somewhere else, asked for the first time when this store has no layer of a step."""

    def __init__(
        self, store: Store, name: str, source: Source, warn: Callable[[str], object]
    ) -> None:
        """`name` is what people call it; `warn` is told when it cannot be read, once."""
        self._store = store
        self._name = name
        self._source = source
        self._warn = warn
        self._loaded: tuple[Known, Mapping[Digest, Descriptor]] | None = None

    def find(self, key: str) -> Shared | None:
        """What the step with this key made."""
        return self._load()[0].steps.get(key)

    def mount(self, name: str) -> Digest | None:
        """The layer that has what is in a cache mount."""
        return self._load()[0].mounts.get(name)

    def contents(self, key: str) -> str | None:
        """What is recorded under a `key.contents_key`."""
        return self._load()[0].contents.get(key)

    def bring(self, diff_ids: Iterable[Digest]) -> Mapping[Digest, Layer]:
        """Fetch and unpack layers that `find` has told of; RootlessError."""
        blobs_of = self._load()[1]
        wanted = tuple((blobs_of[diff_id], diff_id) for diff_id in dict.fromkeys(diff_ids))
        if wanted:
            pull.bring(self._store, self._source, wanted, "", lambda _: None)
        found = {diff_id: layers.adopt(self._store, diff_id) for _, diff_id in wanted}
        return {diff_id: layer for diff_id, layer in found.items() if layer}

    def _load(self) -> tuple[Known, Mapping[Digest, Descriptor]]:
        if self._loaded is None:
            try:
                self._loaded = _read(self._source)
            except RootlessError as error:
                self._loaded = (Known(), {})
                self._warn(f"the cache {self._name} is not used: {error.message}")
        return self._loaded


def _read(source: Source) -> tuple[Known, Mapping[Digest, Descriptor]]:
    """What a cache knows, as far as it has the layers, and the blob of each layer."""
    known = Known()
    found: dict[Digest, Descriptor] = {}
    for manifest in _manifests(source):
        config = _config(source, manifest)
        label = config.labels.get(LABEL)
        if label is None:
            continue
        own = Known.parse(label)
        found |= {diff_id: blob for blob, diff_id in manifest.pair(config.diff_ids)}
        known |= own
    if not found:
        raise NotFoundError("it has no cache in it")
    steps = {key: one for key, one in known.steps.items() if one.diff_id in found}
    mounts = {name: one for name, one in known.mounts.items() if one in found}
    return known.replace(steps=steps, mounts=mounts), found


def _manifests(source: Source) -> Sequence[Manifest]:
    """The one, or those that an index lists: an inline cache of several platforms."""
    top = source.manifest().decode()
    if isinstance(top, Manifest):
        return [top]
    below = [source.manifest(one.digest).decode() for one in top.images]
    return [one for one in below if not isinstance(one, Index)]


def _config(source: Source, manifest: Manifest) -> ImageConfig:
    blob = manifest.config
    if blob.size > leanjson.MAX_BYTES:
        raise IntegrityError("its config is larger than 4 MiB")
    content = b"".join(source.blob(blob))
    if Digest.of(content) != blob.digest:
        raise IntegrityError(f"its config {blob.digest} has other contents")
    return ImageConfig.decode(content)
