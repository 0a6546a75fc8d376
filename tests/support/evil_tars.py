"""Hostile and odd layers, named by attack; each is made for a victim directory outside.

The headers are put together by hand, so that nothing here knows what a tar should look like.
"""

from __future__ import annotations

from collections.abc import Callable

END = bytes(1024)


def member(
    name: bytes,
    kind: bytes = b"0",
    *,
    content: bytes = b"",
    link: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: bytes | None = None,
    mtime: bytes = b"00000001750",
    device: tuple[int, int] = (0, 0),
    checksum: int | None = None,
) -> bytes:
    """One entry with its content; `size` and `mtime` are raw fields, to lie with."""
    if size is None:
        size = b"%011o" % len(content)
    fields = (
        (name, 100),
        (b"%07o" % mode, 8),
        (uid if isinstance(uid, bytes) else b"%07o" % uid, 8),
        (b"%07o" % gid, 8),
        (size, 12),
        (mtime, 12),
        (b"        ", 8),
        (kind, 1),
        (link, 100),
        (b"ustar\x0000", 8),
        (b"", 64),
        (b"%07o" % device[0], 8),
        (b"%07o" % device[1], 8),
        (b"", 167),
    )
    block = b"".join(value.ljust(width, b"\0") for value, width in fields)
    assert len(block) == 512, name
    total = sum(block) if checksum is None else checksum
    block = block[:148] + b"%06o\0 " % total + block[156:]
    return block + content + bytes(-len(content) % 512)


def pax(**records: bytes) -> bytes:
    """An extended header for the entry that follows."""
    return pax_raw(b"".join(record(key.encode(), value) for key, value in records.items()))


def pax_raw(content: bytes) -> bytes:
    return member(b"PaxHeaders/x", b"x", content=content)


def record(key: bytes, value: bytes) -> bytes:
    length = 0
    while True:
        text = b"%d %b=%b\n" % (length, key, value)
        if len(text) == length:
            return text
        length = len(text)


def xattr(name: bytes, value: bytes) -> bytes:
    return pax_raw(record(b"SCHILY.xattr." + name, value))


def gnu_long(kind: bytes, name: bytes) -> bytes:
    return member(b"././@LongLink", kind, content=name + b"\0")


def directory(name: bytes, **fields) -> bytes:
    return member(name, b"5", mode=fields.pop("mode", 0o755), **fields)


def symlink(name: bytes, target: bytes) -> bytes:
    return member(name, b"2", link=target, mode=0o777)


def hardlink(name: bytes, target: bytes) -> bytes:
    return member(name, b"1", link=target)


def file(name: bytes, content: bytes = b"evil", **fields) -> bytes:
    return member(name, content=content, **fields)


Attack = Callable[[bytes], bytes]
"""Victim's path → the entries, without the end of the archive."""

