"""docker's spellings of limits; the words for wrong ones are docker 28's own."""

from types import SimpleNamespace

import pytest

from rootless.cli import run_limits
from rootless.errors import UsageError


def _read(**given):
    return run_limits.read(SimpleNamespace(**given))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("64mb", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 MB", 64 << 20),
        ("1.5g", 3 << 29),
        (".5g", 1 << 29),
        ("1t", 1 << 40),
        ("6291456", 6291456),
        ("1e3m", 1000 << 20),
        ("0", 0),
        ("99999999999999999999g", (1 << 63) - 1),
    ],
)
def test_sizes(text, size):
    assert run_limits.size("-m, --memory", text) == size


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"memory": "64x"},
            'invalid argument "64x" for "-m, --memory" flag: invalid suffix: \'x\'',
        ),
        (
            {"memory": "64Mi"},
            'invalid argument "64Mi" for "-m, --memory" flag: invalid suffix: \'mi\'',
        ),
        ({"memory": ""}, 'invalid argument "" for "-m, --memory" flag: invalid size: \'\''),
        ({"memory": "-1"}, 'invalid argument "-1" for "-m, --memory" flag: invalid size: \'-1\''),
        (
            {"memory": "inf"},
            'invalid argument "inf" for "-m, --memory" flag: invalid size: \'inf\'',
        ),
        (
            {"memory_swap": "-2"},
            'invalid argument "-2" for "--memory-swap" flag: invalid size: \'-2\'',
        ),
        (
            {"memory_swappiness": "x"},
            'invalid argument "x" for "--memory-swappiness" flag: strconv.ParseInt: parsing "x": '
            "invalid syntax",
        ),
        (
            {"cpu_shares": "9" * 20},
            f'invalid argument "{"9" * 20}" for "-c, --cpu-shares" flag: strconv.ParseInt: '
            f'parsing "{"9" * 20}": value out of range',
        ),
        (
            {"cpus": "x"},
            'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number',
        ),
        (
            {"cpus": "0.0000000001"},
            'invalid argument "0.0000000001" for "--cpus" flag: value is too precise',
        ),
        (
            {"cpus": "1e999999"},
            'invalid argument "1e999999" for "--cpus" flag: '
            "failed to parse 1e999999 as a rational number",
        ),
        (
            {"blkio_weight": "65536"},
            'invalid argument "65536" for "--blkio-weight" flag: strconv.ParseUint: '
            'parsing "65536": value out of range',
        ),
        (
            {"blkio_weight": "-1"},
            'invalid argument "-1" for "--blkio-weight" flag: strconv.ParseUint: '
            'parsing "-1": invalid syntax',
        ),
    ],
)
def test_a_wrong_one_is_refused_in_dockers_words(given, words):
    with pytest.raises(UsageError) as refused:
        _read(**given)
    assert refused.value.message == words


@pytest.mark.parametrize(
    ("text", "nano"), [("1.5", 15 * 10**8), (".5", 5 * 10**8), ("1/2", 5 * 10**8), ("1e0", 10**9)]
)
def test_processors(text, nano):
    assert run_limits.parse(SimpleNamespace(cpus=text)).nano_cpus == nano


def test_numbers_have_gos_bases():
    assert _read(cpu_period="0x10000").cpu_period == 65536


def test_nothing_given_is_no_limit():
    assert not _read().wants_group
    assert not _read(cgroups="disabled", memory="64m").wants_group
    assert _read(cgroups="enabled").wants_group
    assert _read(memory="64m").wants_group
    assert not _read(memory_swappiness="5").wants_group
