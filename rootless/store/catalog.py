"""Index entries, looked up by what a person types: a name, name@digest, an id or its beginning.

Pure but for entries that other tools wrote: their ids are read from their blobs. Every lookup of
a name costs the same, however many images there are.
"""

from __future__ import annotations

from rootless.errors import NotFoundError, RootlessError, UsageError
from rootless.oci.reference import Reference
from rootless.store import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.oci.descriptor import Descriptor
    from rootless.oci.digest import Digest

    Entries = tuple[Descriptor, ...]

_HEX = frozenset("0123456789abcdef")
_WHOLE = 64  # digits of an id


class Catalog:
    """`entries` as they were read, and `id_of` to tell the image id of one."""

    def __init__(self, entries: Entries, id_of: Callable[[Descriptor], Digest]) -> None:
        self.entries = entries
        self._id_of = id_of
        self._named = {index.name_of(entry): entry for entry in entries}
        self._same: dict[Digest, list[Descriptor]] = {}
        for entry in entries:
            self._same.setdefault(entry.digest, []).append(entry)
        self._ids: list[tuple[str, Descriptor]] = []

    def find(self, text: str) -> tuple[Descriptor, bool]:
        """The entry, and whether it was found by a name and not by an id; see `find_all`."""
        found, is_name = self.find_all(text)
        return found[-1], is_name

    def find_all(self, text: str) -> tuple[list[Descriptor], bool]:
        """The one entry that has this name, or all whose id it is, and whether it is a name.

        An image may have several manifests; the digest of one means only that. Names go first, but
        a whole id means nothing else, though a name can look like one: who pins an image must not
        get what somebody called so.

        NotFoundError, UsageError (not a name at all), or RootlessError when it is ambiguous.
        """
        beginning = text.removeprefix("sha256:")
        is_id = bool(beginning) and len(beginning) <= _WHOLE and _HEX.issuperset(beginning)
        try:
            reference = Reference.parse(text)
        except UsageError:
            if not is_id:
                raise
        else:
            is_whole = is_id and len(beginning) == _WHOLE
            if not is_whole and (entry := self._called(reference)):
                return [entry], True
        matches = self._with_id(beginning) if is_id else {}
        if len(matches) > 1:
            raise RootlessError(
                f"{text} is the beginning of {len(matches)} image ids", hint="write more of the id"
            )
        for entries in matches.values():
            return entries, False
        raise not_found(text, filter(None, self._named))

    def same(self, entry: Descriptor) -> list[Descriptor]:
        """All entries of the same image: one for each of its names."""
        return self._same.get(entry.digest, [])

    def meant(self, reference: Reference) -> str | None:
        """The name here that is most like one that is not."""
        return meant(reference.familiar.removesuffix(":latest"), filter(None, self._named))

    def _called(self, wanted: Reference) -> Descriptor | None:
        """By tag, as the name says; by digest, only what has that digest, whatever names say."""
        if wanted.digest is None:
            return self._named.get(str(wanted))
        for entry in self.entries:
            name = index.name_of(entry)
            if name and wanted.digest in (entry.digest, index.source_of(entry)):
                own = Reference.parse(name)
                if (own.registry, own.repository) == (wanted.registry, wanted.repository):
                    return entry
        return None

    def _with_id(self, beginning: str) -> dict[Digest, list[Descriptor]]:
        """By image id the entries whose id or manifest's digest begins so."""
        from bisect import bisect_left

        if not self._ids:
            ids = [(self._id_of(entry).hex, entry) for entry in self.entries]
            ids += [(entry.digest.hex, entry) for entry in self.entries]
            self._ids = sorted(ids, key=lambda pair: pair[0])
        at = bisect_left(self._ids, beginning, key=lambda pair: pair[0])
        found: dict[Digest, list[Descriptor]] = {}
        while at < len(self._ids) and self._ids[at][0].startswith(beginning):
            entry = self._ids[at][1]
            found.setdefault(self._id_of(entry), []).append(entry)
            at += 1
        return found


def not_found(text: str, known: Iterable[str] = ()) -> NotFoundError:
    """In docker's words; `known` are the full names of which one may have been meant."""
    try:
        shown = Reference.parse(text).familiar
    except UsageError:
        shown = text
    near = meant(text, known)
    cure = "list images with: rootless images, or pull it first"
    return NotFoundError(f"No such image: {shown}", hint=f"did you mean {near}?" if near else cure)


def meant(text: str, known: Iterable[str]) -> str | None:
    """The one of the full names `known` that is most like `text`, as people write it."""
    from rootless import nearest

    familiar = {Reference.parse(name).familiar for name in known}
    names = familiar | {name.removesuffix(":latest") for name in familiar}
    return next(iter(nearest.names(text, sorted(names))), None)
