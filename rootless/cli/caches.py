"""The caches of a build: `--cache-from`, `--cache-to` and what else says which steps are cached.

Places are understood, and logins read, before the user namespace is entered.
"""

from __future__ import annotations

import os
from time import gmtime, strftime, time

from rootless import nearest
from rootless.build.request import Caching, Share, Warned
from rootless.cli import fetch, words
from rootless.errors import RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rootless.archive.compression import Compression
    from rootless.build.cache.remote import Known, Remote
    from rootless.build.request import Report
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.image.transport import Document, Sink, Source
    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest
    from rootless.store import Store
    from rootless.store.images import Image

REGISTRY, LOCAL, INLINE = "registry", "local", "inline"
_TYPES = (REGISTRY, LOCAL, INLINE)
_DOCKERS = ("gha", "s3", "azblob")
_FROM = {"type", "ref", "src", "tag", "digest"}
_TO = {
    "type",
    "ref",
    "dest",
    "tag",
    "mode",
    "compression",
    "compression-level",
    "ignore-error",
    "mounts",
}
_WITHOUT_EFFECT = {"force-compression", "image-manifest", "oci-mediatypes", "registry.insecure"}


class Place(Record):
    """One place of a cache: `where` is a reference or a folder, `tag` the name in the folder."""

    kind: str
    where: str = ""
    tag: str = "latest"
    whole: bool = False
    mounts: bool = False
    compression: str = ""
    may_fail: bool = False


def parse(
    given: Settings,
    store: Store,
    arguments: Arguments,
    build_args: Mapping[str, str],
    enter: Callable[[], object],
    report: Report,
) -> Caching:
    """All that the command line says of caches; UsageError."""
    return Caching(
        no_cache=arguments.no_cache,
        fresh=_fresh(arguments.no_cache_filter),
        oldest=_oldest(arguments.cache_ttl),
        sources=_sources(given, store, arguments, report),
        shares=_shares(given, store, arguments, enter, report),
        inline=_is_inline(arguments, build_args),
        why=arguments.why,
    )


def _is_inline(arguments: Arguments, build_args: Mapping[str, str]) -> bool:
    """Whether the image is to have its own cache in it."""
    wanted = build_args.get("BUILDKIT_INLINE_CACHE") in ("1", "true")
    return wanted or any(_to(text).kind == INLINE for text in arguments.cache_to)


def _oldest(text: str | None) -> str:
    """--cache-ttl: layers made before this time (RFC 3339) are none; empty without one."""
    if text is None:
        return ""
    from rootless.cli import filters

    seconds = filters.duration(text)
    if seconds is None:
        raise UsageError(
            f"--cache-ttl {text!r} is not a length of time", hint="write it as in 90m or 72h"
        )
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(max(0.0, time() - seconds)))


def _fresh(words: tuple[str, ...]) -> frozenset[str]:
    """--no-cache-filter: the names of stages."""
    return frozenset(name.strip().lower() for word in words for name in word.split(",")) - {""}


def _sources(
    given: Settings, store: Store, arguments: Arguments, report: Report
) -> tuple[Remote, ...]:
    """--cache-from."""
    if not arguments.cache_from:
        return ()
    from rootless.build.cache.remote import Remote

    return tuple(
        Remote(
            store,
            place.where,
            _source(given, place, arguments),
            lambda message: report(Warned(message)),
        )
        for place in map(_from, arguments.cache_from)
    )


def _shares(
    given: Settings,
    store: Store,
    arguments: Arguments,
    enter: Callable[[], object],
    report: Report,
) -> tuple[Share, ...]:
    """--cache-to, but for what goes into the image itself."""
    places = [place for place in map(_to, arguments.cache_to) if place.kind != INLINE]
    return tuple(
        Share(_put(given, store, place, arguments, enter, report), place.whole, place.mounts)
        for place in places
    )


def _from(text: str) -> Place:
    values = dict(_values("--cache-from", text, _FROM, "ref"))
    kind = values["type"]
    if kind == INLINE:
        raise UsageError(
            f"--cache-from {text}: an inline cache is in an image",
            hint="name the image: --cache-from type=registry,ref=IMAGE",
        )
    if kind == REGISTRY:
        return Place(kind, _needed("--cache-from", text, values, "ref"))
    folder = os.path.abspath(_needed("--cache-from", text, values, "src"))
    return Place(kind, folder, values.get("tag", "latest"))


def _to(text: str) -> Place:
    values = dict(_values("--cache-to", text, _TO, "ref"))
    kind = values["type"]
    whole = values.get("mode", "min")
    if whole not in ("min", "max"):
        raise UsageError(f"--cache-to {text}: mode is min or max")
    packed = ":".join(filter(None, (values.get("compression"), values.get("compression-level"))))
    place = Place(
        kind,
        tag=values.get("tag", "latest"),
        whole=whole == "max",
        mounts=values.get("mounts") == "true",
        compression=packed,
        may_fail=values.get("ignore-error") == "true",
    )
    if kind == INLINE:
        return place
    if kind == REGISTRY:
        return place.replace(where=_needed("--cache-to", text, values, "ref"))
    return place.replace(where=os.path.abspath(_needed("--cache-to", text, values, "dest")))


