"""Store to registry: only what the registry lacks, compressed only where nobody has done it yet.

A layer that its manifest lists compressed goes as it is. One that it lists as a plain tar (built
here) goes in a packed form that layer.json knows, wherever that may be now; else a process packs
it, forked before the first thread starts (store.packers), while others are uploaded. The manifest
is written again with what came of that; an image that a registry served already keeps its bytes.
A crash leaves an unfinished upload, and packed blobs that the collector takes.
"""

from __future__ import annotations

from _queue import SimpleQueue
from functools import partial

from rootless import process
from rootless.errors import IntegrityError
from rootless.image import copy, registry
from rootless.image import store as ends
from rootless.image.transport import Document, Event
from rootless.oci import media_types
from rootless.oci.config import ImageConfig
from rootless.oci.descriptor import Descriptor
from rootless.oci.digest import Digest
from rootless.oci.manifest import Index, Manifest, in_words
from rootless.record import Record
from rootless.store import blobs, images, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

    from rootless.archive.compression import Compression
    from rootless.image.transport import Report, Sink
    from rootless.oci.platform import Platform
    from rootless.oci.reference import Reference
    from rootless.registry.push import Uploads
    from rootless.store import Store
    from rootless.store.images import Image
    from rootless.store.packers import Packer

_PACKED = {
    "gzip": (media_types.OCI_LAYER_GZIP, media_types.DOCKER_LAYER_GZIP),
    "zstd": (media_types.OCI_LAYER_ZSTD, media_types.DOCKER_LAYER_ZSTD),
}
_DEEPEST_INDEX = 4
_MOST_FORMS = 3  # of a layer that are asked for: each is a request


class Wishes(Record):
    """How to push: `compression` for layers that are plain tars, by default gzip.

    With a `platform` the image for it alone, without one all of an index. `twins` has other media
    types for those that the manifests name: docker's own, or OCI's. With `force` layers that a base
    lists compressed in another way are packed anew. `enter` enters the user namespace, where layers
    are read; it is called when there is something to pack. `by_digest` gives the image no tag.
    """

    enter: Callable[[], object]
    compression: Compression | None = None
    platform: Platform | None = None
    twins: Mapping[str, str] = {}
    force: bool = False
    by_digest: bool = False


def push(
    store: Store,
    image: Image,
    reference: Reference,
    uploads: Uploads,
    wishes: Wishes,
    report: Report,
) -> Document:
    """Send the image to be `reference`; the manifest or index that is there now.

    `report` is called in this thread. No thread may be running. RegistryError, NotFoundError when
    the store lacks some of it, and then the registry has nothing new under the name.
    """
    source = ends.Source(store, image)
    part, sent = _plan(store, source, image, wishes)
    elsewhere = _elsewhere(sent, uploads.registry)
    tag = "" if wishes.by_digest else reference.tag or "latest"
    sink = registry.Sink(uploads, tag, lambda digest: elsewhere.get(digest, ()))
    for layer in reversed(sent):
        report(layer.event("waiting"))
    document = part.encode()
    if document is None or sink.present() != document.digest:
        with _Sending(store, source, sink, wishes) as sending:
            sending.send(sent, report)
        document = part.put(source, sink, top=True)
        _note_sources(store, sent, f"{uploads.registry}/{uploads.repository}")
    else:
        for layer in reversed(sent):
            report(layer.event("exists"))
    images.serve(store, reference, image.descriptor, document.digest)
    return document


def repack(store: Store, image: Image, wishes: Wishes, report: Report) -> Image:
    """The image as a push would send it, in the store and held, without a name of its own."""
    source = ends.Source(store, image)
    part, sent = _plan(store, source, image, wishes)
    sink = ends.Sink(store)
    with _Sending(store, source, sink, wishes) as sending:
        sending.send(sent, report)
    document = part.put(source, sink, top=False)
    found = images.load(store, Descriptor.of(document.content, document.decode().media_type))
    images.hold(store, found)
    return found


def preview(
    store: Store, image: Image, reference: Reference, uploads: Uploads, wishes: Wishes
) -> tuple[Document | None, list[Event]]:
    """What `push` would do, by questions only, of which nothing changes anywhere.

    The manifest, where it is known before layers are packed; and for each layer, topmost first,
    the state that comes next: exists, mounted (if the registry lets us), uploading or packing.
    """
    part, sent = _plan(store, ends.Source(store, image), image, wishes)
    elsewhere = _elsewhere(sent, uploads.registry)
    sink = registry.Sink(uploads, reference.tag or "latest")
    document = part.encode()
    is_there = document is not None and sink.present() == document.digest
    return document, [
        layer.event("exists") if is_there else _forecast(store, layer, sink, elsewhere)
        for layer in reversed(sent)
    ]


def _forecast(store: Store, layer: _Layer, sink: Sink, elsewhere: dict[Digest, list[str]]) -> Event:
    if any(map(sink.has, layer.forms)):
        return layer.event("exists")
    for form in layer.forms:
        for repository in elsewhere[form.digest]:
            return layer.event("mounted", form.size, repository)
    layer.chosen = _here(store, layer)
    return layer.event("uploading" if layer.chosen else "packing")


