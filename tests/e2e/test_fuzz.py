"""Random Dockerfiles, built as docker built them: the same files, the same configuration.

scripts/fuzz makes more of them, and asks docker; `scripts/fuzz --cases 100 --keep FILE` made
cases.jsonl, and `--wider --seed 1001 --cases 60`, with containerd's store, wider.jsonl.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import judged, verdicts
from tests.support.judged import Case
from tests.support.machine import PROJECT
from tests.support.verdicts import WAYS, Builder

pytestmark = pytest.mark.needs("userns", "subids", "overlay", "busybox")

KEPT = PROJECT / "tests" / "corpus" / "fuzz"


def kept(name):
    """What they were judged with; cases and answers."""
    head, *lines = map(json.loads, (KEPT / f"{name}.jsonl").read_text().splitlines())
    return head, [(Case.of(line), line["answer"]) for line in lines]


_AT_ONCE = 20
BATCHES = {
    f"{name}-{first // _AT_ONCE}": (name, first)
    for name in ("cases", "wider")
    for first in range(0, len(kept(name)[1]), _AT_ONCE)
}


@pytest.mark.parametrize("name", ["cases", "wider"])
def test_the_base_is_the_one_that_was_judged(name):
    head, _ = kept(name)
    assert head["base"] == judged.base_key(), "the base has changed: scripts/fuzz --keep asks again"


@pytest.mark.parametrize("batch", BATCHES)
def test_builds_are_as_docker_s(rootless, tmp_path, batch):
    """Every case from nothing, and in one other way in turn; two at a time in one store."""
    name, first = BATCHES[batch]
    head, cases = kept(name)
    drops_copies = head.get("drops_copies", False)

    def differences(numbered):
        number, (case, answer) = numbered
        ways = (WAYS[0], WAYS[1 + number % 3])
        builder = builders[number % 2]
        return [
            f"{case.name}, {way}: {line}"
            for way, ours in builder.ways(case, ways)
            for line in verdicts.differences(answer, ours, builder.base, drops_copies=drops_copies)
        ]

    builders = [Builder(rootless, tmp_path / str(number)) for number in range(2)]
    numbered = list(enumerate(cases))[first : first + _AT_ONCE]
    with ThreadPoolExecutor(2) as pool:
        halves = pool.map(lambda half: [*map(differences, half)], (numbered[::2], numbered[1::2]))
        found = [line for half in halves for lines in half for line in lines]
    assert found == []
