"""`buildx du` and `buildx prune`: what builds keep for later ones, listed and removed.

Counted and removed as `system df` and `system prune` do it (`store.kept`). Cache mounts hold files
of mapped ids, so the namespace is entered where there are some, and to remove anything.
"""

from __future__ import annotations

import time

from rootless.cli import builders, filters, listing, prune, words
from rootless.errors import UsageError
from rootless.store import Store, kept
from rootless.store.usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rootless.cli.filters import Filters
    from rootless.cli.parser import Arguments
    from rootless.cli.settings import Settings
    from rootless.store.kept import Cached

_FILTERS = (
    *("until", "unused-for", "id", "type", "description"),
    *("shared", "private", "inuse", "mutable", "immutable"),
)
_HEADERS = {
    "ID": "ID",
    "Reclaimable": "RECLAIMABLE",
    "Size": "SIZE",
    "LastUsedAt": "LAST ACCESSED",
}
_FIELDS = {
    **_HEADERS,
    "CreatedAt": "CREATED AT",
    "Description": "DESCRIPTION",
    "Mutable": "MUTABLE",
    "Parents": "PARENTS",
    "Shared": "SHARED",
    "Type": "TYPE",
}
_ID_DIGITS = 25  # as many as docker's have
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}


def du(given: Settings, arguments: Arguments) -> int:
    """List what the build cache keeps."""
    builders.check(given, arguments.builder)
    asked = _parse(arguments.filter)
    store = Store(given.root)
    if kept.has_mounts(store):
        from rootless import userns

        userns.enter()
    usage = Usage(store)
    everything = usage.cached()
    found = sorted(
        (one for one in everything if _is_meant(one, usage, asked)),
        key=lambda one: (_size(one, usage), one.key),
    )
    form = arguments.format or ""
    if arguments.verbose or form == "pretty":
        _print_whole(found, usage)
    elif form in ("", "table"):
        _print_table(found, usage)
    elif form.startswith("table"):
        listing.show([_row(one, usage) for one in found], _FIELDS, [*_HEADERS], form)
        return 0
    else:
        for one in found:
            listing.show_value(_value(one, usage), form)
        return 0
    if not asked.pairs:
        _print_sums(everything, usage)
    return 0


def remove(given: Settings, arguments: Arguments) -> int:
    """Remove what the build cache keeps: what no image needs, or all, as far as limits ask."""
    builders.check(given, arguments.builder)
    asked = _parse(arguments.filter)
    limits = _limits(arguments)
    everything = arguments.all
    what = " all build cache." if everything else " all dangling build cache."
    if not arguments.force and not prune.agreed(what):
        return 0
    from rootless import userns
    from rootless.store import events, removal

    store = Store(given.root)
    userns.enter()
    store.create()
    sizes: dict[str, int] = {}

    def is_meant(one: Cached, usage: Usage) -> bool:
        sizes[one.key] = _size(one, usage)
        return (everything or prune.is_dangling(one, usage)) and _is_meant(one, usage, asked)

    gone, size = removal.prune_cache(store, is_meant, limits)
    events.pruned(store, "builder", size)
    if gone:
        rows = [[_id(one), "true", words.size(sizes[one.key], 4), _used(one)] for one in gone]
        print("\n".join(words.columns([[*_HEADERS.values()], *rows])))
    print(f"Total:\t{words.size(size, 4)}")
    return 0


def _parse(texts: tuple[str, ...]) -> Filters:
    """As docker takes them: `inuse` alone says what `inuse=true` says."""
    return filters.parse([one if "=" in one else f"{one}=true" for one in texts], _FILTERS)


def _is_meant(one: Cached, usage: Usage, asked: Filters) -> bool:
    """Whether all filters allow it. A time is that of its last use; an id may be a beginning."""
    is_shared = _is_shared(one, usage)
    is_so = {
        "shared": is_shared,
        "private": not is_shared,
        "inuse": one.in_use,
        "mutable": one.is_mutable,
        "immutable": not one.is_mutable,
    }
    return (
        asked.is_old_enough(one.used)
        and all(asked.flag(key) in (None, value) for key, value in is_so.items())
        and all(one.key.startswith(value) for value in asked.values("id") if value)
        and all(one.kind == value for value in asked.values("type"))
        and all(value in one.text for value in asked.values("description"))
        and all(one.used < filters.moment(value) for value in asked.values("unused-for"))
    )


