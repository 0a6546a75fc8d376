"""log.jsonl written and read again: pieces, damage, rotation, the last lines."""

from __future__ import annotations

import gzip
import json
import os
import random
import resource

import pytest

from rootless.container import log_details, logs
from rootless.container.log_reader import Reader
from tests.support import child


def read(folder, last=None):
    return [(stream, content) for stream, _, content, _ in Reader(str(folder), last).available()]


def test_what_is_written_comes_back_byte_for_byte(tmp_path):
    every = bytes(range(256)).replace(b"\n", b"") + "ä€😀\r".encode() + b"\n"
    log = logs.Log(str(tmp_path))
    for byte in every:
        log.write("stdout", bytes((byte,)))
    log.write("stderr", b"x\n\ny")
    log.close()
    assert read(tmp_path) == [
        ("stdout", every), ("stderr", b"x\n"), ("stderr", b"\n"), ("stderr", b"y"),
    ]  # fmt: skip
    lines = (tmp_path / logs.NAME).read_text().splitlines()
    assert all(list(json.loads(line)) == ["log", "stream", "time"] for line in lines)


def test_a_long_line_is_kept_in_pieces(tmp_path):
    log = logs.Log(str(tmp_path))
    log.write("stdout", b"x" * 40_000 + b"\n")
    found = [content for _, content in read(tmp_path)]
    assert [len(one) for one in found] == [16384, 16384, 40_001 - 2 * 16384]
    assert b"".join(found) == b"x" * 40_000 + b"\n"


@pytest.mark.parametrize("last", [0, 1, 5, 6, 7, 1000])
@pytest.mark.parametrize("size", ["", "100", "300"])
def test_the_last_lines_are_found_over_all_files(tmp_path, last, size):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": size, "max-file": "5"}))
    for number in range(6):
        log.write("stdout", f"line {number}\n".encode())
    every = [f"line {number}\n".encode() for number in range(6)]
    assert [content for _, content in read(tmp_path, last)] == every[max(6 - last, 0) :]


def test_the_last_lines_of_a_file_larger_than_a_piece(tmp_path):
    log = logs.Log(str(tmp_path))
    every = [f"{number} {'x' * 900}\n".encode() for number in range(2000)]
    log.write("stdout", b"".join(every))
    assert [content for _, content in read(tmp_path, 1500)] == every[500:]


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": "1k", "max-file": "3"}))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(100)))
    assert sorted(os.listdir(tmp_path)) == ["log.jsonl", "log.jsonl.1", "log.jsonl.2"]
    assert all(os.stat(tmp_path / name).st_size < 1100 for name in os.listdir(tmp_path))
    found = [content for _, content in read(tmp_path)]
    assert found == [b"line %d\n" % number for number in range(100 - len(found), 100)]
    assert len(found) > 25


PACKED = {"compress": "true"}


def test_full_files_are_packed_and_read_again(tmp_path):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": "1k", "max-file": "3", **PACKED}))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(100)))
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log.jsonl", "log.jsonl.1.gz", "log.jsonl.2.gz"]
    plain = gzip.decompress((tmp_path / "log.jsonl.1.gz").read_bytes())
    assert all(list(json.loads(line)) == ["log", "stream", "time"] for line in plain.splitlines())
    found = [content for _, content in read(tmp_path)]
    assert len(found) > 25
    assert found == [b"line %d\n" % number for number in range(100 - len(found), 100)]
    assert [content for _, content in read(tmp_path, 20)] == found[-20:]


def test_a_file_and_what_is_packed_of_it_are_read_once(tmp_path):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": "200", "max-file": "2", **PACKED}))
    log.write("stdout", b"".join(b"%d\n" % number for number in range(6)))
    log.close()
    found = read(tmp_path)
    first = gzip.decompress((tmp_path / "log.jsonl.1.gz").read_bytes())
    (tmp_path / "log.jsonl.1").write_bytes(first)
    (tmp_path / "log.jsonl.1.new").write_bytes(b"unfinished")
    assert read(tmp_path) == found


def logs_of(file):
    lines = map(json.loads, file.read_text().splitlines())
    return [(one["stream"], one["log"].encode()) for one in lines]


