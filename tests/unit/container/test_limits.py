"""Limits as values: docker's checks, and the files of cgroup v2 that they become."""

import pytest

from rootless.container import limits
from rootless.container.limits import Limits
from rootless.errors import UsageError

_MIB = 1 << 20


def _files(processors: int = 4, **given) -> dict[str, str]:
    return limits.files(limits.check(Limits(**given), processors))


@pytest.mark.parametrize(
    ("given", "files"),
    [
        ({}, {}),
        (
            {"memory": 64 * _MIB},
            {"memory.max": str(64 * _MIB), "memory.swap.max": str(64 * _MIB)},
        ),
        (
            {"memory": 64 * _MIB, "memory_swap": 64 * _MIB},
            {"memory.max": str(64 * _MIB), "memory.swap.max": "0"},
        ),
        (
            {"memory": 64 * _MIB, "memory_swap": -1},
            {"memory.max": str(64 * _MIB), "memory.swap.max": "max"},
        ),
        ({"memory_reservation": 8 * _MIB}, {"memory.low": str(8 * _MIB)}),
        ({"nano_cpus": 1_500_000_000}, {"cpu.max": "150000 100000"}),
        ({"cpu_quota": 20_000}, {"cpu.max": "20000 100000"}),
        ({"cpu_quota": 20_000, "cpu_period": 50_000}, {"cpu.max": "20000 50000"}),
        ({"cpu_period": 50_000}, {"cpu.max": "max 50000"}),
        ({"cpu_quota": -1}, {"cpu.max": "max 100000"}),
        ({"cpu_shares": 1024}, {"cpu.weight": "100"}),
        (
            {"cpuset_cpus": "0,2-3", "cpuset_mems": "0"},
            {"cpuset.cpus": "0,2-3", "cpuset.mems": "0"},
        ),
        ({"pids_limit": 10}, {"pids.max": "10"}),
        ({"pids_limit": -5}, {"pids.max": "max"}),
        ({"blkio_weight": 1000}, {"io.weight": "default 10000"}),
        ({"blkio_weight": 10}, {"io.weight": "default 1"}),
        ({"memory_swappiness": 10, "oom_kill_disable": True}, {}),
    ],
)
def test_each_becomes_a_file(given, files):
    assert _files(**given) == files


@pytest.mark.parametrize(
    ("shares", "weight"), [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262144, 10000)]
)
def test_usual_shares_are_the_usual_weight(shares, weight):
    assert limits.weight(shares) == weight


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"memory": 1}, "Minimum memory limit allowed is 6MB"),
        (
            {"memory": 64 * _MIB, "memory_swap": 32 * _MIB},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"memory_swap": 128 * _MIB},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        ({"memory_reservation": _MIB}, "Minimum memory reservation allowed is 6MB"),
        (
            {"memory": 64 * _MIB, "memory_reservation": 65 * _MIB},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (
            {"memory_swappiness": 101},
            "invalid value: 101. Valid memory swappiness range is 0-100",
        ),
        (
            {"nano_cpus": 5_000_000_000},
            "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available",
        ),
        (
            {"nano_cpus": 1, "cpu_period": 1000},
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            {"nano_cpus": 1, "cpu_quota": 1000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        ({"cpu_period": 999}, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger"),
        ({"cpu_quota": 999}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"cpu_shares": -1}, "invalid CPU shares (-1): value must be a positive integer"),
        ({"cpuset_cpus": "1-0"}, "Invalid value 1-0 for cpuset cpus"),
        ({"cpuset_mems": "x"}, "Invalid value x for cpuset mems"),
        ({"blkio_weight": 9}, "Range of blkio weight is from 10 to 1000"),
    ],
)
def test_what_docker_refuses_is_refused_in_its_words(given, words):
    with pytest.raises(UsageError) as refused:
        limits.check(Limits(**given), 4)
    assert refused.value.message.startswith(words)


def test_an_update_keeps_what_it_does_not_name():
    before = limits.check(Limits(memory=64 * _MIB, pids_limit=10), 4)
    after = Limits(nano_cpus=500_000_000).over(before)
    assert after == before.replace(nano_cpus=500_000_000)


def test_an_update_of_memory_beyond_the_swap_there_is_must_name_both():
    before = limits.check(Limits(memory=64 * _MIB), 4)
    with pytest.raises(UsageError, match="update the memoryswap at the same time"):
        Limits(memory=256 * _MIB).over(before)
    after = Limits(memory=256 * _MIB, memory_swap=-1).over(before)
    assert (after.memory, after.memory_swap) == (256 * _MIB, -1)


@pytest.mark.parametrize(
    ("before", "after"),
    [({"cpu_quota": 5000}, {"nano_cpus": 1}), ({"nano_cpus": 1}, {"cpu_quota": 5000})],
)
def test_the_two_ways_to_bound_processors_do_not_mix(before, after):
    with pytest.raises(UsageError, match="Conflicting options"):
        Limits(**after).over(Limits(**before))


def test_inspect_shows_them_as_docker_does():
    kept = limits.check(Limits(memory=64 * _MIB, nano_cpus=5 * 10**8, pids_limit=7), 4)
    shown = limits.host_config(kept)
    assert (shown["Memory"], shown["MemorySwap"]) == (64 * _MIB, 128 * _MIB)
    assert (shown["NanoCpus"], shown["PidsLimit"]) == (5 * 10**8, 7)
    assert limits.host_config(Limits())["PidsLimit"] is None
