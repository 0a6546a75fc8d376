"""The tar format: a streaming reader for whatever arrives, a deterministic writer for what we send.

Reads ustar, GNU long names (L, K) and base-256 numbers, and pax extended headers (path, linkpath,
size, uid, gid, mtime, SCHILY.xattr.*). Global pax headers are skipped, as docker does. Sparse
files are refused: image-spec layer.md forbids them. A missing end of archive is accepted, a file
cut short is not. Writes ustar, and pax only for what ustar cannot say: POSIX.1-2001 pax(1), "ustar
Interchange Format". Owners are numbers only, times are whole seconds.

Pure: no file system, and nothing is imported after loading, for the reader works inside a chroot.
Memory: one chunk of input, and at most MAX_EXTENSION for the extended headers of one entry, their
own blocks included. Time: as many steps as the input has bytes. A stream is not read again after
its end.
"""

from __future__ import annotations

from zlib import adler32

from rootless.errors import IntegrityError, RootlessError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.archive import Put, Read

BLOCK = 512
CHUNK = 1 << 18
MAX_PADDING = 64 << 20
"""Bytes after the end of an archive, which are nothing but its stream's: tools write kilobytes."""
MAX_EXTENSION = 1 << 20
MAX_PATH = 4095
_LIMIT = (1 << 55) * 10**9
"""File systems clamp times to what they can keep; this keeps the system call itself possible."""
MAX_ID = 0xFFFFFFFE
"""2³² - 1 means "leave it" to chown(2)."""
MAX_DEVICE = 8**7 - 1
"""What fits into a ustar field; the kernel's own numbers are shorter."""

FILE, LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0123456"
_OLD_FILE, _CONTIGUOUS = b"\0007"
_PAX, _GNU_NAME, _GNU_LINK = b"xLK"
_EXTENSIONS = b"xgLK"  # g: a global pax header, read and left out
_KINDS = b"\00001234567"
_DEVICES = b"34"
_XATTR = b"SCHILY.xattr."
_SPARSE = (b"GNU.sparse.", b"SCHILY.realsize")
_ZEROS = bytes(BLOCK)