def _plan(
    store: Store, source: ends.Source, image: Image, wishes: Wishes
) -> tuple[_Part, tuple[_Layer, ...]]:
    """What there is to push, and its layers, each once, base first."""
    plan = _Plan(store, source, wishes)
    return plan.read(_top(store, source, image, wishes.platform)), plan.layers


def _here(store: Store, layer: _Layer) -> Descriptor | None:
    """A form of the layer that is in the store, held."""
    store.hold([one.digest for one in layer.forms])
    if not layer.media_type:  # there is only one
        return layer.forms[0]
    return next((one for one in layer.forms if blobs.has(store, one.digest)), None)


def _top(store: Store, source: ends.Source, image: Image, platform: Platform | None) -> Document:
    """What to push: as docker has it, an index only when all of it is here."""
    top = source.manifest()
    if platform:
        return copy.choose(source, top, platform)[0]
    found = top.decode()
    if isinstance(found, Manifest):
        return top
    family = images.family(store, image)
    there = all(blobs.has(store, one.digest) for one in found.manifests)
    if there and {one.digest for one in found.images} == {one.digest for one, _ in family}:
        return top
    return source.manifest(
        next(descriptor.digest for descriptor, one in family if one.manifest == image.manifest)
    )


class _Layer:
    """A layer to send: as it is `listed`, or in one of its packed `forms`; `chosen` in the end."""

    def __init__(
        self, listed: Descriptor, diff_id: Digest, forms: Sequence[Descriptor], media_type: str
    ) -> None:
        """`media_type` is that of a form that is yet to be made; empty where there is one."""
        self.listed = listed
        self.diff_id = diff_id
        self.forms = tuple(forms)
        self.media_type = media_type
        self.chosen: Descriptor | None = None

    def event(self, state: str, current: int = 0, origin: str = "") -> Event:
        """News of it."""
        size = (self.chosen or self.listed).size
        return Event(self.diff_id.short, state, current, size, origin)

    def descriptor(self) -> Descriptor | None:
        """How a manifest is to list it; None when that is not known yet."""
        form = self.chosen or (self.forms[0] if self.forms else None)
        if form is None or form.digest == self.listed.digest:
            return form and self.listed
        return self.listed.of_other(self.media_type, form.digest, form.size)


class _Plan:
    """What an image or an index consists of."""

    def __init__(
        self,
        store: Store,
        source: ends.Source,
        wishes: Wishes,
    ) -> None:
        self._store = store
        self._source = source
        self._wish = wishes.compression
        self._force = wishes.force
        self._twins = wishes.twins
        self._kind = self._wish.kind if self._wish else "gzip"
        self._known: dict[tuple[Digest, Digest], _Layer] = {}

    @property
    def layers(self) -> tuple[_Layer, ...]:
        """Each once, base first."""
        return tuple(self._known.values())

    def read(self, document: Document, depth: int = 0) -> _Part:
        """A manifest with its layers, or an index with its manifests."""
        found = document.decode()
        if isinstance(found, Manifest):
            return self._image(document, found)
        if depth == _DEEPEST_INDEX:
            raise IntegrityError(f"the index {document.digest} is nested too deep")
        own = {one.digest for one in found.images}
        below = []
        for entry in found.manifests:
            content = self._source.manifest(entry.digest)
            if entry.digest in own:
                below.append(self.read(content, depth + 1))
            else:  # an attestation: its "layers" are documents
                below.append(self._as_it_is(content))
        return _Part(document, found, self._twins, parts=tuple(below))

    def _image(self, document: Document, manifest: Manifest) -> _Part:
        config = ImageConfig.decode(blobs.read(self._store, manifest.config.digest))
        is_docker = manifest.media_type == media_types.DOCKER_MANIFEST
        pairs = manifest.pair(config.diff_ids)
        return _Part(
            document,
            manifest,
            self._twins,
            tuple(self._layer(*pair, _PACKED[self._kind][is_docker]) for pair in pairs),
        )

    def _as_it_is(self, document: Document) -> _Part:
        found = document.decode()
        if isinstance(found, Index):
            raise IntegrityError(f"{document.digest} is a list in the place of an attestation")
        return _Part(
            document,
            found,
            self._twins,
            tuple(self._remembered(_Layer(one, one.digest, [one], "")) for one in found.layers),
        )

    def _layer(self, listed: Descriptor, diff_id: Digest, media_type: str) -> _Layer:
        packed = layers.packed(self._store, diff_id)
        own = next((one for one in packed if one.digest == listed.digest), listed)
        is_served = layers.SOURCES in own.annotations  # as a plain tar
        is_other = self._force and own.media_type not in _PACKED[self._kind]
        if not is_other and (listed.digest != diff_id or (is_served and self._wish is None)):
            return self._remembered(_Layer(listed, diff_id, [own], ""))
        forms = [one for one in packed if one.media_type in _PACKED[self._kind]]
        return self._remembered(_Layer(listed, diff_id, forms[:_MOST_FORMS], media_type))

    def _remembered(self, layer: _Layer) -> _Layer:
        return self._known.setdefault((layer.listed.digest, layer.diff_id), layer)


