"""The tar format, beside Python's own reader and writer, and against noise."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rootless.archive import tar
from rootless.errors import IntegrityError, RootlessError
from tests.support import evil_tars


def _read(content, chunk=1 << 20):
    """(entry, content) of all entries, from a stream that gives `chunk` bytes at a time."""
    stream = io.BytesIO(content)
    found = []
    reader = tar.Reader(lambda size: stream.read(min(size, chunk)))
    for entry in reader:
        pieces = []
        while piece := reader.chunk():
            pieces.append(bytes(piece))
        found.append((entry, b"".join(pieces)))
    return found


def _write(entry, content=b""):
    pieces = []
    writer = tar.Writer(pieces.append)
    writer.add(entry)
    writer.content(content)
    writer.pad(len(content))
    writer.close()
    return b"".join(pieces)


def _fields(entry):
    return {name: getattr(entry, name) for name in tar.Entry.__slots__}


quiet = settings(deadline=None, database=None)
names = (
    st.binary(min_size=1, max_size=300)
    .map(lambda raw: raw.replace(b"\0", b"0").strip(b"/"))
    .filter(lambda raw: not {b"", b".", b".."} & set(raw.split(b"/")))
)
entries = st.builds(
    tar.Entry,
    names,
    st.just(tar.FILE),
    st.integers(0, 0o7777),
    uid=st.integers(0, tar.MAX_ID),
    gid=st.integers(0, tar.MAX_ID),
    mtime=st.integers(-(1 << 40), 1 << 40).map(lambda seconds: seconds * 10**9),
    xattrs=st.dictionaries(
        st.text("abc.", min_size=1, max_size=9).map(lambda name: b"user." + name.encode()),
        st.binary(max_size=40),
        max_size=2,
    ),
)


@given(entries, st.binary(max_size=2000), st.integers(1, 700))
@quiet
def test_what_is_written_is_read_again(entry, content, chunk):
    entry.size = len(content)
    written = _write(entry, content)
    assert len(written) % 512 == 0
    [(again, data)] = _read(written, chunk)
    assert (_fields(again), data) == (_fields(entry), content)


@given(entries, st.binary(max_size=600))
@quiet
def test_python_reads_what_is_written(entry, content):
    entry.size = len(content)
    stream = io.BytesIO(_write(entry, content))
    with tarfile.open(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:
        [member] = archive.getmembers()
        assert member.name.encode("utf-8", "surrogateescape") == entry.name
        assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
        assert int(member.mtime) * 10**9 == entry.mtime
        file = archive.extractfile(member)
        assert file is not None
        assert file.read() == content


@pytest.mark.parametrize("folder", [0, 1, 53, 99, 100, 154, 155, 156, 200])
@pytest.mark.parametrize("last", [1, 98, 99, 100, 101, 155])
def test_names_as_long_as_the_fields_of_a_header(folder, last):
    name = b"/".join(filter(None, (b"d" * folder, b"f" * last)))
    written = _write(tar.Entry(name, tar.FILE, 0o644), b"")
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        assert archive.getnames() == [name.decode()]
    needs_more = last > 100 or folder > 155 if len(name) > 100 else False
    assert (b"PaxHeaders" in written) == needs_more


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(name=names, link=names, uid=st.integers(0, 1 << 31), mtime=st.integers(0, 1 << 34))
@quiet
@example(name=b"n" * 101, link=b"l" * 101, uid=1 << 22, mtime=1 << 33)
def test_what_python_writes_is_read(form, name, link, uid, mtime):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
        member.type, member.uid, member.mtime = tarfile.SYMTYPE, uid, mtime
        member.linkname = link.decode("utf-8", "surrogateescape")
        archive.addfile(member)
    [(entry, _)] = _read(stream.getvalue())
    assert (entry.name, entry.link, entry.kind) == (name, link, tar.SYMLINK)
    assert (entry.uid, entry.mtime) == (uid, mtime * 10**9)


@given(st.binary(max_size=3000))
@quiet
def test_noise_is_an_error_or_nothing(content):
    try:
        _read(content)
    except IntegrityError as error:
        assert error.message.isprintable()


@pytest.mark.parametrize("records", [b"a=b\n", b"0 a=b\n", b"1 a=b\n", b"6 a=b\n\n", b" a=b\n"])
def test_pax_records_without_a_length_end(records):
    """Neither an endless loop nor a guess."""
    content = evil_tars.pax_raw(records)
    with pytest.raises(IntegrityError, match="pax header is malformed"):
        _read(content + evil_tars.file(b"f"))


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_before_one_entry_are_bounded(kind):
    """However short each is: their blocks count too."""
    one = evil_tars.member(b"h", kind, content=evil_tars.record(b"a", b"b"))
    assert len(_read((one + evil_tars.file(b"f")) * 300)) == 300
    with pytest.raises(IntegrityError, match="extended headers are over the limit"):
        _read(one * 3000 + evil_tars.file(b"f"))


def test_many_headers_before_one_entry_all_count():
    records = [evil_tars.pax(uid=b"7"), evil_tars.pax(mtime=b"8"), evil_tars.pax(path=b"name")]
    [(entry, _)] = _read(b"".join(records) + evil_tars.file(b"f"))
    assert (entry.uid, entry.mtime, entry.name) == (7, 8 * 10**9, b"name")


@pytest.mark.parametrize(
    "content",
    [b"", evil_tars.file(b"f", b"x" * 512), evil_tars.file(b"f") + evil_tars.END],
    ids=["empty", "no end blocks", "end blocks"],
)
def test_a_stream_is_not_read_after_its_end(content):
    pieces = iter([content, b""] if content else [b""])
    reader = tar.Reader(lambda _: next(pieces))
    for _ in reader:
        pass
    reader.drain()


good = evil_tars.pax(path=b"some/name", mtime=b"12.5") + evil_tars.file(b"f", b"x" * 700)
good += evil_tars.gnu_long(b"L", b"n" * 120) + evil_tars.symlink(b"n", b"t")


@given(st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), max_size=4))
@quiet
def test_damage_is_an_error_or_nothing(changes):
    damaged = bytearray(good)
    for at, value in changes:
        damaged[at] = value
    for start in range(0, len(damaged), 512):  # right again, so that the rest is looked at
        block = damaged[start : start + 512]
        block[148:156] = b"        "
        damaged[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    try:
        _read(bytes(damaged))
    except IntegrityError as error:
        assert error.message.isprintable()


@given(st.binary(max_size=512))
@quiet
def test_the_quick_sum_is_the_sum(block):
    assert tar._sum(block) == sum(block)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        (b"a/b", b"a/b"),
        (b"/a", b"a"),
        (b"./a/", b"a"),
        (b"a//b/./c", b"a/b/c"),
        (b".", b"."),
        (b"./", b"."),
        (b"/", b"."),
        (b"", b"."),
        (b".hidden/..x", b".hidden/..x"),
        (b"a/.b", b"a/.b"),
    ],
)
def test_clean(name, cleaned):
    assert tar.clean(name) == cleaned


@pytest.mark.parametrize(
    "name", [b"..", b"../a", b"a/../..", b"./../b", b"/..", b"a\0", b"x" * 5000]
)
def test_clean_refuses(name):
    with pytest.raises(ValueError, match="its name"):
        tar.clean(name)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (bytes(8), 0),
        (b"\x80" + (1 << 50).to_bytes(7, "big"), 1 << 50),
        (b"\xff" * 7 + b"\xfe", -2),
    ],
)
def test_numbers(field, number):
    assert tar._number(field) == number


def test_fractions_of_seconds_round_to_the_past():
    content = evil_tars.pax(mtime=b"-1.25") + evil_tars.file(b"f")
    assert _read(content)[0][0].mtime == -1_250_000_000
    entry = tar.Entry(b"f", tar.FILE, 0o644, mtime=-1_250_000_000)
    assert _read(_write(entry))[0][0].mtime == -2_000_000_000


def test_a_name_is_shown_without_its_power_over_the_terminal():
    assert tar.shown("é\n".encode() + b"\x1b[2J\xff") == "é\\n\\x1b[2J\\xff"


def test_a_path_too_long_for_any_reader_is_refused():
    with pytest.raises(RootlessError, match="too long"):
        _write(tar.Entry(b"d/" * 2100, tar.FILE, 0o644))


def test_padding_is_read_to_its_end_and_an_endless_one_is_not():
    """A stream's digest covers what follows the archive's end, and tools round up to records."""
    stream = io.BytesIO(_write(tar.Entry(b"f", tar.FILE, 0o644)) + bytes(tar.MAX_PADDING))
    reader = tar.Reader(stream.read)
    assert len(list(reader)) == 1
    reader.drain()
    assert not stream.read()
    reader = tar.Reader(bytes)
    assert list(reader) == []
    with pytest.raises(IntegrityError, match="goes on for more than 64 MiB after its end"):
        reader.drain()