class Entry:
    """One member of an archive. Mutable and plain: ten thousand of them are made a second.

    `name` has no leading or trailing slash and no `.` or `..`; the root itself is b".". `mtime` is
    in nanoseconds, `device` is (major, minor), `size` counts a file's content.
    """

    __slots__ = ("device", "gid", "kind", "link", "mode", "mtime", "name", "size", "uid", "xattrs")

    def __init__(  # noqa: PLR0913  # the fields of the format
        self,
        name: bytes,
        kind: int,
        mode: int,
        *,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime: int = 0,
        link: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: dict[bytes, bytes] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.mtime = mtime
        self.link = link
        self.device = device
        self.xattrs = xattrs or {}


def shown(name: bytes) -> str:
    """A name from an archive, safe to print on a terminal: no codec is loaded for it."""
    text = name[:200].decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def clean(name: bytes) -> bytes:
    """`name` relative to the root: b"." for the root itself; ValueError when it climbs out.

    A `..` takes away the name before it, as in Go's path.Clean, whatever that is in the tree.
    """
    name = name.strip(b"/")
    if name[:2] == b"./":
        name = name[2:]
    if name[:1] in b"./" or b"/." in name or b"//" in name:  # also when nothing is left
        parts: list[bytes] = []
        for part in name.split(b"/"):
            if part == b".." and not parts:
                raise ValueError("its name climbs out with '..'")
            if part == b"..":
                parts.pop()
            elif part not in (b"", b"."):
                parts.append(part)
        name = b"/".join(parts) or b"."
    if len(name) > MAX_PATH:
        raise ValueError(f"its name is longer than {MAX_PATH} bytes")
    if b"\0" in name:
        raise ValueError("its name contains a zero byte")
    return name


def is_header(block: bytes) -> bool:
    """Whether 512 bytes are a tar header, by its checksum: what a tar file begins with."""
    stored = block[148:156]
    try:
        return len(block) == BLOCK and _number(stored) == _sum(block) - sum(stored) + 8 * 32
    except ValueError:
        return False


class Reader:
    """Iterate for the entries; while at one, `chunk` gives its content. Skips what is not read.

    Raises IntegrityError that names the entry at fault or the last one before the damage.
    """

    def __init__(self, read: Read) -> None:
        self.left = 0
        """Bytes of the current entry's content not yet given out."""
        self._read = read
        self._buffer = b""
        self._at = 0
        self._padding = 0
        self._name = b""
        self._extension: dict[bytes, bytes] = {}
        self._extended = 0
        self._ended = False

    def __iter__(self) -> Iterator[Entry]:
        while block := self._header():
            try:
                if block[156] in _EXTENSIONS:
                    self._extend(block)
                    continue
                entry = self._entry(block)
            except ValueError as error:
                raise IntegrityError(f"the tar entry {self._where(block)}: {error}") from error
            self.left = entry.size
            self._padding = -entry.size % BLOCK
            yield entry
            while self.left:
                self.chunk()
            if self._padding:
                self._take(self._padding)

    def chunk(self) -> memoryview:
        """The next piece of the current entry's content, empty at its end."""
        if self._at >= len(self._buffer) and self.left:
            self._buffer = self._more()
            self._at = 0
            if not self._buffer:
                raise IntegrityError(f"the archive ends inside {shown(self._name)!r}")
        end = min(len(self._buffer), self._at + self.left)
        piece = memoryview(self._buffer)[self._at : end]
        self._at = end
        self.left -= len(piece)
        return piece

    def drain(self) -> None:
        """Read on to the end of the stream, so that who digests it has seen every byte.

        IntegrityError when that is too far from the archive's own end, as with /dev/zero.
        """
        left = MAX_PADDING
        while piece := self._more():
            left -= len(piece)
            if left < 0:
                raise IntegrityError(
                    f"the archive goes on for more than {MAX_PADDING >> 20} MiB after its end"
                )

    def _more(self) -> bytes:
        piece = b"" if self._ended else self._read(CHUNK)
        self._ended = not piece
        return piece

    def _take(self, count: int) -> bytes:
        """Exactly `count` bytes, fewer only at the end of the stream."""
        at, buffer = self._at, self._buffer
        if len(buffer) - at >= count:
            self._at = at + count
            return buffer[at : at + count]
        pieces = [buffer[at:]]
        missing = count - len(pieces[0])
        self._buffer, self._at = b"", 0
        while missing and (piece := self._more()):
            self._buffer = piece
            self._at = min(missing, len(piece))
            missing -= self._at
            pieces.append(piece[: self._at])
        return b"".join(pieces)

    def _header(self) -> bytes:
        """The next header block, b"" at the end of the archive."""
        block = self._take(BLOCK)
        if not block or block == _ZEROS:
            return b""
        if len(block) < BLOCK:
            raise self._no_header("the archive ends inside the header")
        if not is_header(block):
            raise self._no_header("there is a wrong checksum in the tar header")
        return block

    def _extend(self, block: bytes) -> None:
        """Keep what an extended header says about the entry that follows."""
        kind, size = block[156], _number(block[124:136])
        self._extended += BLOCK + size
        if not 0 <= size < self._extended <= MAX_EXTENSION:
            raise ValueError(f"its extended headers are over the limit of {MAX_EXTENSION} bytes")
        content = self._take(size + -size % BLOCK)[:size]
        if len(content) < size:
            raise ValueError("the archive ends inside its extended header")
        if kind == _PAX:
            self._extension.update(_pax_records(content))
        elif kind == _GNU_NAME:
            self._extension[b"path"] = content.split(b"\0", 1)[0]
        elif kind == _GNU_LINK:
            self._extension[b"linkpath"] = content.split(b"\0", 1)[0]

    def _entry(self, block: bytes) -> Entry:
        extension = self._extension
        if extension:
            self._extension = {}
        self._extended = 0
        raw_name = extension.get(b"path") or _ustar_name(block)
        kind = block[156]
        if kind == _OLD_FILE and raw_name.endswith(b"/"):  # before POSIX a slash said "directory"
            kind = DIRECTORY
        self._name = name = clean(raw_name)
        if kind not in _KINDS:
            raise ValueError(_unknown_kind(kind))
        entry = Entry(
            name,
            FILE if kind in (_OLD_FILE, _CONTIGUOUS) else kind,
            _number(block[100:108]) & 0o7777,
            uid=_number(block[108:116]),
            gid=_number(block[116:124]),
            size=_number(block[124:136]),
            mtime=_number(block[136:148]) * 10**9,
        )
        if kind in (LINK, SYMLINK):
            entry.link = extension.get(b"linkpath") or block[157:257].split(b"\0", 1)[0]
        elif kind in _DEVICES:
            entry.device = _device(block)
        if extension:
            _override(entry, extension)
        _check(entry)
        return entry

    def _no_header(self, what: str) -> IntegrityError:
        if self._name:
            return IntegrityError(f"{what} after {shown(self._name)!r}")
        return IntegrityError(f"{what} at the start", hint="is this a tar archive?")

    def _where(self, block: bytes) -> str:
        return repr(shown(self._extension.get(b"path") or _ustar_name(block)))


def _sum(block: bytes) -> int:
    """The sum of all bytes; Adler-32's lower half is that, plus one, while it stays below 65521."""
    return (adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)


def _number(field: bytes) -> int:
    digits = field.strip(b"\0 ")
    if digits.isdigit():
        return int(digits, 8)
    if not digits:
        return 0
    if not field[0] & 0x80:
        raise ValueError(f"{shown(digits)!r} is not an octal number")
    # GNU: the bits after the first are a signed binary number
    sign = 0x40 << 8 * (len(field) - 1)
    value = int.from_bytes(field, "big") & (2 * sign - 1)
    return value - 2 * sign if value & sign else value


def _ustar_name(block: bytes) -> bytes:
    name = block[:100].split(b"\0", 1)[0]
    if block[345] and block[257:263] == b"ustar\0":  # GNU keeps other things in the prefix field
        return block[345:500].split(b"\0", 1)[0] + b"/" + name
    return name


def _device(block: bytes) -> tuple[int, int]:
    major, minor = _number(block[329:337]), _number(block[337:345])
    if not (0 <= major <= MAX_DEVICE and 0 <= minor <= MAX_DEVICE):
        raise ValueError(f"its device numbers {major}, {minor} are not possible ones")
    return major, minor


def _unknown_kind(kind: int) -> str:
    if kind == ord("S"):
        return "it is a sparse file, which a layer must not contain"
    return f"it is of the unknown type {shown(bytes((kind,)))!r}"


def _pax_records(content: bytes) -> dict[bytes, bytes]:
    """Records are `length key=value\\n`, where length counts all of it."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 8)
        digits = content[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not (at < space < end <= len(content) and content[end - 1] == 10 and equals and key):
            raise ValueError("its pax header is malformed")
        records[key] = value
        at = end
    return records


def _override(entry: Entry, extension: dict[bytes, bytes]) -> None:
    """What the extended header says wins over the ustar fields; an empty value says nothing."""
    for key, value in extension.items():
        if key.startswith(_XATTR):
            if b"\0" in key:
                raise ValueError("the name of its extended attribute contains a zero byte")
            entry.xattrs[key[len(_XATTR) :]] = value
        elif key.startswith(_SPARSE):
            raise ValueError("it is a sparse file, which a layer must not contain")
        elif not value:
            continue
        elif key == b"size":
            entry.size = _decimal(value)
        elif key == b"uid":
            entry.uid = _decimal(value)
        elif key == b"gid":
            entry.gid = _decimal(value)
        elif key == b"mtime":
            entry.mtime = _nanoseconds(value)


def _decimal(value: bytes) -> int:
    if not value.removeprefix(b"-").isdigit() or len(value) > 20:
        raise ValueError(f"{shown(value)!r} in its pax header is not a number")
    return int(value)


def _nanoseconds(value: bytes) -> int:
    """Decimal seconds, rounded towards the past as POSIX wants."""
    seconds, _, fraction = value.partition(b".")
    part = _decimal((fraction + b"000000000")[:9])
    return _decimal(seconds) * 10**9 + (-part if seconds.startswith(b"-") else part)


def _check(entry: Entry) -> None:
    if entry.kind != FILE:
        entry.size = 0  # links made by old programs announce a size, but no content follows
    elif entry.size < 0:
        raise ValueError(f"its size is {entry.size}")
    if not (0 <= entry.uid <= MAX_ID and 0 <= entry.gid <= MAX_ID):
        raise ValueError(f"its owner {entry.uid}:{entry.gid} is not a possible one")
    if entry.kind in (LINK, SYMLINK):
        _check_link(entry)
    if not -_LIMIT <= entry.mtime <= _LIMIT:
        entry.mtime = _LIMIT if entry.mtime > 0 else -_LIMIT


def _check_link(entry: Entry) -> None:
    if not entry.link:
        raise ValueError("it is a link to nothing")
    if b"\0" in entry.link:
        raise ValueError("its link target contains a zero byte")
    if entry.kind == LINK:
        try:
            entry.link = clean(entry.link)
        except ValueError as error:
            raise ValueError(f"the file it links to: {error}") from None


class Writer:
    """Puts entries out in the order they come, in pieces of about CHUNK bytes."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._pending: list[bytes] = []
        self._held = 0

    def add(self, entry: Entry) -> None:
        """The header; after that of a file, exactly `entry.size` bytes go to `content`."""
        self.content(_encode(entry))

    def content(self, piece: bytes) -> None:
        self._pending.append(piece)
        self._held += len(piece)
        if self._held >= CHUNK:
            self._flush()

    def pad(self, size: int) -> None:
        """After a file's content of `size` bytes."""
        if size % BLOCK:
            self.content(_ZEROS[size % BLOCK :])

    def close(self) -> None:
        """The end of the archive: two blocks of zeros."""
        self.content(_ZEROS + _ZEROS)
        self._flush()

    def _flush(self) -> None:
        if self._held:
            self._put(b"".join(self._pending))
            self._pending.clear()
            self._held = 0


def _encode(entry: Entry) -> bytes:
    """The header blocks: a pax header only where ustar has no room."""
    name = entry.name + b"/" if entry.kind == DIRECTORY else entry.name
    if len(name) > MAX_PATH or len(entry.link) > MAX_PATH:
        raise RootlessError(f"the path {shown(name)!r} is too long for a layer")
    seconds = entry.mtime // 10**9
    records = {_XATTR + key: value for key, value in entry.xattrs.items()}
    prefix, short_name = _split(name)
    if short_name != name and not prefix:
        records[b"path"] = name
    if len(entry.link) > 100:
        records[b"linkpath"] = entry.link
    for key, number, width in (
        (b"uid", entry.uid, 7),
        (b"gid", entry.gid, 7),
        (b"size", entry.size, 11),
        (b"mtime", seconds, 11),
    ):
        if not 0 <= number < 8**width:
            records[key] = b"%d" % number
    block = _ustar(entry, prefix, short_name, seconds)
    if not records:
        return block
    content = b"".join(_record(key, records[key]) for key in sorted(records))
    header = Entry(b"", _PAX, 0o644, size=len(content))
    extended = _ustar(header, b"", b"PaxHeaders/" + short_name[:89], 0)
    return b"".join((extended, content, bytes(-len(content) % BLOCK), block))


def _split(name: bytes) -> tuple[bytes, bytes]:
    """`name` as ustar's prefix and name; cut short, without a prefix, when it does not fit."""
    if len(name) <= 100:
        return b"", name
    slash = name.rfind(b"/", 0, min(156, len(name) - 1))
    if slash > 0 and len(name) - slash - 1 <= 100:
        return name[:slash], name[slash + 1 :]
    return b"", name[:100]


def _octal(number: int, width: int) -> bytes:
    """A field of `width` and a zero byte; 0 when it does not fit, for then pax says it."""
    return b"%0*o\0" % (width, number if 0 <= number < 8**width else 0)


def _ustar(entry: Entry, prefix: bytes, name: bytes, seconds: int) -> bytes:
    major, minor = entry.device
    head = b"%b%b%b%b%b%b        %c%b" % (
        name.ljust(100, b"\0"),
        _octal(entry.mode, 7),
        _octal(entry.uid, 7),
        _octal(entry.gid, 7),
        _octal(entry.size, 11),
        _octal(seconds, 11),
        entry.kind,
        entry.link[:100].ljust(100, b"\0"),
    )
    numbers = _octal(major, 7) + _octal(minor, 7)
    tail = b"ustar\x0000%b%b%b" % (bytes(64), numbers, prefix.ljust(167, b"\0"))
    return b"%b%06o\0 %b%b" % (head[:148], _sum(head + tail), head[156:], tail)


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record, whose length counts its own digits too."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + len(b"%d" % len(rest))
    return b"%d%b" % (len(rest) + len(b"%d" % length), rest)