class _Part:
    """A manifest and its layers, or an index and its parts."""

    def __init__(
        self,
        document: Document,
        found: Manifest | Index,
        twins: Mapping[str, str],
        layers: tuple[_Layer, ...] = (),
        parts: tuple[_Part, ...] = (),
    ) -> None:
        self._document = document
        self._found = found
        self._twins = twins
        self._layers = layers
        self._parts = parts

    def encode(self) -> Document | None:
        """What is to be put, as it came unless something in it has changed; None when unknown."""
        if isinstance(self._found, Manifest):
            listed = [layer.descriptor() for layer in self._layers]
            new = self._found.replace(layers=tuple(filter(None, listed)))
            return None if None in listed else self._changed(new)
        below = [part.encode() for part in self._parts]
        entries = tuple(
            entry.of_other(entry.media_type, one.digest, len(one.content))
            if one.digest != entry.digest
            else entry
            for entry, one in zip(self._found.manifests, below, strict=True)
            if one
        )
        return None if None in below else self._changed(self._found.replace(manifests=entries))

    def put(self, source: ends.Source, sink: Sink, *, top: bool) -> Document:
        """Put the manifests, the deepest first, and the configs that they need."""
        for part in self._parts:
            part.put(source, sink, top=False)
        if isinstance(self._found, Manifest):
            copy.config(source, sink, self._found)
        document = self.encode()
        assert document is not None, "all layers are known by now"
        sink.put_manifest(document, top=top)
        return document

    def _changed(self, new: Manifest | Index) -> Document:
        new = in_words(new, self._twins)
        if new == self._found:
            return self._document
        content = new.encode()
        return Document(content, new.media_type, Digest.of(content))


class _Sending:
    """Layers on their way, with the processes that pack them."""

    def __init__(self, store: Store, source: ends.Source, sink: Sink, wishes: Wishes) -> None:
        self._store = store
        self._source = source
        self._sink = sink
        self._wishes = wishes
        self._packers: list[Packer] = []
        self._idle: SimpleQueue[Packer] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def send(self, wanted: Sequence[_Layer], report: Report) -> None:
        """Send what the registry lacks, the biggest first; the first failure is raised."""
        self._begin_packing(sum(_here(self._store, layer) is None for layer in wanted))
        crew = copy.Crew(report, (self._sink.stop, self._stop))

        def look(layer: _Layer) -> None:
            layer.chosen = next((one for one in layer.forms if self._sink.has(one)), None)
            if layer.chosen:
                crew.post(layer.event("exists"))

        crew.run(look, wanted)
        missing = [layer for layer in wanted if layer.chosen is None]
        missing.sort(key=lambda layer: -layer.listed.size)
        crew.run(lambda layer: self._bring(layer, crew.post), missing)

    def _begin_packing(self, count: int) -> None:
        if not count:
            return
        from rootless.store.packers import Packer

        self._wishes.enter()
        for _ in range(min(process.at_once(), count)):
            self._packers.append(Packer(self._store))
            self._idle.put(self._packers[-1])

    def _stop(self) -> None:
        for packer in self._packers:
            packer.stop()

    def _bring(self, layer: _Layer, post: Callable[[Event], object]) -> None:
        """Whatever gets the layer there, the cheapest first."""
        for form in layer.forms:
            if origin := self._sink.mount(form):
                layer.chosen = form
                post(layer.event("mounted", form.size, origin))
                return
        layer.chosen = _here(self._store, layer) or self._pack(layer, post)
        if layer.chosen not in layer.forms and self._sink.has(layer.chosen):
            post(layer.event("exists"))
            return

        def tell(state: str, current: int) -> None:
            post(layer.event(state, current))

        self._sink.put_blob(layer.chosen, partial(self._source.blob, layer.chosen), tell)

    def _pack(self, layer: _Layer, post: Callable[[Event], object]) -> Descriptor:
        from rootless.archive.compression import Compression

        packer = self._idle.get()
        how = self._wishes.compression or Compression("gzip")

        def see(done: int) -> None:
            post(layer.event("packing", done))

        is_packed = layer.listed.digest != layer.diff_id
        source = layer.listed.digest if is_packed else None
        blob = packer.pack(layer.diff_id, how, layer.media_type, see, source)
        self._idle.put(packer)
        return blob


def _elsewhere(wanted: Sequence[_Layer], host: str) -> dict[Digest, list[str]]:
    """Repositories of this registry that have a layer, the latest first."""
    return {form.digest: list(_repositories(form, host)) for one in wanted for form in one.forms}


def _repositories(form: Descriptor, host: str) -> Iterator[str]:
    for name in reversed(form.annotations.get(layers.SOURCES, "").split()):
        registry_name, _, repository = name.partition("/")
        if registry_name == host:
            yield repository


def _note_sources(store: Store, sent: Sequence[_Layer], repository: str) -> None:
    """For the next push, to another repository: these blobs can be mounted from here."""
    for layer in sent:
        found = layers.find(store, layer.diff_id)
        if found and layer.chosen and found.is_made_of(layer.chosen.digest):
            layers.remember(store, found, layer.chosen, repository)