def _limits(arguments: Arguments) -> kept.Limits | None:
    """How much may stay; None where nothing was said of it."""
    older = arguments.reserved_space is None
    reserved = arguments.keep_storage if older else arguments.reserved_space
    texts = (reserved, arguments.max_used_space, arguments.min_free_space)
    if texts == (None, None, None):
        return None
    names = ("--reserved-space", "--max-used-space", "--min-free-space")
    return kept.Limits(*map(_bytes, texts, names))


def _bytes(text: str | None, name: str) -> int:
    """As docker reads a size: 512mb, 1.5GiB; units of 1024."""
    if text is None:
        return 0
    number = text.lower().rstrip("bkmgtpi ")
    unit = text.lower()[len(number) :].strip().removesuffix("b").removesuffix("i")
    try:
        if unit not in _UNITS or number.strip("0123456789.") or len(number) > 20:
            raise ValueError
        return int(float(number) * _UNITS[unit])
    except ValueError:
        raise UsageError(
            f'invalid argument "{text}" for "{name}" flag: invalid size', hint="write 10GB or 512MB"
        ) from None


def _is_shared(one: Cached, usage: Usage) -> bool:
    """Whether an image or a container has a layer of it, too."""
    return bool(one.pieces & usage.needed())


def _size(one: Cached, usage: Usage) -> int:
    return usage.size(one.pieces) + one.size


def _id(one: Cached) -> str:
    """A star is for what builds change."""
    return one.key[:_ID_DIGITS] + "*" * one.is_mutable


def _used(one: Cached) -> str:
    return words.age(max(0.0, time.time() - one.used))


def _value(one: Cached, usage: Usage) -> Mapping[str, object]:
    """docker's fields; how often it was of use nobody counts."""
    return {
        "CreatedAt": _moment(one.created),
        "Description": one.text,
        "ID": one.key[:_ID_DIGITS],
        "LastUsedAt": _used(one),
        "Mutable": one.is_mutable,
        "Parents": None,
        "Reclaimable": not one.in_use,
        "Shared": _is_shared(one, usage),
        "Size": words.size(_size(one, usage), 4),
        "Type": one.kind,
    }


def _row(one: Cached, usage: Usage) -> dict[str, str]:
    """The same as texts; what an image needs too has a star at its size."""
    row = {
        key: str(value).lower() if isinstance(value, bool) else str(value or "")
        for key, value in _value(one, usage).items()
    }
    size = row["Size"] + "*" * _is_shared(one, usage)
    return {**row, "ID": _id(one), "Size": size}


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(seconds))


def _print_table(found: Iterable[Cached], usage: Usage) -> None:
    listing.show([_row(one, usage) for one in found], _FIELDS, [*_HEADERS], "")


def _print_whole(found: Iterable[Cached], usage: Usage) -> None:
    """A paragraph for each."""
    for one in found:
        row = _row(one, usage)
        lines = {
            "ID": one.key,
            "Created at": row["CreatedAt"],
            "Mutable": row["Mutable"],
            "Reclaimable": row["Reclaimable"],
            "Shared": row["Shared"],
            "Size": row["Size"].rstrip("*"),
            "Description": row["Description"],
            "Last used": row["LastUsedAt"],
            "Type": row["Type"],
        }
        for name, value in lines.items():
            print(f"{f'{name}:'.ljust(13)} {words.escape(value)}".rstrip())
        print()


def _print_sums(everything: tuple[Cached, ...], usage: Usage) -> None:
    """What a prune gives back: each layer counts once, and none that an image needs."""
    needed = usage.needed()
    pieces = frozenset().union(*(one.pieces for one in everything))
    shared = usage.size(pieces & needed)
    private = usage.only_kept(everything)
    free = usage.only_kept(one for one in everything if not one.in_use)
    if shared:
        print(f"Shared:\t\t{words.size(shared, 4)}\nPrivate:\t{words.size(private, 4)}")
    print(f"Reclaimable:\t{words.size(free, 4)}\nTotal:\t\t{words.size(shared + private, 4)}")