REFUSED: dict[str, Attack] = {
    # 1: names
    "dotdot": lambda v: file(b"../victim/file"),
    "slash-dotdot": lambda v: file(b"/../victim/file"),
    "mid-dotdot": lambda v: file(b"a/../../victim/file"),
    "bare-dotdot-file": lambda v: file(b".."),
    "bare-dotdot-dir": lambda v: directory(b"..", mode=0o777),
    # 2: the root itself
    "root-symlink": lambda v: symlink(b"./", v) + file(b"file"),
    "bare-dot-file": lambda v: file(b"."),
    "root-hardlink": lambda v: hardlink(b".", v),
    # 3: nothing of the victim's path exists inside
    "symlink-abs-write": lambda v: symlink(b"a", v) + file(b"a/file"),
    "symlink-rel-write": lambda v: symlink(b"a", b"../victim") + file(b"a/file"),
    "symlink-for-parent": lambda v: (
        directory(b"a") + file(b"a/x") + symlink(b"a", b"../victim") + file(b"a/file")
    ),
    "symlink-two-hop": lambda v: (
        directory(b"d") + symlink(b"d/up", b"..") + symlink(b"d/out", b"up/../victim")
        + file(b"d/out/file")
    ),
    "symlink-loop": lambda v: symlink(b"a", b"b") + symlink(b"b", b"a") + file(b"a/file"),
    # 5, 6, 7: hard links
    "hardlink-abs": lambda v: hardlink(b"h", v + b"/file") + file(b"h"),
    "hardlink-dotdot": lambda v: hardlink(b"h", b"../victim/file") + file(b"h"),
    "hardlink-via-symlink": lambda v: symlink(b"s", v) + hardlink(b"h", b"s/file"),
    "hardlink-cwd": lambda v: hardlink(b"h", b"secret-in-cwd"),
    "hardlink-self": lambda v: file(b"h") + hardlink(b"h", b"h"),
    "hardlink-self-alone": lambda v: hardlink(b"h", b"./h"),
    "hardlink-forward": lambda v: hardlink(b"h", b"later") + file(b"later"),
    "hardlink-directory": lambda v: directory(b"d") + hardlink(b"h", b"d"),
    "hardlink-nothing": lambda v: hardlink(b"h", b""),
    # 8: whiteouts
    "whiteout-dotdot": lambda v: file(b".wh..."),
    "whiteout-dot": lambda v: file(b".wh.."),
    "whiteout-empty": lambda v: file(b".wh."),
    "whiteout-subdir-dotdot": lambda v: directory(b"d") + file(b"d/.wh..."),
    "whiteout-climbs": lambda v: file(b"../victim/.wh.file"),
    "whiteout-via-symlink": lambda v: symlink(b"a", v) + file(b"a/.wh.file"),
    "opaque-via-symlink": lambda v: symlink(b"a", v) + file(b"a/.wh..wh..opq"),
    "whiteout-nested": lambda v: pax(path=b".wh.x/" * 600 + b".wh.y") + file(b"f"),
    "inside-whiteout": lambda v: file(b"d/.wh.x/file"),
    # 16: sizes
    "size-2pow62": lambda v: member(b"big", size=b"\x80" + (1 << 62).to_bytes(11, "big")),
    "size-negative": lambda v: member(b"big", size=b"\xff" * 12),
    "size-minus": lambda v: member(b"big", size=b"-0000000001"),
    "pax-size-negative": lambda v: pax(size=b"-1") + file(b"big"),
    "pax-huge": lambda v: member(b"x", b"x", size=b"%011o" % (1 << 30)),
    "pax-many": lambda v: pax_raw(record(b"comment", b"x" * 500_000)) * 4 + file(b"f"),
    "gnu-longname-huge": lambda v: member(b"L", b"L", size=b"77777777777"),
    # 17: damage
    "truncated-mid-file": lambda v: file(b"f", b"x" * 5000)[:2000],
    "truncated-header": lambda v: file(b"f") + file(b"g")[:300],
    "bad-checksum": lambda v: file(b"f", checksum=1),
    "bad-octal": lambda v: member(b"f", size=b"0000000019x"),
    "pax-garbage": lambda v: pax_raw(b"no length here\n") + file(b"f"),
    "pax-length-lies": lambda v: pax_raw(b"99 path=x\n") + file(b"f"),
    "pax-length-zero": lambda v: pax_raw(b"0 path=x\n") + file(b"f"),
    "pax-number-lies": lambda v: pax(uid=b"1e9") + file(b"f"),
    "pax-number-endless": lambda v: pax(uid=b"9" * 5000) + file(b"f"),
    "pax-size-too-big": lambda v: pax(size=b"9999") + file(b"f"),
    "unknown-kind": lambda v: member(b"f", b"Z"),
    # 18: names
    "nul-in-pax-path": lambda v: pax(path=b"a\0b") + file(b"f"),
    "nul-in-xattr-name": lambda v: xattr(b"user.a\0b", b"") + file(b"f"),
    "xattr-without-name": lambda v: xattr(b"user.", b"") + file(b"f"),
    "xattr-long-name": lambda v: xattr(b"user." + b"n" * 300, b"") + file(b"f"),
    "xattr-long-value": lambda v: xattr(b"user.a", b"v" * 100_000) + file(b"f"),
    "capability-noise": lambda v: xattr(b"security.capability", b"noise") + file(b"f"),
    "nul-in-pax-linkpath": lambda v: pax(linkpath=b"a\0b") + symlink(b"f", b"x"),
    "name-256": lambda v: pax(path=b"n" * 256) + file(b"f"),
    "path-5000": lambda v: pax(path=b"d/" * 2500 + b"f") + file(b"f"),
    "gnu-longname-5000": lambda v: gnu_long(b"L", b"d/" * 2500 + b"f") + file(b"f"),
    "symlink-5000": lambda v: pax(linkpath=b"t" * 5000) + symlink(b"s", b"x"),
    # 19: owners
    "uid-minus-one": lambda v: pax(uid=b"4294967295") + file(b"f"),
    "uid-negative": lambda v: pax(uid=b"-1") + file(b"f"),
    "uid-2pow40": lambda v: pax(uid=b"%d" % (1 << 40)) + file(b"f"),
    # 20: order
    "file-as-parent": lambda v: file(b"a") + file(b"a/b"),
    # 21: sparse
    "sparse-gnu": lambda v: member(b"s", b"S"),
    "sparse-pax": lambda v: pax_raw(record(b"GNU.sparse.major", b"1")) + file(b"s"),
    "sparse-star": lambda v: pax_raw(record(b"SCHILY.realsize", b"1099511627776")) + file(b"s"),
}  # fmt: skip
"""These end with an IntegrityError."""