def test_what_is_packed_and_damaged_is_read_as_far_as_it_goes(tmp_path):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": "600k", "max-file": "2", **PACKED}))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(8000)))
    log.close()
    whole = read(tmp_path)
    packed = (tmp_path / "log.jsonl.1.gz").read_bytes()
    for content in (b"", b"no gzip", packed[: len(packed) // 2], packed[:-8] + b"x" * 8):
        (tmp_path / "log.jsonl.1.gz").write_bytes(content)
        found = read(tmp_path)
        newest = logs_of(tmp_path / "log.jsonl")
        assert newest == whole[-len(newest) :] == found[-len(newest) :]
        told = found[: -len(newest)]
        assert told == whole[: len(told)]
        assert bool(told) == (len(content) > 20), "what came before the damage"


def test_files_of_the_same_time_are_read_once(tmp_path):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": "1k", "max-file": "3", **PACKED}))
    log.write("stdout", b"".join(b"line %d\n" % number for number in range(40)))
    log.close()
    for name in os.listdir(tmp_path):
        os.utime(tmp_path / name, ns=(5, 5))
    found = [content for _, content in read(tmp_path)]
    assert found == [b"line %d\n" % number for number in range(40 - len(found), 40)]


def test_a_tag_has_its_fields_filled_in():
    known = {"Name": "web", "ID": "abc"}
    assert log_details.tag("{{.Name}}/{{ .ID }}!", known) == "web/abc!"
    assert log_details.tag("x} {y", known) == "x} {y"
    for text in ("{{.Nosuch}}", "{{", "{{.Name", "}}", "{{Name}}", "{{.Name | upper}}", "{{}}"):
        with pytest.raises(ValueError, match="log-tag"):
            log_details.tag(text, known)


@pytest.mark.parametrize("most", [{}, PACKED], ids=["plain", "packed"])
def test_a_reader_goes_on_in_the_next_file(tmp_path, most):
    log = logs.Log(str(tmp_path), logs.limits({"max-size": "200", "max-file": "4", **most}))
    log.write("stdout", b"0\n")
    reader = Reader(str(tmp_path))
    found = []
    for number in range(1, 30):
        found += [content for *_, content, _ in reader.available()]
        log.write("stdout", b"%d\n" % number)
    found += [content for *_, content, _ in reader.available()]
    assert found == [b"%d\n" % number for number in range(30)]


def test_a_log_begun_after_its_reader(tmp_path):
    reader = Reader(str(tmp_path))
    assert list(reader.available()) == []
    logs.Log(str(tmp_path)).write("stdout", b"now\n")
    assert [one[2] for one in reader.available()] == []  # found, to be read at the next look
    assert [one[2] for one in reader.available()] == [b"now\n"]


ENTRY = b'{"log":"fine\\n","stream":"stdout","time":"2026-01-31T12:00:00.000000001Z"}'


@pytest.mark.parametrize(
    "bad",
    [
        b"\0\0\0", b"null", b"[]", b"{}", b'{"log":', b'{"log":"x', b'{"log":1,"time":"x"}',
        b'{"log":"\xff","stream":"stdout","time":"2026-01-31T12:00:00.000000001Z"}',
        b'{"log":"\\ud800","stream":"stdout","time":"2026-01-31T12:00:00.000000001Z"}',
        b"[" * 100_000, b"x" * (3 << 20),
    ],
)  # fmt: skip
def test_a_damaged_line_is_left_out_and_counted(tmp_path, bad):
    (tmp_path / logs.NAME).write_bytes(b"\n".join([ENTRY, bad, ENTRY, b""]))
    reader = Reader(str(tmp_path))
    assert [one[2] for one in reader.available()] == [b"fine\n", b"fine\n"]
    assert reader.damaged >= 1


def test_an_entry_behind_a_torn_one_is_found(tmp_path):
    (tmp_path / logs.NAME).write_bytes(b'{"log":"to' + ENTRY + b"\n")
    assert read(tmp_path) == [("stdout", b"fine\n")]


def test_dockers_own_files_are_read(tmp_path):
    """Fewer digits, attributes, other keys' order."""
    (tmp_path / logs.NAME).write_bytes(
        b'{"log":"a\\n","stream":"stderr","attrs":{"b":"c"},"time":"2026-01-31T12:00:00.5Z"}\n'
        b'{"time":"2026-01-31T12:00:00.5Z", "stream":"stdout", "log":"d\\u003e\\n"}\n'
    )
    found = list(Reader(str(tmp_path)).available())
    assert found[0] == ("stderr", "2026-01-31T12:00:00.5Z", b"a\n", {"b": "c"})
    assert found[1][2] == b"d>\n"


def test_the_container_goes_on_where_nothing_can_be_written(tmp_path):
    """As on a full disk; what is written later is a line of its own again."""

    def body():
        log = logs.Log(str(tmp_path))
        log.write("stdout", b"first\n")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        for _ in range(3):
            log.write("stdout", b"y" * 500 + b"\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.write("stdout", b"last\n")

    child.in_child(body, enter=False)
    assert read(tmp_path) == [("stdout", b"first\n"), ("stdout", b"last\n")]
    assert Reader(str(tmp_path), last=1).damaged == 0


@pytest.mark.parametrize(
    ("options", "size", "files"),
    [
        ({}, 0, 1), ({"max-size": "10m", "max-file": "3"}, 10_000_000, 3),
        ({"max-size": "1.5kb"}, 1500, 1), ({"max-size": "-1"}, 0, 1), ({"max-size": "7"}, 7, 1),
    ],
)  # fmt: skip
def test_limits(options, size, files):
    assert logs.limits({}, "local") == logs.Limits(20_000_000, 5, packed=True)
    assert logs.limits(options) == logs.Limits(size, files)


@pytest.mark.parametrize(
    "options",
    [{"max-size": one} for one in ("foo", "-2", "0", "10x", "m", "1.2.3k")]
    + [{"compress": "true", **one} for one in ({}, {"max-size": "1k"}, {"max-file": "2"})]
    + [{"max-file": one} for one in ("0", "-1", "x", "", "99999999999")],
)
def test_limits_that_are_none(options):
    with pytest.raises(ValueError, match=r"size|max-file"):
        logs.limits(options)


def _joined(folder, *, plain: bool):
    """What comes on the streams, in order and with neighbours joined; and how much was damaged."""
    reader = Reader(str(folder), plain=plain)
    found: list[tuple[str, bytes]] = []
    for stream, _, content, _ in reader.available():
        if found and found[-1][0] == stream:
            found[-1] = (stream, found[-1][1] + content)
        else:
            found.append((stream, content))
    for one in reader._files:  # they stay open for what may come
        one.close()
    return found, reader.damaged


_CONTENTS = (
    b"a usual line\n", b"\n", b'with "quotes", {"log":"and more\n', b"back\\slash \\n\\u0041\n",
    b'","stream":"stdout","time":"\n', b"\x00\x1b[1m\t\xff\xfe\n", "ä€😀\n".encode(),
    b"y" * 20_000 + b"\n", "😀".encode()[:2] + b"\n",
)  # fmt: skip


@pytest.mark.parametrize("kinds", [1, 2])
def test_many_lines_at_once_are_the_same_lines(tmp_path, kinds):
    chance = random.Random(7)
    log = logs.Log(str(tmp_path))
    for _ in range(600):
        stream = ("stdout", "stderr")[chance.randrange(kinds)]
        log.write(stream, chance.choice(_CONTENTS))
    assert _joined(tmp_path, plain=True) == _joined(tmp_path, plain=False)


def test_many_lines_at_once_are_one_entry(tmp_path):
    log = logs.Log(str(tmp_path))
    short = [one for one in _CONTENTS if len(one) < 100]
    log.write("stderr", b"".join(short))
    [(stream, time, content, _)] = Reader(str(tmp_path), plain=True).available()
    assert (stream, content) == ("stderr", b"".join(short))
    assert len(time) == len("2026-01-31T12:00:00.000000001Z")


@pytest.mark.parametrize("damage", [b"", b'"', b"\\", b"\n", b"\xff", b'"}\n{"log":"', b'"}\n'])
def test_a_damage_anywhere_is_found_among_many_lines(tmp_path, damage):
    """One byte is lost, or something is put in its place."""
    log = logs.Log(str(tmp_path))
    log.write("stdout", b'one\n"two" \\ \xc3\xa4\nthree\n')
    path = tmp_path / logs.NAME
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + damage + whole[at + 1 :])
        plain, lines = (_joined(tmp_path, plain=one) for one in (True, False))
        assert plain == lines, path.read_bytes()


def test_halves_of_a_character_in_two_lines_do_not_become_one(tmp_path):
    """Surrogates alone are no text; a line that is not finished may end with one."""
    lines = [
        '{"log":"a\\ud83d","stream":"stdout","time":"2026-01-31T12:00:00.000000001Z"}',
        '{"log":"\\ude00b\\n","stream":"stdout","time":"2026-01-31T12:00:00.000000001Z"}',
    ]
    (tmp_path / logs.NAME).write_text("\n".join(lines) + "\n")
    assert _joined(tmp_path, plain=True) == _joined(tmp_path, plain=False) == ([], 2)
