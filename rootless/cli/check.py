"""`system check`: everything in the store read and compared; with --repair, healed where it can be.

Layers are read and made again in forked children that enter the user namespace. This process stays
outside, because logins for registries may come from helpers that need the user's own ids.
"""

from __future__ import annotations

import sys
from functools import partial

from rootless.cli import words
from rootless.errors import RootlessError, UsageError
from rootless.oci import media_types
from rootless.oci.digest import Digest
from rootless.oci.reference import Reference
from rootless.store import check as store_check
from rootless.store import index, repair
from rootless.store.check import Fault
from rootless.store.quarantine import Quarantine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.oci.descriptor import Descriptor
    from rootless.store import Store

_WHOLE = "nothing in the store is damaged"
_FIX = "what can be healed is healed by: rootless system check --repair"


def check(given: Settings, arguments: Arguments) -> int:
    """Print a line for each thing in the store that is damaged or missing; 1 if there is any."""
    if arguments.quick and arguments.repair:
        raise UsageError(
            "--quick does not see all that --repair heals", hint="leave one of them out"
        )
    store, fault = repair.open_store(given.root, mend=arguments.repair)
    found = [*([fault] if fault else []), *_check(store, quick=arguments.quick)]
    for one in found:
        _say(one.said)
    if not found:
        print(_WHOLE)
        return 0
    if not arguments.repair:
        print(_FIX, file=sys.stderr)
        return 1
    return _repair(given, store, found, tls_verify=arguments.tls_verify)


def _say(text: str) -> None:
    print(words.escape(text), flush=True)


def _check(store: Store, *, quick: bool) -> list[Fault]:
    """With `quick` no files of layers are read, which is what the user namespace is for."""

    def body() -> list[list[str]]:
        from rootless.container import check as container_check

        faults = (*store_check.check(store, files=not quick), *container_check.check(store))
        return [[one.kind, one.thing, one.said] for one in faults]

    return [Fault(*one) for one in (body() if quick else _inside(store, body))]


def _inside(store: Store, body: Callable[[], Any]) -> Any:
    """The value of `body()`, computed in the user namespace where the store has layers to read."""
    import os

    from rootless import process, userns

    def enter_first() -> Any:
        if os.path.isdir(store.path("layers")):
            userns.enter()
        return body()

    return process.run(enter_first)


def _repair(given: Settings, store: Store, found: Sequence[Fault], *, tls_verify: bool) -> int:
    """Heal, look again, until nothing changes; 1 if something is left, and what to do about it."""
    quarantine = Quarantine(store)
    fetching = _Fetching(given, store, tls_verify=tls_verify)
    before: set[Fault] = set()
    left: Sequence[Fault] = found
    while left and set(left) != before:
        before = set(left)
        for said in repair.tidy(store, left, quarantine, _container_names(store)):
            _say(said)
        for said in fetching.run(_lost(left)):
            _say(said)
        folders = [one.thing for one in left if one.kind in ("layer", "record")]
        for said in _inside(store, partial(repair.remake, store, folders)):
            _say(said)
        left = _check(store, quick=False)
    for one in left:
        _say(f"not healed: {one.said}; {_advice(store, one)}")
    if quarantine.count:
        _say(f"what was damaged is in {store.path(quarantine.name)}")
        _say("it is deleted by: rootless system prune --all")
    if not left:
        print("everything is healed")
    return 1 if left else 0


def _lost(faults: Sequence[Fault]) -> set[Digest]:
    return {Digest.parse(one.thing) for one in faults if one.kind == "blob"}


def _container_names(store: Store) -> dict[Digest, str]:
    """Image id → the full name by which a container was made of it."""
    from rootless.container import records

    names = {}
    for one in records.listing(store):
        try:
            reference = Reference.parse(one.image)
        except UsageError:
            continue
        if not reference.digest and not one.image_id.hex.startswith(one.image):
            names[one.image_id] = str(reference)
    return names


class _Fetching:
    """Asks the registries that images came from for what is lost; each complaint is said once."""

    def __init__(self, given: Settings, store: Store, *, tls_verify: bool) -> None:
        self._given = given
        self._store = store
        self._tls_verify = tls_verify
        self._said: set[str] = set()

    def run(self, lost: set[Digest]) -> Iterator[str]:
        """Fetch what is missing, `lost` being blobs that were here; a sentence for each."""
        for entry in index.read(self._store):
            for reference in index.served_as([entry]):
                if not self._lacks(entry, lost):
                    break
                yield from self._fetch(entry, reference, lost)

    def _lacks(self, entry: Descriptor, lost: set[Digest]) -> bool:
        if entry.digest in lost or any(store_check.lacks(self._store, entry)):
            return True
        return entry.media_type in media_types.INDEXES and bool(lost)

    def _fetch(self, entry: Descriptor, reference: Reference, lost: set[Digest]) -> Iterator[str]:
        from rootless.cli import fetch
        from rootless.image import refetch, registry

        try:
            client = fetch.client(self._given, reference, tls_verify=self._tls_verify)
            source = registry.Source(client, reference)
            for digest in refetch.refetch(self._store, source, entry, lost):
                yield f"fetched from {reference.familiar_name}: the blob {digest}"
        except RootlessError as error:
            said = f"{reference.familiar} cannot be fetched: {error.message}"
            if said not in self._said:
                self._said.add(said)
                yield said


def _advice(store: Store, fault: Fault) -> str:
    """What a person can do about what could not be healed."""
    if fault.kind == "running":
        return f"end and remove it with: rootless rm -f {fault.thing[:12]}"
    if fault.kind == "base":
        return f"remove it with: rootless rm {fault.thing[:12]}, and start a new one"
    if fault.kind == "volume":
        data = store.path("volumes", fault.thing, "data")
        return f"save what is in {data}, and remove it with: rootless volume rm -f {fault.thing}"
    if fault.kind != "image":
        return f"look at {store.path(fault.thing)}"
    entry = next((one for one in index.read(store) if str(one.digest) == fault.thing), None)
    name = index.name_of(entry) if entry else None
    shown = Reference.parse(name).familiar if name else fault.thing.partition(":")[2][:12]
    if entry and index.served_as([entry]):
        return f"try again when its registry can be reached, or: rootless pull {shown}"
    return f"build or load it again; or remove it with: rootless rmi {shown}"