CONTAINED: dict[str, tuple[Attack, dict[bytes, bytes | None]]] = {
    # 1
    "abs-path": (lambda v: file(b"/etc/passwd"), {b"etc": None, b"etc/passwd": b"evil"}),
    "dots-and-slashes": (
        lambda v: file(b".//a/./b//c"),
        {b"a": None, b"a/b": None, b"a/b/c": b"evil"},
    ),
    # 3: the same names exist inside, so the link leads there
    "symlink-contained": (
        lambda v: directory(v) + symlink(b"a", v) + file(b"a/file"),
        {b"a": b"-> VICTIM", b"VICTIM/file": b"evil"},
    ),
    # 4
    "symlink-last-component": (
        lambda v: symlink(b"a", v + b"/file") + file(b"a"),
        {b"a": b"evil"},
    ),
    "symlink-then-dir": (
        lambda v: symlink(b"a", v) + directory(b"a", mode=0o777) + file(b"a/file"),
        {b"a": None, b"a/file": b"evil"},
    ),
    "symlink-metadata": (
        lambda v: member(b"a", b"2", link=v + b"/file", mode=0o777, uid=7, gid=7),
        {b"a": b"-> VICTIM/file"},
    ),
    "dir-then-symlink": (
        lambda v: directory(b"a", mode=0o777) + symlink(b"a", v),
        {b"a": b"-> VICTIM"},
    ),
    "dir-then-another": (
        lambda v: directory(b"a") + file(b"a/x") + file(b"a") + directory(b"a") + file(b"a/y"),
        {b"a": None, b"a/y": b"evil"},
    ),
    "link-then-another": (
        lambda v: directory(b"d") + directory(b"e") + symlink(b"a", b"d") + file(b"a/x")
        + symlink(b"a", b"e") + file(b"a/y"),
        {b"d": None, b"e": None, b"a": b"-> e", b"d/x": b"evil", b"e/y": b"evil"},
    ),
    # 5
    "hardlink-then-write": (
        lambda v: file(b"f", b"one") + hardlink(b"h", b"/f") + file(b"h", b"two"),
        {b"f": b"one", b"h": b"two"},
    ),
    "hardlink-to-symlink": (
        lambda v: symlink(b"s", v + b"/file") + hardlink(b"h", b"s") + file(b"h"),
        {b"s": b"-> VICTIM/file", b"h": b"evil"},
    ),
    # 8, 9
    "whiteout-abs": (lambda v: file(b"/.wh.gone", b""), {b"gone": b"whiteout"}),
    "whiteout-nonempty": (lambda v: file(b".wh.gone", b"some"), {b"gone": b"whiteout"}),
    "whiteout-directory": (lambda v: directory(b".wh.gone"), {b"gone": b"whiteout"}),
    "whiteout-without-parent": (
        lambda v: file(b"d/e/.wh.gone", b""),
        {b"d": None, b"d/e": None, b"d/e/gone": b"whiteout"},
    ),
    "aufs": (
        lambda v: file(b".wh..wh.plnk/1") + file(b".wh..wh.aufs") + file(b"d/.wh..wh.x")
        + file(b"f"),
        {b"f": b"evil"},
    ),
    # 10
    "xattr-overlay": (
        lambda v: xattr(b"user.overlay.opaque", b"y") + directory(b"d")
        + xattr(b"trusted.overlay.redirect", b"/") + directory(b"e")
        + xattr(b"user.overlay.whiteout", b"") + file(b"f", b"")
        + xattr(b"user.rootless.node", b"b 8 0") + file(b"g", b""),
        {b"d": None, b"e": None, b"f": b"", b"g": b""},
    ),
    # 11
    "chr00-overlay-whiteout": (lambda v: member(b"keep", b"3"), {b"keep": b"device c 0 0"}),
    "blk-dev": (lambda v: member(b"sda", b"4", device=(8, 0)), {b"sda": b"device b 8 0"}),
    "chr-dev": (lambda v: member(b"mem", b"3", device=(1, 1)), {b"mem": b"device c 1 1"}),
    # 13
    "fifo": (
        lambda v: directory(b"etc") + member(b"etc/passwd", b"6"),
        {b"etc": None, b"etc/passwd": b"fifo"},
    ),
    # 17
    "no-end-blocks": (lambda v: file(b"f"), {b"f": b"evil"}),
    "trailing-garbage": (lambda v: file(b"f") + END + b"garbage" * 200, {b"f": b"evil"}),
    "pax-size-mismatch": (lambda v: pax(size=b"2") + file(b"f", b"evil"), {b"f": b"ev"}),
    "empty-file": (lambda v: b"", {}),
    "global-pax": (
        lambda v: member(b"g", b"g", content=record(b"path", b"other")) + file(b"f"),
        {b"f": b"evil"},
    ),
    # 18
    "badutf8-name": (lambda v: file(b"\xff\xfe"), {b"\xff\xfe": b"evil"}),
    "newline-name": (lambda v: file(b"a\nb\x1b[31m"), {b"a\nb\x1b[31m": b"evil"}),
    "gnu-longlink": (
        lambda v: gnu_long(b"K", b"t" * 300) + symlink(b"s", b"short"),
        {b"s": b"-> " + b"t" * 300},
    ),
    "longname": (lambda v: gnu_long(b"L", b"n" * 200) + file(b"n"), {b"n" * 200: b"evil"}),
    "name-255": (lambda v: pax(path=b"n" * 255) + file(b"f"), {b"n" * 255: b"evil"}),
    # 19
    "neg-mtime": (lambda v: pax(mtime=b"-1099511627776.5") + file(b"f"), {b"f": b"evil"}),
    "far-mtime": (lambda v: pax(mtime=b"99999999999999999999") + file(b"f"), {b"f": b"evil"}),
    # 20
    "dup-file": (lambda v: file(b"a", b"one") + file(b"a", b"two"), {b"a": b"two"}),
    "dup-file-then-dir": (
        lambda v: file(b"a") + directory(b"a") + file(b"a/b"),
        {b"a": None, b"a/b": b"evil"},
    ),
    "dup-dir-then-file": (
        lambda v: directory(b"a") + file(b"a/b") + file(b"a", b"last"),
        {b"a": b"last"},
    ),
    "old-v7-directory": (
        lambda v: member(b"d/", b"\0") + file(b"d/f"),
        {b"d": None, b"d/f": b"evil"},
    ),
}  # fmt: skip
"""These unpack, inside, to exactly this: content, b"-> target", or None for a directory."""