def _values(flag: str, text: str, known: set[str], bare: str) -> Iterator[tuple[str, str]]:
    """`type=TYPE,KEY=VALUE,…`, or a `bare` value of type registry."""
    fields = words.fields(text, flag)
    if len(fields) == 1 and "=" not in text:
        yield from (("type", REGISTRY), (bare, text))
        return
    if not any(field.partition("=")[0] == "type" for field in fields):
        raise UsageError(f"{flag} {text}: there is no type", hint=f"types are {', '.join(_TYPES)}")
    for field in fields:
        key, equals, value = field.strip().partition("=")
        if not equals or key not in known | _WITHOUT_EFFECT:
            raise UsageError(
                f"{flag} {text}: {key!r} is not known here",
                hint=nearest.hint(key, sorted(known)) or f"keys are {', '.join(sorted(known))}",
            )
        if key == "type" and value not in _TYPES:
            raise _unknown(flag, value)
        yield key, value


def _unknown(flag: str, kind: str) -> UsageError:
    hint = nearest.hint(kind, _TYPES) or f"types are {', '.join(_TYPES)}"
    if kind in _DOCKERS:
        hint = f"any registry keeps a cache, too: {flag} type=registry,ref=NAME:TAG"
    return UsageError(f"{flag}: a cache of type {kind} is not supported", hint=hint)


def folder(flag: str, text: str) -> str:
    """The folder of a cache of type local, as it is written; "" for other types. UsageError."""
    known, key = (_FROM, "src") if flag == "--cache-from" else (_TO, "dest")
    values = dict(_values(flag, text, known, "ref"))
    return values.get(key, "") if values["type"] == LOCAL else ""


def _needed(flag: str, text: str, values: Mapping[str, str], key: str) -> str:
    if not values.get(key):
        raise UsageError(f"{flag} {text}: there is no {key}", hint=f"add ,{key}=…")
    return values[key]


def _source(given: Settings, place: Place, arguments: Arguments) -> Source:
    if place.kind == LOCAL:
        return _Folder(place)
    from rootless.image import registry

    reference = Reference.parse(place.where)
    client = fetch.client(
        given, reference, tls_verify=arguments.tls_verify, cert_dir=arguments.cert_dir
    )
    return registry.Source(client, reference)


class _Folder:
    """A cache in an OCI layout, opened when it is asked for."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opened: Source | None = None

    def manifest(self, digest: Digest | None = None) -> Document:
        """As `transport.Source`."""
        return self._source.manifest(digest)

    def blob(self, blob: Descriptor, offset: int = 0) -> Iterator[bytes]:
        """As `transport.Source`."""
        return self._source.blob(blob, offset)

    def doubt(self) -> bool:
        """As `transport.Source`: nobody else is there to be asked."""
        return False

    def stop(self) -> None:
        """Nothing here waits for others."""

    @property
    def _source(self) -> Source:
        if self._opened is None:
            from rootless.image import folder

            opened = folder.Folder(self._place.where)
            self._opened = folder.Source(opened, folder.Layout(self._place.tag))
        return self._opened


def _put(
    given: Settings,
    store: Store,
    place: Place,
    arguments: Arguments,
    enter: Callable[[], object],
    report: Report,
) -> Callable[[Known], object]:
    """What brings a cache to its place."""
    total: Known | None = None
    send = (_into_folder if place.kind == LOCAL else _into_registry)(
        given, store, place, arguments, enter
    )

    def put(known: Known) -> None:
        nonlocal total
        total = known if total is None else total | known  # of several platforms
        try:
            send(total.image(store))
        except RootlessError as error:
            if not place.may_fail:
                raise
            report(Warned(f"the cache {place.where} could not be written: {error.message}"))

    return put


def _into_folder(
    given: Settings, store: Store, place: Place, arguments: Arguments, enter: Callable[[], object]
) -> Callable[[Image], object]:
    del given, arguments

    def put(image: Image) -> None:
        from rootless.image import copy, folder
        from rootless.image import store as ends

        enter()  # layers belong to many ids
        with folder.Folder(place.where, make=True) as opened:
            sink: Sink = folder.Sink(opened, folder.Layout(place.tag))
            copy.copy(ends.Source(store, image), sink, lambda _: None)

    return put


def _into_registry(
    given: Settings, store: Store, place: Place, arguments: Arguments, enter: Callable[[], object]
) -> Callable[[Image], object]:
    from rootless.archive.compression import Compression as Packing
    from rootless.image import push

    reference = Reference.parse(place.where)
    uploads = fetch.destination(
        given, reference, tls_verify=arguments.tls_verify, cert_dir=arguments.cert_dir
    )
    packing: Compression | None = Packing.parse(place.compression) if place.compression else None

    def put(image: Image) -> None:
        push.push(store, image, reference, uploads, push.Wishes(enter, packing), lambda _: None)

    return put
